"""What the nets are made of: a convolution with its ReLU, pooling, dropout; and Net, a NetSpec with comments."""

from typing import Optional

from caffe import NetSpec
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import Top


class Net(NetSpec):
    """A NetSpec that takes a comment for the next layer, for those who read the net as text."""

    def __init__(self):
        super().__init__()
        self.__dict__.update(comments={}, waiting=None)  # not by `self.comments =`: NetSpec would make it a top

    def comment(self, text: Optional[str]) -> None:
        """Put `text` before the next layer in the prototxt."""
        self.__dict__["waiting"] = text

    def __setattr__(self, name, top):
        super().__setattr__(name, top)
        if self.waiting:
            self.comments[name] = self.waiting
            self.comment(None)


def weight_and_bias(lr_mult: float = 1) -> list[dict]:
    """The two `param` of a layer. As usual in Caffe and in DeepLab, the bias learns twice as fast and has no decay."""
    return [dict(lr_mult=lr_mult, decay_mult=1), dict(lr_mult=2 * lr_mult, decay_mult=0)]


def conv_relu(bottom: Top, channels: int, size: int = 3, dilation: int = 1, stride: int = 1) -> tuple[Top, Top]:
    """(a convolution, its ReLU); padded so that only the stride changes the size."""
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


def max_pool(bottom: Top, stride: int) -> Top:
    """VGG's max pooling as DeepLab has it: kernel 3, pad 1."""
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=stride, pad=1)


def dropout(bottom: Top) -> Top:
    return L.Dropout(bottom, dropout_ratio=0.5, in_place=True)
