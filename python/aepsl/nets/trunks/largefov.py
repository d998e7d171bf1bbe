"""VGG-16 as DeepLab-CRF-LargeFOV released it, under its layer names."""

from caffe import layers as L
from caffe import params as P
from caffe.net_spec import Top

from aepsl.nets.parts import Net, conv_relu, dropout, max_pool
from aepsl.settings.typed import Experiment

NEEDS_SURGERY = True  # on VGG-16's weights (aepsl.stages.surgery)


def trunk(n: Net, x: Top, experiment: Experiment) -> Top:
    """From the image `x` to fc7."""
    assert experiment.channels and experiment.convs and experiment.fc and experiment.fc6_dilation  # see schema.yaml
    if experiment.input_scale:
        n.input = x = L.Power(x, scale=experiment.input_scale)
    for block, (channels, convs) in enumerate(zip(experiment.channels, experiment.convs), start=1):
        n.comment(f"VGG-16, block {block}" + ", dilated: pool4 does not stride" * (block == 5))
        for k in range(1, convs + 1):
            conv, x = conv_relu(x, channels, dilation=2 if block == 5 else 1)
            n[f"conv{block}_{k}"], n[f"relu{block}_{k}"] = conv, x
        n[f"pool{block}"] = x = max_pool(x, stride=2 if block <= 3 else 1)
    n.comment("The large field of view")
    n.pool5a = L.Pooling(x, pool=P.Pooling.AVE, kernel_size=3, stride=1, pad=1)
    n.fc6, n.relu6 = conv_relu(n.pool5a, experiment.fc, dilation=experiment.fc6_dilation)
    n.drop6 = dropout(n.relu6)
    n.fc7, n.relu7 = conv_relu(n.drop6, experiment.fc, size=1)
    n.drop7 = dropout(n.relu7)
    return n.drop7
