"""The layers that a prototxt has when a net is tested, named as in V2; V1's types are words like SOFTMAX_LOSS."""

from dataclasses import dataclass

import caffe

from aepsl.legacy.text import Fields, Text

# Kinds of other Caffes, as V2 writes them: DeepLab's, CRF-RNN's, CCNN's, PSPNet's, DeconvNet's, SegNet's.
FORKS = (
    "BN DenseCRF ImageSegData Interp MatWrite MultiStageMeanfield Padding SegAccuracy Unpooling Upsample Proposal"
    " ROIPooling BiasChannel"
).split()
OTHER_NAMES = {"softmaxloss": "SoftmaxWithLoss"}  # V1's name is not V2's
OF_TRAINING = "blobs_lr weight_decay loss_weight propagate_down blob_share_mode strict_dim".split()


def plain(word):
    return word.replace("_", "").lower()


KINDS = {**{plain(kind): kind for kind in [*caffe.layer_type_list(), *FORKS]}, **OTHER_NAMES}


@dataclass
class Layer:
    """fields: what else it has, without what is for training alone."""

    name: str
    kind: str
    bottoms: list
    tops: list
    fields: Fields
    line: int

    def __str__(self):
        return f"{self.name} ({self.kind}, line {self.line})"

    def made(self, kind, fields=None, **changes):
        """A layer of plain Caffe in this one's place."""
        own = dict(name=self.name, bottoms=self.bottoms, tops=self.tops, line=self.line)
        return Layer(kind=kind, fields=Fields() if fields is None else fields, **{**own, **changes})

    def text(self):
        words = [("name", self.name), ("type", self.kind)]
        words += [("bottom", each) for each in self.bottoms] + [("top", each) for each in self.tops]
        return f"{Fields((key, Text(value), 0) for key, value in words)} {self.fields}"


def tested(fields):
    """The layers of a prototxt's Fields that Caffe has in phase TEST, in their order."""
    return [_layer(value, line) for value, line in _messages(fields) if _is_tested(value)]


def trained(fields):
    """Those that it has in phase TRAIN alone."""
    return [_layer(value, line) for value, line in _messages(fields) if not _is_tested(value)]


def _messages(fields):
    lines = {id(value): line for _, value, line in fields}
    found = fields.messages("layer") + fields.messages("layers")
    return sorted(((value, lines[id(value)]) for value in found), key=lambda each: each[1])


def _layer(fields, line):
    kind = fields.get("type", "")
    rest = fields.without("name", "type", "bottom", "top", "include", "exclude", *OF_TRAINING)
    shared = [(key, value if isinstance(value, Fields) else Fields([("name", value, line)]), line)
              for key, value, line in rest if key == "param"]  # fmt: skip
    return Layer(
        fields.get("name", ""),
        KINDS.get(plain(kind), kind),
        fields.words("bottom"),
        fields.words("top"),
        Fields([*shared, *rest.without("param")]),
        line,
    )


def _is_tested(fields):
    includes, excludes = fields.messages("include"), fields.messages("exclude")
    return any(map(_holds, includes)) if includes else not any(map(_holds, excludes))


def _holds(rule):
    """Whether Caffe's state, of phase TEST, level 0 and without stages, meets the rule."""
    low, high = (rule.number(key, 0, int) for key in ("min_level", "max_level"))
    return rule.get("phase", "TEST") in ("TEST", "1") and not rule.words("stage") and low <= 0 <= high
