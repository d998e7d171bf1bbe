"""Other authors' prototxts, of any Caffe since 2013, as nets of plain Caffe: see `read`."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.base.errors import InputError
from aepsl.legacy import ends, front, layers, text
from aepsl.legacy.translation import Impossible, Translator
from aepsl.nets import geometry
from aepsl.nets.geometry import BOTH, Unfit
from aepsl.settings.typed import Crf

SHOWN = 3  # layers that a line names; the others are counted


@dataclass(frozen=True)
class Legacy:
    """A prototxt that was read.

    net: V2, of plain Caffe; scores: its blob of scores; input: see front.Front; crf: the values of its CRF, None
    without one; changes: lines about layers that were translated or left out; fixed: {layer: function} of weights that
    are not copied from the caffemodel, `computed` of caffemodel.load_weights; only: (height, width), if the net takes
    no other size.
    """

    net: caffe_pb2.NetParameter
    scores: str
    input: front.Front
    crf: Optional[Crf]
    changes: tuple
    fixed: dict
    only: Optional[tuple] = None


def read(
    deploy: str,
    scores: Optional[str] = None,
    model: Optional[str] = None,
    variables: Optional[Mapping[str, Any]] = None,
    channels: Optional[int] = None,
) -> Legacy:
    """The net of the prototxt `deploy`, with the layers that `scores` depend on.

    scores: their blob; None for the last one that is not of a softmax, a CRF or a loss. Layers that only upsample or
    crop the scores are left out: scores are resized to the image anyway. model: the caffemodel, whose layers' names
    give the value of ${EXP}; variables: {name: value} of other ${name}; channels: the value of ${NUM_LABELS}.
    Raises InputError, one line with all that is impossible in plain Caffe.
    """
    try:
        return _read(deploy, scores, model, variables, channels)
    except ValueError as error:
        raise InputError(f"{deploy}: {error}; mend that line") from None


def _read(deploy, scores, model, variables, channels):
    variables = {**({"NUM_LABELS": channels} if channels else {}), **(variables or {})}
    fields = text.read(deploy, variables)
    if model:
        names = [layer.name for layer in layers.tested(fields)[0]]
        fields = text.read(deploy, {**variables, **text.variables(deploy, names, model)})
    every, trained = layers.tested(fields)
    found, rest = front.fronts(fields, every)
    found = {**front.fronts(text.Fields(), trained)[0], **found}
    scores = scores or ends.last_scores(deploy, rest)
    if scores not in {top for layer in rest for top in layer.tops}:
        blobs = dict.fromkeys(top for layer in rest for top in layer.tops)
        raise InputError(f"{deploy}: has no blob {scores}; --scores takes one of {', '.join(blobs)}")
    scores, grown = ends.without_growth(rest, scores)
    needed = _needed(rest, scores)
    translator, net, blob = _translated(deploy, found, needed)
    _sized(deploy, net, scores)
    left = _left([*every, *trained], rest, needed, grown, blob)
    changes = [f"{what}: {_names(of)}" for what, of in left if of]
    crf = ends.crf_of(rest)
    if crf:
        changes.append(f"{crf[0].kind}: is no layer here, its values are {crf[1].settings()}: {crf[0].name}")
    changes += [f"{what}: {_names(of)}" for what, of in translator.said.items()]
    return Legacy(net, scores, blob, crf and crf[1], tuple(changes), translator.fixed, translator.only)


def _names(names):
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _needed(rest, scores):
    """The layers that the scores depend on, in their order."""
    wanted, needed = {scores}, []
    for layer in reversed(rest):
        if wanted & set(layer.tops):
            wanted = wanted - set(layer.tops) | set(layer.bottoms)
            needed.insert(0, layer)
    return needed


def _left(every, rest, needed, grown, blob):
    """(what was done, names of layers) of the layers that are left out or replaced, for the list of changes."""
    kept = {id(layer) for layer in [*rest, *needed]}
    data = [layer for layer in every if id(layer) not in kept and layer.kind != "Input" and blob.blob in layer.tops]
    yield f"data layer: is the input {blob.blob}, {blob.said()}", list(dict.fromkeys(layer.name for layer in data))
    yield "growth of scores: left out, as scores are grown to the image anyway", [layer.name for layer in grown]
    used = {id(layer) for layer in [*needed, *grown]}
    left = {}
    for layer in rest:
        if id(layer) not in used:
            left.setdefault(layer.kind, []).append(layer.name)
    yield from ((f"{kind}: left out, as no scores come of it", names) for kind, names in left.items())


def _translated(deploy, found, needed):
    """(Translator, NetParameter, Front of its input). Raises InputError with all that is impossible."""
    faults, broken, net = {}, set(), caffe_pb2.NetParameter(name="legacy")
    blob = _input(deploy, found, needed)
    translator = Translator(blob.size())
    net.layer.add().CopyFrom(_parsed(blob.layer()))
    given = {blob.blob}
    for layer in _named_once(needed):
        try:
            lacking = [name for name in layer.bottoms if name not in given]
            given.update(layer.tops)
            if lacking:
                raise Impossible(f"reads {', '.join(lacking)}, which no layer before it gives")
            if broken & set(layer.bottoms):
                broken.update(layer.tops)
                if layer.kind in ("Crop", "Interp"):  # their translation needs the bottoms' sizes
                    continue
            for each in translator.plain(layer, net):
                net.layer.add().CopyFrom(_parsed(each))
        except (Impossible, text_format.ParseError, ValueError) as error:
            broken.update(layer.tops)
            faults.setdefault((layer.kind, str(error)), []).append(f"{layer.name}, line {layer.line}")
    if faults:
        lines = [f"{kind} ({_names(of)}) {reason}" for (kind, reason), of in faults.items()]
        raise InputError(f"{deploy}: is impossible in plain Caffe: {'; '.join(lines)}")
    return translator, net, blob


def _sized(deploy, net, scores):
    """Give the net's input a size that the net takes, if its own is too small for the margins, or is another net's."""
    dims = net.layer[0].input_param.shape[0].dim
    geometry.cells(net, scores)
    try:
        geometry.shapes(net, *dims[2:])
    except Unfit:
        try:
            dims[2:] = [dims[2 + axis] + sum(geometry.padding(net, scores, dims[2 + axis], axis)) for axis in BOTH]
        except Unfit as unfit:
            raise InputError(f"{deploy}: takes no image, of whatever size: {unfit}") from None


def _parsed(layer):
    """The layer as Caffe's message; Impossible for fields that this Caffe does not have."""
    unknown = list(_unknown(layer.fields, caffe_pb2.LayerParameter.DESCRIPTOR))
    if unknown:
        raise Impossible(f"has fields of another Caffe: {', '.join(unknown)}; delete those that change no result")
    return text_format.Parse(layer.text(), caffe_pb2.LayerParameter())


def _unknown(fields, descriptor):
    for name, value, _ in fields:
        field = descriptor.fields_by_name.get(name)
        if field is None:
            yield name
        elif isinstance(value, text.Fields) and field.message_type:
            yield from (f"{name}.{each}" for each in _unknown(value, field.message_type))


def _input(deploy, found, needed):
    """The Front of the only input that the layers read; InputError for none, or for several."""
    written = {top for layer in needed for top in layer.tops}
    bottoms = dict.fromkeys(bottom for layer in needed for bottom in layer.bottoms)
    read = [name for name in bottoms if name in found or name not in written]
    lacking = [name for name in read if name not in found]
    if lacking:
        raise InputError(f"{deploy}: no layer gives {', '.join(lacking)}, which the scores need; is the file whole?")
    if not read:
        raise InputError(f"{deploy}: its scores depend on no input, so it is no segmentation net; is the file whole?")
    if [found[name].channels for name in read] != [3]:
        shapes = {name: found[name].channels for name in read}
        raise InputError(f"{deploy}: reads inputs of so many channels: {shapes}; it must read one, of an image's 3")
    return found[read[0]]


def _named_once(needed):
    """The layers, each with a unique name: in some nets several are called `crop`."""
    seen = {}
    for layer in needed:
        count = seen[layer.name] = seen.get(layer.name, 0) + 1
        yield layer if count == 1 else dataclasses.replace(layer, name=f"{layer.name}_{count}")
