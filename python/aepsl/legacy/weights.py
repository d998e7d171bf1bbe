"""The weights of other authors' nets: the values of ${...} in their layers' names, and weights that are computed."""

import re
from collections.abc import Callable, Iterable, Mapping

import caffe

from aepsl.base.errors import InputError
from aepsl.legacy.text import VARIABLE
from aepsl.nets import caffemodel


def variables(deploy: str, names: Iterable[str], model: str) -> dict[str, str]:
    """{variable: value} of the ${...} in the layers' `names`, by the names of the layers in the caffemodel `model`."""
    names = [name for name in names if VARIABLE.search(name)]
    found: dict[str, set[str]] = {}
    known = set(caffemodel.caffemodel_layers(model)) if names else ()
    for name in names:
        parts = VARIABLE.split(name)  # text and variables in turn
        pattern = "".join(f"(?P<{part}>.+)" if k % 2 else re.escape(part) for k, part in enumerate(parts))
        for match in filter(None, (re.fullmatch(pattern, each) for each in known)):
            for variable, value in match.groupdict().items():
                found.setdefault(variable, set()).add(value)
    for variable, values in found.items():
        if len(values) > 1:
            raise InputError(
                f"{deploy}: ${{{variable}}} may be {' or '.join(sorted(values))} in {model}; say which: "
                f"--define {variable}=..."
            )
    return {variable: values.pop() for variable, values in found.items()}


def load(net: caffe.Net, path: str, fixed: Mapping[str, Callable]) -> None:
    """Copy the caffemodel `path` into `net`.

    fixed: {layer: function} of the layers whose weights are computed. A function takes the layer's arrays in the
    caffemodel, or None, and the net's shapes. It returns an array for each shape, or None for the fillers' weights.
    Raises InputError, see caffemodel.load_weights.
    """
    caffemodel.load_weights(net, path, computed=fixed)
    layers = caffemodel.caffemodel_layers(path) if fixed else {}
    for name, function in fixed.items():
        blobs = net.params[name]
        given = caffemodel.arrays(path, layers[name]) if name in layers else None
        arrays = function(given, [blob.data.shape for blob in blobs])
        if arrays is None:
            continue
        if [array.size for array in arrays] != [blob.count for blob in blobs]:
            shapes = [list(each.shape) for each in given or ()]
            fault = f"its layer {name} has the shapes {shapes}, which are not the net's"
            raise InputError(f"{path}: {fault if given else f'has no layer {name}'}. {caffemodel.RIGHT_WEIGHTS}")
        for blob, array in zip(blobs, arrays):
            blob.data[...] = array.reshape(blob.data.shape)
