"""What every Python layer does: read its `param_str`, check its bottoms, and go through its blobs."""

import json


def parameters(param_str, defaults):
    """The JSON object `param_str` over `defaults`; a name that is not in `defaults` is an error."""
    try:
        given = json.loads(param_str or "{}")
    except ValueError as error:
        raise ValueError(f"param_str is not JSON: {error}: {param_str!r}") from None
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ValueError(f"param_str has the unknown parameter {unknown[0]!r}; known are {sorted(defaults)}")
    return {**defaults, **given}


def listed(blobs):
    """Caffe's vector of bottoms or tops as a list; pycaffe can index it, but not iterate over it."""
    return [blobs[k] for k in range(len(blobs))]


def check_bottoms(layer, bottom, **shapes):
    """ValueError unless the layer's bottoms are these, in this order; shapes: {name: 'N K h w'}.

    A letter is one number in all of them; K, the classes and background, is C + 1.
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
