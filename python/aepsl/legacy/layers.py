"""The layers that a prototxt has in testing, with their types as in V2; V1's are words like SOFTMAX_LOSS."""

import dataclasses
from typing import Any

import caffe

from aepsl.legacy.text import Fields, Text

# Kinds of other Caffes, as V2 writes them: DeepLab's, CRF-RNN's, CCNN's, PSPNet's, DeconvNet's, SegNet's.
FORKS = (
    "BN DenseCRF ImageSegData Interp MatWrite MultiStageMeanfield Padding SegAccuracy Unpooling Upsample Proposal"
    " ROIPooling BiasChannel"
).split()
OTHER_NAMES = {"softmaxloss": "SoftmaxWithLoss"}  # V1's name is not V2's
OF_TRAINING = "blobs_lr weight_decay loss_weight propagate_down blob_share_mode strict_dim".split()


def plain(word: str) -> str:
    """A type's name without underlines and capitals: the same in V1 and V2, except for OTHER_NAMES."""
    return word.replace("_", "").lower()


KINDS = {**{plain(kind): kind for kind in [*caffe.layer_type_list(), *FORKS]}, **OTHER_NAMES}


@dataclasses.dataclass
class Layer:
    """A layer; fields: its other fields, without those that only matter in training; line: in the prototxt."""

    name: str
    kind: str
    bottoms: list
    tops: list
    fields: Fields
    line: int

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}, line {self.line})"

    def made(self, kind: str, fields: Fields, **changes: Any) -> "Layer":
        """A layer of plain Caffe that replaces this one."""
        return dataclasses.replace(self, kind=kind, fields=fields, **changes)

    def text(self) -> str:
        """The layer's fields as a prototxt has them."""
        bottoms, tops = (list(map(Text, names)) for names in (self.bottoms, self.tops))
        return f"{Fields.of(name=Text(self.name), type=Text(self.kind), bottom=bottoms, top=tops)} {self.fields}"


def tested(fields: Fields) -> tuple[list[Layer], list[Layer]]:
    """(the layers of a prototxt's Fields that Caffe has in phase TEST, its other layers), in their order."""
    found: tuple[list[Layer], list[Layer]] = [], []
    messages = {id(each) for key in ("layer", "layers") for each in fields.messages(key)}
    for _, value, line in fields:
        if id(value) in messages:
            found[not _is_tested(value)].append(_layer(value, line))
    return found


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
