"""The front of a net: its data layers become one input; their mean, scale and size are read."""

import ast
from dataclasses import dataclass
from typing import Optional

from aepsl.legacy.layers import Layer
from aepsl.legacy.text import Fields

SIDE = 321  # pixels of an input whose size the prototxt does not give


@dataclass(frozen=True)
class Front:
    """A net's input `blob`, and the prototxt's values for it, None where it has none.

    mean: of the channels B, G, R; scale: the factor of pixels less the mean; crop: (height, width); mean_file: the path
    of a mean image, which is not read.
    """

    blob: str
    mean: Optional[tuple] = None
    scale: Optional[float] = None
    crop: Optional[tuple] = None
    mean_file: Optional[str] = None
    channels: int = 3

    def size(self) -> tuple[int, int]:
        """(height, width) of the input; SIDE each if the prototxt does not give them."""
        return self.crop or (SIDE, SIDE)

    def layer(self) -> Layer:
        """The Input layer."""
        shape = Fields.of(dim=[1, self.channels, *self.size()])
        return Layer("input", "Input", [], [self.blob], Fields.of(input_param=Fields.of(shape=shape)), 0)

    def said(self) -> str:
        """The prototxt's values for it, in words."""
        said = {"mean": self.mean, "scale": self.scale, "size": self.crop, "not the mean of": self.mean_file}
        words = [f"{name} {value}" for name, value in said.items() if value]
        return ", ".join(words) or "of which the file says nothing"


def fronts(fields: Fields, every: list[Layer]) -> tuple[dict[str, Front], list[Layer]]:
    """({blob: Front} of the inputs and of the tops of data layers, the layers of `every` without data layers)."""
    found, rest = dict(_declared(fields)), []
    for layer in every:
        reads = layer.kind == "Python" and set(layer.bottoms) <= set(found)  # e.g. SEC's annotations of images
        if layer.bottoms and not reads:
            rest.append(layer)
            continue
        before = [found[name] for name in layer.bottoms if found[name].mean]
        for top in layer.tops:
            found.setdefault(top, _of_layer(top, layer, before))
    return found, rest


def _declared(fields):
    names, dims = fields.words("input"), fields.numbers("input_dim", int)
    shapes = [dims[k : k + 4] for k in range(0, len(dims), 4)]
    shapes += [shape.numbers("dim", int) for shape in fields.messages("input_shape")]
    for name, shape in zip(names, [*shapes, *[[]] * len(names)]):
        yield name, _of_shape(name, shape)


def _of_shape(name, shape):
    return Front(name, crop=tuple(shape[2:]), channels=shape[1]) if len(shape) == 4 else Front(name)


def _of_layer(top, layer, before):
    fields = layer.fields
    if layer.kind == "Input":
        shapes = fields.message("input_param").messages("shape") or [Fields()]
        return _of_shape(top, shapes[min(layer.tops.index(top), len(shapes) - 1)].numbers("dim", int))
    transform, memory = fields.message("transform_param"), fields.message("memory_data_param")
    image = fields.message("image_data_param")
    mean = tuple(transform.numbers("mean_value")) or _python_mean(fields) or (before and before[0].mean)
    side = transform.number("crop_size", kind=int)
    sides = [each.number(key, kind=int) for each, key in ((memory, "height"), (memory, "width"))]
    sides = sides if all(sides) else [image.number(key, kind=int) for key in ("new_height", "new_width")]
    sides = sides if all(sides) else [side, side]
    crop = tuple(sides) if all(sides) else before and before[0].crop or None
    mean = mean * (3 // len(mean)) if mean else None
    return Front(top, mean, transform.number("scale"), crop, transform.get("mean_file"))


def _python_mean(fields):
    """The mean in the param_str of a data layer like FCN's, a dict in Python's notation; it is never run."""
    try:
        said = ast.literal_eval(fields.message("python_param").get("param_str", "{}"))
        return tuple(map(float, said["mean"]))
    except (ValueError, SyntaxError, TypeError, KeyError):
        return None
