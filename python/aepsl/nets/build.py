"""Writes every prototxt of an experiment from its experiment.yaml.

Two trunks of output stride 8, for inputs of 8k + 1 pixels: VGG-16 as DeepLab-CRF-LargeFOV released it, under its
layer names, and SqueezeNet v1.0 made stride 8 in the same manner, under the official layer names. On the trunk
stands a head: global average pooling and a fully connected layer for classification (section 3.1 of the paper),
or a 1x1 convolution for segmentation; for online prohibitive segmentation learning (section 3.2) both.
"""

import json
import sys

from caffe import NetSpec
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import read_text, write_text
from aepsl.nets import sizes
from aepsl.settings import experiments

STRIDE = 8
NEW_LAYERS = ("fc8_cls", "fc8_seg")  # the heads; everything else has initial weights
HEADER = "# Written by `make nets` from experiment.yaml beside it; change that, or aepsl/nets/build.py.\n"


def weight_and_bias(lr_mult=1):
    """Caffe's and DeepLab's custom: the bias learns twice as fast and does not decay."""
    return [dict(lr_mult=lr_mult, decay_mult=1), dict(lr_mult=2 * lr_mult, decay_mult=0)]


def conv_relu(bottom, channels, size=3, dilation=1, stride=1):
    """A convolution, padded so that only its stride changes the size, and its ReLU."""
    conv = L.Convolution(
        bottom,
        num_output=channels,
        kernel_size=size,
        pad=dilation * (size // 2),
        dilation=dilation,
        stride=stride,
        param=weight_and_bias(),
        weight_filler=dict(type="msra"),
    )
    return conv, L.ReLU(conv, in_place=True)


def max_pool(bottom, stride):
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=stride, pad=1)


def dropout(bottom):
    return L.Dropout(bottom, dropout_ratio=0.5, in_place=True)


def largefov(n, x, experiment):
    """VGG-16 DeepLab-CRF-LargeFOV from the image `x` to fc7, added to the NetSpec `n`."""
    if "input_scale" in experiment:
        n.input = x = L.Power(x, scale=experiment["input_scale"])
    for block, (channels, convs) in enumerate(zip(experiment["channels"], experiment["convs"]), start=1):
        for k in range(1, convs + 1):
            conv, x = conv_relu(x, channels, dilation=2 if block == 5 else 1)
            n[f"conv{block}_{k}"], n[f"relu{block}_{k}"] = conv, x
        n[f"pool{block}"] = x = max_pool(x, stride=2 if block <= 3 else 1)
    n.pool5a = L.Pooling(x, pool=P.Pooling.AVE, kernel_size=3, stride=1, pad=1)
    n.fc6, n.relu6 = conv_relu(n.pool5a, experiment["fc"], dilation=experiment["fc6_dilation"])
    n.drop6 = dropout(n.relu6)
    n.fc7, n.relu7 = conv_relu(n.drop6, experiment["fc"], size=1)
    n.drop7 = dropout(n.relu7)
    return n.drop7


def squeezenet(n, x, experiment):
    """SqueezeNet v1.0 from the image `x` to fire9; pool8 has stride 1 and fire9 is dilated in exchange."""
    n.conv1, n.relu_conv1 = conv_relu(x, 96, size=7, stride=2)
    n.pool1 = x = max_pool(n.relu_conv1, stride=2)
    for k, squeezed in enumerate([16, 16, 32, 32, 48, 48, 64, 64], start=2):
        x = fire(n, f"fire{k}", x, squeezed, dilation=2 if k == 9 else 1)
        if k in (4, 8):
            n[f"pool{k}"] = x = max_pool(x, stride=2 if k == 4 else 1)
    n.drop9 = dropout(x)
    # The released weights give fire9 a mean of 11; scaled, the heads' fillers and rates of LargeFOV serve here too.
    n.scaled9 = L.Power(n.drop9, scale=0.05)
    return n.scaled9


def fire(n, name, x, squeezed, dilation):
    """SqueezeNet's module: 1x1 to `squeezed` channels, then 1x1 and 3x3 to four times as many, side by side."""
    layers = [("squeeze1x1", squeezed, 1), ("expand1x1", 4 * squeezed, 1), ("expand3x3", 4 * squeezed, 3)]
    for part, channels, size in layers:
        conv, relu = conv_relu(x, channels, size, dilation=dilation if size == 3 else 1)
        n[f"{name}/{part}"], n[f"{name}/relu_{part}"] = conv, relu
        if part == "squeeze1x1":
            x = relu
    n[f"{name}/concat"] = L.Concat(n[f"{name}/relu_expand1x1"], n[f"{name}/relu_expand3x3"])
    return n[f"{name}/concat"]


TRUNKS = {"largefov": largefov, "squeezenet": squeezenet}


def classification_head(n, trunk, experiment):
    """Scores N x C: global average pooling, so that fc8_cls' weights make a CAM of the trunk's last blob."""
    n.gap = L.Pooling(trunk, pool=P.Pooling.AVE, global_pooling=True)
    n.fc8_cls = L.InnerProduct(n.gap, num_output=len(experiment["classes"]), **_new_layer(experiment))
    return n.fc8_cls


def segmentation_head(n, trunk, experiment):
    """Scores N x (C + 1) x h x w, background first."""
    n.fc8_seg = L.Convolution(trunk, num_output=len(experiment["classes"]) + 1, kernel_size=1, **_new_layer(experiment))
    return n.fc8_seg


def _new_layer(experiment):
    return dict(
        param=weight_and_bias(experiment["new_layer_lr"]),
        weight_filler=dict(type="gaussian", std=0.01),
        bias_filler=dict(type="constant", value=0),
    )


def data_layer(experiment, task):
    """aepsl.layers.data.WeaklyLabelledImages; `aepsl.stages.train` fills in a run's own data, regions and masks."""
    data = experiment["data"]
    parameters = dict(
        root="data/" + experiment["name"],
        list=data["train"],
        classes=experiment["classes"],
        batch=experiment["training"][task]["batch"],
        crop=data["crop"],
        scale=data["scale"],
        mean=data["mean"],
        mirror=True,
        seed=experiment["seed"],
        workers=data["workers"],
        regions=None,
        masks=None,
        mask_stride=STRIDE,
    )
    return _python(
        "data.WeaklyLabelledImages", ntop=2 if task == "classification" else 3, param_str=json.dumps(parameters)
    )


def batch_shapes(experiment, task, batch):
    """The shapes of what a training net learns from: images, labels and, but for classification, masks."""
    crop, classes = experiment["data"]["crop"], len(experiment["classes"])
    side = (crop - 1) // STRIDE + 1
    return [[batch, 3, crop, crop], [batch, classes], [batch, 1, side, side]][: 2 if task == "classification" else 3]


def classification_loss(n, scores):
    return _python("losses.SquaredClassificationLoss", scores, n.labels, loss_weight=1, propagate_down=[True, False])


def segmentation_loss(n, scores, mask):
    """J(f, mask) of section 3.2."""
    return _python(
        "losses.MaskedCrossEntropy", scores, mask, n.labels, loss_weight=1, propagate_down=[True, False, False]
    )


def prohibitive_mask(n, scores):
    """S_hat of section 3.2. No gradient goes through it, neither to f nor to v."""
    n.v = L.Softmax(n.fc8_cls, propagate_down=False)
    return _python(
        "psl.ProhibitiveMask", scores, n.v, n.labels, propagate_down=[False] * 3, param_str='{"weights": "scores"}'
    )


def _python(name, *bottoms, **more):
    """A layer of aepsl.layers, 'file.Class'."""
    file, layer = name.split(".")
    return L.Python(*bottoms, module="aepsl.layers." + file, layer=layer, **more)


def train_net(experiment, task, source=data_layer):
    """The training net of `task` as text; source(experiment, task): the layer that gives batches, a list of tops."""
    n = _Net()
    n.data, n.labels, *masks = source(experiment, task)
    if masks:
        (n.mask,) = masks
    trunk = TRUNKS[experiment["net"]](n, n.data, experiment)
    if task in ("classification", "psl"):
        n.loss_cls = classification_loss(n, classification_head(n, trunk, experiment))
    if task in ("segmentation", "psl"):
        scores = segmentation_head(n, trunk, experiment)
        n.loss_seg = segmentation_loss(n, scores, n.mask)
    if task == "psl":
        n.mask_hat = prohibitive_mask(n, scores)
        n.loss_psl = segmentation_loss(n, scores, n.mask_hat)
    return _text(n, experiment, task, "train")


def deploy_net(experiment, task):
    """The same net for one image; its input is reshaped to the image's size."""
    n = _Net()
    crop = experiment["data"]["crop"]
    n.data = L.Input(input_param=dict(shape=dict(dim=[1, 3, crop, crop])))
    trunk = TRUNKS[experiment["net"]](n, n.data, experiment)
    if task in ("classification", "psl"):
        classification_head(n, trunk, experiment)
    if task in ("segmentation", "psl"):
        segmentation_head(n, trunk, experiment)
    return _text(n, experiment, task, "deploy")


def solver(experiment, task, net, images, prefix):
    """The solver of `task` as text.

    net: path of the training net; images: how many it is trained on, which fixes the iterations of an epoch;
    prefix: of the snapshots.
    """
    settings = experiment["training"][task]
    epochs = lambda count: experiments.iterations(count, images, settings["batch"])  # noqa: E731
    parameter = caffe_pb2.SolverParameter(
        net=net,
        base_lr=settings["lr"],
        lr_policy="step",
        gamma=0.1,
        stepsize=epochs(settings["lr_step_epochs"]),
        max_iter=epochs(settings["epochs"]),
        momentum=settings["momentum"],
        weight_decay=settings["decay"],
        display=20,
        snapshot=epochs(1),
        snapshot_prefix=prefix,
        random_seed=experiment["seed"],
    )
    return text_format.MessageToString(parameter)


def committed(experiment):
    """{path: text} of every prototxt of the experiment."""
    texts = {}
    for task in experiments.TASKS:
        path = lambda kind: experiments.prototxt(experiment, task, kind)  # noqa: B023, E731
        texts[path("train")] = train_net(experiment, task)
        texts[path("deploy")] = deploy_net(experiment, task)
        images = experiment["data"]["train_images"]
        prefix = f"runs/{experiment['name']}/{task}"
        texts[path("solver")] = HEADER + solver(experiment, task, path("train"), images, prefix)
    return texts


def check(experiment):
    """Raise InputError if a prototxt is not what experiment.yaml says: stages would follow one or the other.

    And if the batch or the crop of a task is larger than Caffe can take.
    """
    for path, text in committed(experiment).items():
        _compare(path, text)
    for task in experiments.TASKS:
        _check_size(experiment, task)


def checked(experiment, task, kind):
    """The path of the prototxt that `task` is trained ("train") or used ("deploy") with, for Caffe to open.

    Raises InputError if it is not there, or not what experiment.yaml says: at most faults Caffe would abort. And as
    `check` for the sizes of this task.
    """
    path = experiments.prototxt(experiment, task, kind)
    _check_size(experiment, task)
    _compare(path, dict(train=train_net, deploy=deploy_net)[kind](experiment, task))
    return path


def _check_size(experiment, task):
    sizes.check(text_format.Parse(deploy_net(experiment, task), caffe_pb2.NetParameter()), experiment, task)


def _compare(path, text):
    found = read_text(path)
    if found is None:
        raise InputError(f"{path}: no such prototxt; `make nets` writes it")
    if found != text:
        raise InputError(f"{path}: is not what experiment.yaml beside it says; `make nets` writes it anew")


class _Net(NetSpec):
    """NetSpec whose tops can also be set by item, for names with a slash."""

    def __setitem__(self, name, top):
        setattr(self, name, top)


def _text(n, experiment, task, kind):
    return f'{HEADER}name: "{experiment["name"]}_{task}_{kind}"\n{n.to_proto()}'


def main(argv=None):
    """A faulty experiment keeps no other from being written. Raises InputError for the last one."""
    parser = cli.parser(__doc__)
    parser.add_argument("experiments", nargs="*", default=experiments.known())
    faults = []
    for name in parser.parse_args(argv).experiments:
        try:
            for path, text in committed(experiments.load(name)).items():
                write_text(path, text)
        except InputError as error:
            faults.append(error)
    for error in faults[:-1]:
        print(f"error: {error}", file=sys.stderr)
    if faults:
        raise faults[-1]
