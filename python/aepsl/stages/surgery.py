"""LargeFOV's initial weights from VGG-16's.

VGG's fc6 sees 7 x 7 cells of pool5 at stride 32, LargeFOV's 3 x 3 at stride 8 with dilation 12. Of the 7 x 7 positions,
rows and columns 0, 3 and 6 are kept: they are 3 * 32 = 96 pixels apart, as LargeFOV's are, 12 * 8. Of the 4096 filters
of fc6 and of fc7 every fourth is kept, from the first on, and of fc7's inputs those of the kept filters of fc6. fc8 is
left out, the convolutions are copied. Nothing is random and nothing is scaled.

For a file that has only the convolutions, fc6 and fc7 are drawn, and scaled by the data: `drawn`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
from caffe.proto import caffe_pb2

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import check_place, write_bytes
from aepsl.data.lists import shown
from aepsl.graph.stage import TRAINING
from aepsl.layers.data import Sampler
from aepsl.nets import build, caffemodel
from aepsl.settings.typed import Experiment
from aepsl.store import digests
from aepsl.store.result import Made

SIDE = 7  # of fc6 in VGG
POSITIONS = slice(None, None, 3)
FILTERS = slice(None, None, 4)
CONVOLUTION = re.compile(r"conv[1-5]_\d+")
DRAWN = ("fc6", "fc7")
IMAGES = 16  # on which the outputs of drawn weights are measured


def run(vgg: str, out: str, experiment: Experiment, data: str, draw: bool = False) -> Made:
    """Write the caffemodel `out`: the layers conv1_1 ... fc7 of LargeFOV.

    vgg: VGG_ILSVRC_16_layers.caffemodel, in the old format (`layers`) or the new; or a file of LargeFOV, such as
    DeepLab's vgg16_20M.caffemodel, whose values are copied; or one that has only VGG's convolutions. experiment, data:
    used in the last case alone, to draw fc6 and fc7. draw: draw them also if a file without them has other layers.
    Raises InputError for the weights of another net.
    """
    check_place(out)
    layers = caffemodel.caffemodel_layers(vgg)
    is_trunk = _is_trunk(vgg, layers, draw)
    is_vgg = not is_trunk and _is_vgg(vgg, layers)
    names = [name for name in layers if CONVOLUTION.fullmatch(name) or name in DRAWN]
    arrays: dict[str, Sequence[np.ndarray]] = {
        name: _weights_and_bias(vgg, layers[name], is_vgg and name in DRAWN) for name in names
    }
    if is_trunk:
        arrays.update(drawn(vgg, experiment, data))
    net = caffe_pb2.NetParameter(name="LargeFOV")
    for name, blobs in arrays.items():
        layer = net.layer.add(name=name, type="Convolution")
        for array in blobs:
            layer.blobs.add(data=array.ravel().tolist()).shape.dim.extend(array.shape)
    write_bytes(out, net.SerializeToString())
    return Made([out])


def _is_trunk(path: str, layers: Mapping[str, Any], draw: bool = False) -> bool:
    """Whether the layers are VGG's convolutions alone. InputError if there are other layers, unless `draw`.

    The other layers may be fc6 and fc7 under names that this net does not know.
    """
    if "conv5_3" not in layers or set(DRAWN) & set(layers):
        return False
    others = [name for name in layers if not CONVOLUTION.fullmatch(name)]
    if others and not draw:
        line = f"has no fc6 and fc7, but {len(others)} layers that this net does not know: {shown(others)}"
        remedy = "name its layers as VGG-16's; or `aepsl surgery --draw` writes a file for WEIGHTS= with both drawn"
        raise InputError(f"{path}: {line}; {remedy}")
    return True


def depends_on(vgg: str, experiment: Experiment, data: str) -> dict[str, Any]:
    """The settings and contents that drawn fc6 and fc7 depend on, {name: JSON value}; {} if the file `vgg` has them."""
    if not _is_trunk(vgg, caffemodel.caffemodel_layers(vgg)):
        return {}
    sampler = _sampler(experiment, data)
    ids = [sampler.ids[k] for k in sampler.indices(0)]
    net = digests.of_value(build.deploy_net(experiment, "classification"))
    settings = {key: experiment.value(key) for key in TRAINING}
    return dict(settings, net=net, **sampler.dataset.contents(ids, "images"))


def drawn(vgg: str, experiment: Experiment, data: str) -> dict[str, list[np.ndarray]]:
    """fc6 and fc7 for the convolutions of the file `vgg`: {name: [weights, bias]}, float32.

    Normally distributed, from the experiment's seed. Then each filter is scaled, and given a bias, so that its outputs
    before the ReLU have mean 0 and standard deviation 1 over the positions of the first IMAGES crops of a training with
    this seed (Kraehenbuehl et al., Data-dependent initializations of CNNs, ICLR 2016). VGG's conv5_3 is far from unit
    size, and has no negative value. With He's variance and no bias, a filter's outputs would also be far from unit
    size, and almost the same for every image.
    """
    build.check_size(experiment, "classification")
    net = caffemodel.net_of(build.deploy_net(experiment, "classification"))
    caffemodel.load_weights(net, vgg, (*DRAWN, *build.NEW_LAYERS))
    random = np.random.RandomState(experiment.seed.training)
    sampler = _sampler(experiment, data)
    batch = [np.empty(shape, np.float32) for shape in sampler.shapes]
    sampler.fill(0, batch)
    for name in DRAWN:
        weights, bias = net.params[name]
        weights.data[...] = random.standard_normal(weights.data.shape) / weights.data[0].size ** 0.5
        bias.data[...] = 0
        mean, deviation = _outputs(net, name, batch[0])
        if not (np.isfinite(deviation).all() and (deviation > 0).all()):
            raise InputError(f"{vgg}: gives nothing for the first training images. {caffemodel.RIGHT_WEIGHTS}")
        weights.data[...] /= deviation[:, None, None, None]
        bias.data[...] = -mean / deviation
    line = f"each filter's outputs have mean 0 and a root mean square of 1 on {IMAGES} training images"
    print(f"{vgg}: has no fc6 and fc7; they are drawn from seed {experiment.seed.training}: {line}", flush=True)
    return {name: [np.array(blob.data) for blob in net.params[name]] for name in DRAWN}


def _outputs(net: Any, name: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each filter of the layer `name` over images and positions: float64 arrays."""
    sums = squares = 0
    for image in images:
        net.blobs["data"].data[...] = image
        net.forward(end=name)  # without the ReLU after it, which is in place
        values = net.blobs[name].data[0].reshape(net.blobs[name].channels, -1).astype(np.float64)
        sums, squares = sums + values.mean(1), squares + np.square(values).mean(1)
    mean = sums / len(images)
    return mean, (squares / len(images) - mean**2) ** 0.5


def _sampler(experiment: Experiment, data: str) -> Sampler:
    """The crops of the training images, IMAGES in a batch."""
    return Sampler(**build.data_parameters(experiment, "classification", root=data, batch=IMAGES))


def _is_vgg(path: str, layers: Mapping[str, Any]) -> bool:
    """Whether the layers of the file `path` are VGG-16's; InputError where they are neither VGG-16's nor LargeFOV's."""
    shapes = {name: caffemodel.shape_of(layers[name].blobs[0]) for name in ("conv5_3", *DRAWN) if name in layers}
    if len(shapes) == 3 and all(shapes.values()):
        channels, fc6, fc7 = shapes["conv5_3"][0], shapes["fc6"], shapes["fc7"]
        if fc6[-2:] == [fc7[-1], channels * SIDE**2] and fc7[-2:] == [fc7[-1]] * 2:
            return True
        if fc6 == [fc7[0], channels, 3, 3] and fc7 == [fc7[0], fc7[0], 1, 1]:
            return False
    found = ", ".join(f"{name} {shapes.get(name, 'missing')}" for name in ("conv5_3", *DRAWN))
    raise InputError(f"{path}: holds neither VGG-16 nor LargeFOV: its weights are {found}. {caffemodel.RIGHT_WEIGHTS}")


def _weights_and_bias(path: str, layer: Any, is_row: bool) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays of a layer of the file `path`, as LargeFOV has them; is_row: it is fully connected, as in VGG.

    Raises InputError if there are not two, if a value is not finite, if all are the same, or if there is not one bias
    for each filter.
    """
    weights, bias = caffemodel.arrays(path, layer) if len(layer.blobs) == 2 else (None, None)
    if weights is None or bias is None:
        fault = f"holds {len(layer.blobs)} arrays in place of weights and biases"
    elif weights.size > 1 and weights.min() == weights.max():
        fault = f"has the value {weights.flat[0]:g} throughout: it was never trained"
    elif bias.size != weights.shape[-2 if is_row else 0]:
        fault = f"has {bias.size} biases for {weights.shape[-2 if is_row else 0]} filters"
    else:
        return decimated(layer.name, weights, bias) if is_row else (weights, bias.ravel())
    raise InputError(f"{path}: its layer {layer.name} {fault}. {caffemodel.RIGHT_WEIGHTS}")


def decimated(name: str, weights: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """fc6 or fc7 of VGG as a convolution of LargeFOV.

    weights: ... x F x inputs, bias: ... x F float32, of the layer `name`. Returns F/4 x C x 3 x 3 (fc6, which has
    C x 7 x 7 inputs) or F/4 x F/4 x 1 x 1 (fc7), and F/4.
    """
    rows = weights.reshape(-1, weights.shape[-1])[FILTERS]
    if name == "fc6":
        kept = rows.reshape(len(rows), -1, SIDE, SIDE)[:, :, POSITIONS, POSITIONS]
    else:
        kept = rows[:, FILTERS, None, None]
    return kept, bias.ravel()[FILTERS]


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "experiment data")
    parser.add_argument("--vgg", required=True, help="VGG_ILSVRC_16_layers.caffemodel, or LargeFOV's own weights")
    parser.add_argument("--out", required=True, help="caffemodel to write")
    what = "draw fc6 and fc7 where the file lacks them, whatever other layers it has"
    parser.add_argument("--draw", action="store_true", help=what)
    run(**vars(parser.parse_args(argv)))
