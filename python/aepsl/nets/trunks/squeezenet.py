"""SqueezeNet v1.0 under the official layer names, made stride 8: pool8 has stride 1, fire9 is dilated in exchange."""

from caffe import layers as L
from caffe.net_spec import Top

from aepsl.nets.parts import Net, conv_relu, dropout, max_pool
from aepsl.settings.typed import Experiment


def trunk(n: Net, x: Top, experiment: Experiment) -> Top:
    """From the image `x` to fire9."""
    n.comment("SqueezeNet v1.0")
    n.conv1, n.relu_conv1 = conv_relu(x, 96, size=7, stride=2)
    n.pool1 = x = max_pool(n.relu_conv1, stride=2)
    for k, squeezed in enumerate([16, 16, 32, 32, 48, 48, 64, 64], start=2):
        n.comment(f"fire{k}")
        x = fire(n, f"fire{k}", x, squeezed, dilation=2 if k == 9 else 1)
        if k in (4, 8):
            n[f"pool{k}"] = x = max_pool(x, stride=2 if k == 4 else 1)
    n.drop9 = dropout(x)
    # With the released weights, fire9 has a mean of 11. Scaled down, LargeFOV's fillers and rates fit its heads too.
    n.scaled9 = L.Power(n.drop9, scale=0.05)
    return n.scaled9


def fire(n: Net, name: str, x: Top, squeezed: int, dilation: int) -> Top:
    """SqueezeNet's module: 1x1 to `squeezed` channels, then 1x1 and 3x3 to four times as many, side by side."""
    layers = [("squeeze1x1", squeezed, 1), ("expand1x1", 4 * squeezed, 1), ("expand3x3", 4 * squeezed, 3)]
    for part, channels, size in layers:
        conv, relu = conv_relu(x, channels, size, dilation=dilation if size == 3 else 1)
        n[f"{name}/{part}"], n[f"{name}/relu_{part}"] = conv, relu
        if part == "squeeze1x1":
            x = relu
    n[f"{name}/concat"] = L.Concat(n[f"{name}/relu_expand1x1"], n[f"{name}/relu_expand3x3"])
    return n[f"{name}/concat"]
