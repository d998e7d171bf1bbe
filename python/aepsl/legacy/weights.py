"""The weights of other authors' nets: what ${...} in their layers' names stands for, and weights that are computed."""

import re

from aepsl.base.errors import InputError
from aepsl.legacy.text import VARIABLE
from aepsl.nets import caffemodel


def variables(deploy, names, model):
    """{variable: value} of those ${...} that layers' `names` have, as the caffemodel `model` names its layers."""
    names, found = [name for name in names if VARIABLE.search(name)], {}
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


def load(net, path, fixed):
    """Copy the caffemodel `path` into `net`.

    fixed: {layer: function} of those whose weights are computed, from its arrays in the caffemodel, None where there
    are none, and the shapes of the net's; giving an array for each, or None for those of the fillers. Raises
    InputError as caffemodel.load_weights.
    """
    caffemodel.load_weights(net, path, new_layers=(), computed=fixed)
    layers = caffemodel.caffemodel_layers(path) if fixed else ()
    for name, function in fixed.items():
        blobs = net.params[name]
        given = caffemodel.arrays(path, layers[name]) if name in layers else None
        arrays = function(given, [blob.data.shape for blob in blobs])
        if arrays is None:
            continue
        if [array.size for array in arrays] != [blob.count for blob in blobs]:
            raise InputError(
                f"{path}: its layer {name} has the shapes {[list(each.shape) for each in given]}, which are not the "
                f"net's. {caffemodel.RIGHT_WEIGHTS}"
            )
        for blob, array in zip(blobs, arrays):
            blob.data[...] = array.reshape(blob.data.shape)
