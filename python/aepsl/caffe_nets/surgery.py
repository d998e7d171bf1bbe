"""LargeFOV's initial weights from VGG-16's.

VGG's fc6 sees 7 x 7 cells of pool5 at stride 32, LargeFOV's 3 x 3 at stride 8 with dilation 12. Of the 7 x 7 positions
rows and columns 0, 3 and 6 stay: they are 3 * 32 = 96 pixels apart, as LargeFOV's are, 12 * 8. Of the 4096 filters of
fc6 and of fc7 every fourth stays, from the first on, and of fc7's inputs those that fc6 still has. fc8 goes, the
convolutions stay. Nothing is random and nothing is scaled.
"""

from caffe.proto import caffe_pb2

from aepsl import cli, digests
from aepsl.caffe_nets import caffemodel
from aepsl.errors import InputError
from aepsl.files import written_whole
from aepsl.made import Result

SIDE = 7  # of fc6 in VGG
POSITIONS = slice(None, None, 3)
FILTERS = slice(None, None, 4)


def run(vgg, out):
    """Write the caffemodel `out`: the layers conv1_1 ... fc7 of LargeFOV.

    vgg: VGG_ILSVRC_16_layers.caffemodel, in the old format (`layers`) or the new; or a file that is LargeFOV's already,
    such as DeepLab's vgg16_20M.caffemodel, whose values stay. Raises InputError for the weights of another net.
    """
    result = Result(out, dict(stage="surgery", weights=digests.of_file(caffemodel.existing(vgg))))
    if result.has():
        return result
    layers = caffemodel.caffemodel_layers(vgg)
    shapes = {name: caffemodel.shape_of(layer.blobs[0]) or [1] for name, layer in layers.items()}
    is_vgg = _is_vgg(shapes)
    if not is_vgg and not _is_largefov(shapes):
        found = ", ".join(f"{name} {shapes.get(name, 'missing')}" for name in ("conv5_3", "fc6", "fc7"))
        raise InputError(
            f"{vgg}: holds neither VGG-16 nor LargeFOV: its weights are {found}. {caffemodel.RIGHT_WEIGHTS}"
        )
    net = caffe_pb2.NetParameter(name="LargeFOV")
    for name, layer in layers.items():
        if not name.startswith("conv") and name not in ("fc6", "fc7"):
            continue
        weights, bias = _weights_and_bias(vgg, layer, is_row=is_vgg and name.startswith("fc"))
        if is_vgg and name.startswith("fc"):
            weights, bias = decimated(name, weights, bias)
        blobs = net.layer.add(name=name, type="Convolution").blobs
        for array in (weights, bias.ravel()):
            blobs.add(data=array.ravel().tolist()).shape.dim.extend(array.shape)
    with written_whole(out) as beside, open(beside, "wb") as file:
        file.write(net.SerializeToString())
    return result


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
    parser = cli.parser(__doc__, "done")
    parser.add_argument("--vgg", required=True, help="VGG_ILSVRC_16_layers.caffemodel, or LargeFOV's already")
    parser.add_argument("--out", required=True, help="caffemodel to write")
    cli.run_stage(run, parser.parse_args(argv))
