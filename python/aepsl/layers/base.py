"""What every Python layer does: read its `param_str`, and go through its blobs."""

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
