"""What the nets are made of: a convolution with its ReLU, pooling, dropout; and Net, a NetSpec with comments."""

from caffe import NetSpec
from caffe import layers as L
from caffe import params as P


class Net(NetSpec):
    """A NetSpec that takes a comment for the next layer, for those who read the net as text."""

    def __init__(self):
        super().__init__()
        self.__dict__.update(comments={}, waiting=None)  # NetSpec takes every attribute that is set for a top

    def comment(self, text):
        self.__dict__["waiting"] = text

    def __setattr__(self, name, top):
        super().__setattr__(name, top)
        if self.waiting:
            self.comments[name] = self.waiting
            self.comment(None)


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
