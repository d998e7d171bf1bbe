"""A whole image through a net, and the net's maps grown back to the image."""

import cv2
import numpy as np

from aepsl import experiments
from aepsl.caffe_nets import caffemodel, device
from aepsl.caffe_nets.build import STRIDE
from aepsl.images import scaled


def forward(net, image, settings, erased=None):
    """Run a deploy net on a whole image.

    image: H x W x 3 uint8 BGR; settings: the experiment's `data` (scale, mean); erased: H x W, pixels that are not 0
    become the mean. The image is scaled and padded to 8k + 1 with the mean. Returns (height, width) of the scaled
    image, to which `at_image_size` brings the net's maps.
    """
    pixels = scaled(image, settings["scale"]) - np.array(settings["mean"], np.float32)
    if erased is not None:
        pixels[scaled(erased, settings["scale"]) > 0] = 0
    blob = padded(pixels).transpose(2, 0, 1)[None]
    net.blobs["data"].reshape(*blob.shape)
    net.blobs["data"].data[...] = blob
    net.forward()
    return pixels.shape[:2]


def padded(image):
    """Pad H x W x ... with zeros at the bottom and right until both sides are 8k + 1."""
    more = [(0, -(side - 1) % STRIDE) for side in image.shape[:2]]
    return np.pad(image, more + [(0, 0)] * (image.ndim - 2), mode="constant")


def grown(maps, size):
    """Grow K x h x w by the net's stride, align-corners bilinear (out = 8 (in - 1) + 1), and crop to `size`.

    size: (height, width) of the image before it was padded.
    """
    rows = _interpolation(maps.shape[1], size[0])
    columns = _interpolation(maps.shape[2], size[1])
    return (rows @ maps.astype(np.float32)) @ columns.T


def at_image_size(maps, small, image):
    """A net's maps K x h x w for `image`, grown to K x H x W float32; small: what `forward` returned for it."""
    return np.stack([cv2.resize(each, image.shape[1::-1]) for each in grown(maps, small)])


def _interpolation(cells, pixels):
    """The pixels x cells matrix of linear interpolation where cell k stands at pixel 8 k."""
    position = np.arange(pixels) / STRIDE
    weight = 1 - np.abs(position[:, None] - np.arange(cells)[None])
    return np.maximum(weight, 0).astype(np.float32)


class ClassificationNet:
    """The trained classification net of one step, for whole images."""

    def __init__(self, experiment, model, gpu=None):
        device.use(gpu)
        self.settings = experiment["data"]
        self.net = caffemodel.open_net(experiments.prototxt(experiment, "classification", "deploy"), model)
        self.features = self.net.bottom_names["gap"][0]

    def cam(self, image, classes, erased=None):
        """Class activation maps H_c(u) = sum_k w_ck x_k(u) of reference [34], grown to the image's size.

        image: H x W x 3 uint8 BGR; classes: indices from 0; erased: H x W, not 0 where erased, or None.
        Returns len(classes) x H x W float32.
        """
        small = forward(self.net, image, self.settings, erased)
        weights = self.net.params["fc8_cls"][0].data[classes]
        maps = np.tensordot(weights, self.net.blobs[self.features].data[0], axes=1)
        return at_image_size(maps, small, image)
