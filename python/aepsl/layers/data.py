"""WeaklyLabelledImages: crops of images with their image labels, erased regions and masks."""

from types import SimpleNamespace
from typing import Optional

import caffe
import cv2
import numpy as np

from aepsl.base.errors import InputError
from aepsl.data.dataset import IGNORE, Dataset, png
from aepsl.images.pictures import less_mean, read_indexed, scaled
from aepsl.layers.base import listed, parameters, telling
from aepsl.layers.prefetch import Prefetch

PARAMETERS = dict(  # and their defaults
    root=None,  # the data set in VOC layout (aepsl.data.dataset)
    list=None,  # name of the data set's list of ids, for example 'train_aug'
    classes=None,  # names, in the order of the labels
    batch=1,  # images
    crop=321,  # side in pixels; smaller images are padded at the bottom and right
    scale=1,  # every image is resized by this factor as it is loaded
    mean=[104.008, 116.669, 122.675],  # BGR; erased and padded pixels have this colour
    mirror=True,  # mirrors each crop with probability 1/2
    seed=1,  # of order, crops and mirroring
    workers=1,  # processes that decode ahead
    regions=None,  # folder of mined regions ID.png, of the image's size: pixels that are not 0 are erased
    masks=None,  # folder of masks ID.png, of the image's size, in the data set's mask values
    mask_stride=8,  # the net's: masks become mask[::stride, ::stride]
)


class WeaklyLabelledImages(caffe.Layer):
    """Tops: data N x 3 x crop x crop, BGR minus the mean; labels N x C, 0 or 1; with `masks` also mask N x 1 x h x w.

    Which images a batch holds, where they are cropped and whether they are mirrored is a function of
    (seed, iteration) alone: the same with any number of workers, and after a resume at any iteration.

    PARAMETERS says what param_str may hold, for example
        {"root": "data/voc12", "list": "train_aug", "classes": ["aeroplane", ...], "batch": 30, "crop": 321,
         "mean": [104.008, 116.669, 122.675], "regions": "runs/voc12/step1/regions"}
    """

    @telling
    def setup(self, bottom, top):
        self.sampler = Sampler(**parameters(self.param_str, PARAMETERS))
        expected = len(self.sampler.shapes)
        if len(bottom) or len(top) != expected:
            needs = f"{'with' if expected == 3 else 'without'} `masks` has no bottom and {expected} tops"
            raise ValueError(f"WeaklyLabelledImages {needs}; it was given {len(bottom)} and {len(top)}")
        self.start(0)

    def start(self, iteration: int) -> None:
        """Continue with the batch of `iteration`; a training that resumes calls this."""
        self.iteration = iteration
        self.prefetch: Optional[Prefetch] = None

    def reshape(self, bottom, top):
        for blob, shape in zip(listed(top), self.sampler.shapes):
            blob.reshape(*shape)

    @telling
    def forward(self, bottom, top):
        if self.prefetch is None:
            self.prefetch = Prefetch(self.sampler, self.iteration)
        self.prefetch.next([blob.data for blob in listed(top)])
        self.iteration += 1

    def backward(self, top, propagate_down, bottom):
        pass


class Sampler(SimpleNamespace):
    """Fills the batch of any iteration. Its attributes are PARAMETERS, and what is read once; none changes later."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.dataset = Dataset(self.root, self.classes)
        self.ids = self.dataset.ids(self.list)
        self.labels = self.dataset.labels(self.ids)
        self.mean = np.array(self.mean, np.float32)
        self.channel_of_value = np.full(256, IGNORE, np.uint8)
        self.channel_of_value[self.dataset.values] = np.arange(len(self.dataset.values))
        side = (self.crop - 1) // self.mask_stride + 1
        self.shapes = [(self.batch, 3, self.crop, self.crop), (self.batch, len(self.dataset.classes))]
        if self.masks:
            self.shapes.append((self.batch, 1, side, side))

    def indices(self, iteration: int) -> list[int]:
        """The batch's images, as positions in the list. Each epoch has all images once, in a random order."""
        first = iteration * self.batch
        count = len(self.ids)
        epochs = range(first // count, (first + self.batch - 1) // count + 1)
        orders = {epoch: np.random.RandomState([self.seed, epoch]).permutation(count) for epoch in epochs}
        return [orders[k // count][k % count] for k in range(first, first + self.batch)]

    def fill(self, iteration: int, arrays: list[np.ndarray]) -> None:
        """Write the batch of `iteration` into float32 arrays of the shapes `self.shapes`."""
        data, labels, *masks = arrays
        random = np.random.RandomState(0)
        for slot, index in enumerate(self.indices(iteration)):
            random.seed([self.seed, iteration, slot])  # a new RandomState would first ask the system for entropy
            labels[slot] = self.labels[index]
            self.write_crop(self.ids[index], random, data[slot], *(array[slot, 0] for array in masks))

    def write_crop(
        self, image_id: str, random: np.random.RandomState, data: np.ndarray, mask: Optional[np.ndarray] = None
    ) -> None:
        """A random crop of the image into `data`, 3 x crop x crop float32, and of its mask into `mask`, h x w."""
        image = scaled(self.dataset.image(image_id), self.scale)
        erased = self._read(self.regions, image_id, image.shape)
        values = self._read(self.masks, image_id, image.shape)

        top, left = (random.randint(max(0, side - self.crop) + 1) for side in image.shape[:2])
        step = -1 if self.mirror and random.randint(2) else 1
        window = np.s_[top : top + self.crop, left : left + self.crop]
        pixels = image[window] if step > 0 else cv2.flip(image[window], 1)
        height, width = pixels.shape[:2]
        first = 0 if step > 0 else self.crop - width  # the padding of a mirrored crop is on its left
        inside = np.s_[:height, first : first + width]

        if (height, width) != (self.crop, self.crop):
            data[...] = 0
        gone = None if erased is None else erased[window][:, ::step]
        less_mean(pixels, self.mean, data[(slice(None), *inside)], gone)
        if mask is not None:
            target = np.full((self.crop, self.crop), IGNORE, values.dtype)
            target[inside] = values[window][:, ::step]
            mask[...] = self.channel_of_value[target[:: self.mask_stride, :: self.mask_stride]]

    def _read(self, folder, image_id, shape):
        """The map of `image_id` in `folder`, at the scaled image's size; None without a folder."""
        if not folder:
            return None
        path = png(folder, image_id)
        array = scaled(read_indexed(path), self.scale)
        if array.shape != shape[:2]:
            raise InputError(f"{path}: does not have its image's size; delete it and run its stage again")
        return array
