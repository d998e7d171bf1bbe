"""What every Python layer does: read its `param_str`, check its bottoms, and list its blobs."""

import functools
import json
import sys
from collections.abc import Callable
from typing import Any


def parameters(param_str: str, defaults: dict) -> dict:
    """`defaults`, updated by the JSON object `param_str`; ValueError for a name that is not in `defaults`."""
    try:
        given = json.loads(param_str or "{}")
    except ValueError as error:
        raise ValueError(f"param_str is not JSON: {error}: {param_str!r}") from None
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ValueError(f"param_str has the unknown parameter {unknown[0]!r}; known are {sorted(defaults)}")
    return {**defaults, **given}


def listed(blobs: Any) -> list:
    """Caffe's vector of bottoms or tops as a list; pycaffe can index it, but not iterate over it."""
    return [blobs[k] for k in range(len(blobs))]


def telling(method: Callable) -> Callable:
    """A layer's `method`, which prints an error first in stock Caffe: `caffe train` aborts without naming it."""

    @functools.wraps(method)
    def told(*arguments):
        try:
            return method(*arguments)
        except Exception as error:
            if sys.argv == [""]:  # Python inside of the command caffe
                print(f"error: {error}", file=sys.stderr, flush=True)
            raise

    return told


def check_bottoms(layer: Any, bottom: Any, **shapes: str) -> None:
    """ValueError unless the layer's bottoms have these shapes, in this order; shapes: {name: 'N K h w'}.

    A letter has the same value in all shapes. K, the classes and background, is C + 1.
    """
    given, sizes = [tuple(blob.shape) for blob in listed(bottom)], {"1": 1}
    wanted = [tuple(letters.split()) for letters in shapes.values()]
    for letters, shape in zip(wanted, given):
        for letter, size in zip(letters, shape):
            sizes.setdefault(letter, size)
    sizes["K"] = sizes.get("C", 0) + 1
    if given != [tuple(sizes.get(letter) for letter in letters) for letters in wanted]:
        needs = ", ".join(f"{name} {letters.replace(' ', ' x ')}" for name, letters in shapes.items())
        raise ValueError(f"{type(layer).__name__} needs the bottoms {needs} (K is C + 1); they have the shapes {given}")
