"""LargeFOV's initial weights from VGG-16's.

VGG's fc6 sees 7 x 7 cells of pool5 at stride 32, LargeFOV's 3 x 3 at stride 8 with dilation 12. Of the 7 x 7 positions
rows and columns 0, 3 and 6 stay: they are 3 * 32 = 96 pixels apart, as LargeFOV's are, 12 * 8. Of the 4096 filters of
fc6 and of fc7 every fourth stays, from the first on, and of fc7's inputs those that fc6 still has. fc8 goes, the
convolutions stay. Nothing is random and nothing is scaled.

Of a file that holds the convolutions alone fc6 and fc7 are drawn, and scaled by the data: `drawn`.
"""

import numpy as np
from caffe.proto import caffe_pb2

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import check_place, written_whole
from aepsl.graph.stage import TRAINING
from aepsl.layers.data import PARAMETERS, Sampler
from aepsl.nets import build, caffemodel
from aepsl.store import digests
from aepsl.store.result import Made

SIDE = 7  # of fc6 in VGG
POSITIONS = slice(None, None, 3)
FILTERS = slice(None, None, 4)
DRAWN = ("fc6", "fc7")
IMAGES = 16  # that say which outputs drawn weights have


def run(vgg, out, experiment, data):
    """Write the caffemodel `out`: the layers conv1_1 ... fc7 of LargeFOV.

    vgg: VGG_ILSVRC_16_layers.caffemodel, in the old format (`layers`) or the new; or a file that is LargeFOV's already,
    such as DeepLab's vgg16_20M.caffemodel, whose values stay; or one that has VGG's convolutions alone. experiment,
    data: settings and data set that fc6 and fc7 are then drawn for, else not looked at. Raises InputError for the
    weights of another net.
    """
    check_place(out)
    layers = caffemodel.caffemodel_layers(vgg)
    depends = depends_on(layers, experiment, data)
    net = caffe_pb2.NetParameter(name="LargeFOV")
    for name, (weights, bias) in _largefov(vgg, layers, bool(depends)).items():
        _add(net, name, weights, bias)
    if depends:
        for name, arrays in drawn(vgg, experiment, data).items():
            _add(net, name, *arrays)
    with written_whole(out) as beside, open(beside, "wb") as file:
        file.write(net.SerializeToString())
    return Made([out])


def depends_on(layers, experiment, data):
    """What drawn fc6 and fc7 depend on: settings and contents, {name: JSON value}; {} for a file that has them.

    layers: {name: layer} of the file that LargeFOV's weights are made of.
    """
    if "conv5_3" not in layers or set(DRAWN) & set(layers):
        return {}
    sampler = _sampler(experiment, data)
    ids = [sampler.ids[k] for k in sampler.indices(0)]
    net = digests.of_value(build.deploy_net(experiment, "classification"))
    settings = {key: experiment.value(key) for key in TRAINING}
    return dict(settings, net=net, **sampler.dataset.contents(ids, "images"))


def drawn(vgg, experiment, data):
    """fc6 and fc7 for the convolutions of the file `vgg`: {name: [weights, bias]}, float32.

    Normally distributed, from the experiment's seed; then each filter is scaled, and given a bias, so that its outputs,
    before the ReLU, have mean 0 and standard deviation 1 over the positions of the first IMAGES crops that a training
    with this seed would see (Kraehenbuehl et al., Data-dependent initializations of CNNs, ICLR 2016). VGG's conv5_3 is
    far from unit size, and none of its values is negative: with He's variance and no bias a filter's outputs would be
    far from unit size, too, and almost the same for every image.
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
    print(
        f"{vgg}: has no fc6 and fc7; they are drawn from seed {experiment.seed.training}: each filter's outputs have "
        f"mean 0 and a root mean square of 1 on {IMAGES} training images",
        flush=True,
    )
    return {name: [np.array(blob.data) for blob in net.params[name]] for name in DRAWN}


def _outputs(net, name, images):
    """Mean and standard deviation of each filter of the layer `name` over images and positions: float64 arrays."""
    sums = squares = 0
    for image in images:
        net.blobs["data"].data[...] = image
        net.forward(end=name)  # the ReLU behind it, which is in place, is left out
        values = net.blobs[name].data[0].reshape(net.blobs[name].channels, -1).astype(np.float64)
        sums, squares = sums + values.mean(1), squares + np.square(values).mean(1)
    mean = sums / len(images)
    return mean, (squares / len(images) - mean**2) ** 0.5


def _sampler(experiment, data):
    """The crops of the training images, IMAGES in a batch."""
    settings = experiment.data
    chosen = {key: getattr(settings, key) for key in ("crop", "scale", "mean")}
    chosen.update(root=data, list=settings.train, classes=experiment.classes, seed=experiment.seed.training)
    return Sampler(**dict(PARAMETERS, batch=IMAGES, **chosen))


def _largefov(vgg, layers, is_trunk):
    """{layer: (weights, bias)} of LargeFOV in the file `vgg` with these layers; is_trunk: the convolutions alone."""
    shapes = {name: caffemodel.shape_of(layer.blobs[0]) or [1] for name, layer in layers.items()}
    is_vgg = _is_vgg(shapes)
    if not is_vgg and not is_trunk and not _is_largefov(shapes):
        found = ", ".join(f"{name} {shapes.get(name, 'missing')}" for name in ("conv5_3", "fc6", "fc7"))
        raise InputError(
            f"{vgg}: holds neither VGG-16 nor LargeFOV: its weights are {found}. {caffemodel.RIGHT_WEIGHTS}"
        )
    result = {}
    for name, layer in layers.items():
        if not name.startswith("conv") and name not in ("fc6", "fc7"):
            continue
        weights, bias = _weights_and_bias(vgg, layer, is_row=is_vgg and name.startswith("fc"))
        if is_vgg and name.startswith("fc"):
            weights, bias = decimated(name, weights, bias)
        result[name] = weights, bias
    return result


def _add(net, name, weights, bias):
    blobs = net.layer.add(name=name, type="Convolution").blobs
    for array in (weights, bias.ravel()):
        blobs.add(data=array.ravel().tolist()).shape.dim.extend(array.shape)


def _weights_and_bias(path, layer, is_row):
    """The two arrays of a layer of the file `path`; is_row: each filter is a row, as in a fully connected layer.

    Raises InputError if they are not two, not finite, or if there is not one bias for each filter.
    """
    if len(layer.blobs) != 2:
        raise InputError(
            f"{path}: its layer {layer.name} holds {len(layer.blobs)} arrays in place of weights and biases. "
            f"{caffemodel.RIGHT_WEIGHTS}"
        )
    weights, bias = caffemodel.arrays(path, layer)
    filters = weights.shape[-2 if is_row else 0]
    if bias.size != filters:
        raise InputError(
            f"{path}: its layer {layer.name} has {bias.size} biases for {filters} filters. {caffemodel.RIGHT_WEIGHTS}"
        )
    return weights, bias


def decimated(name, weights, bias):
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


def _is_vgg(shapes):
    if not {"conv5_3", "fc6", "fc7"} <= set(shapes):
        return False
    channels, filters = shapes["conv5_3"][0], shapes["fc7"][-1]
    return shapes["fc6"][-2:] == [filters, channels * SIDE**2] and shapes["fc7"][-2:] == [filters, filters]


def _is_largefov(shapes):
    if not {"conv5_3", "fc6", "fc7"} <= set(shapes):
        return False
    channels, filters = shapes["conv5_3"][0], shapes["fc7"][0]
    return shapes["fc6"] == [filters, channels, 3, 3] and shapes["fc7"] == [filters, filters, 1, 1]


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data")
    parser.add_argument("--vgg", required=True, help="VGG_ILSVRC_16_layers.caffemodel, or LargeFOV's already")
    parser.add_argument("--out", required=True, help="caffemodel to write")
    run(**vars(parser.parse_args(argv)))
