"""Runs a net on an image as its authors did, by a profile: resizes, pads or tiles it, mirrors, joins sizes.

Images are H x W x 3 uint8 BGR, maps K x H x W float32, data 3 x H x W float32. No result depends on an earlier image.
"""

import sys
from typing import Optional

import cv2
import numpy as np
from tqdm import tqdm

from aepsl.baselines.profile import Profile
from aepsl.layers import losses
from aepsl.legacy.net import LegacyNet
from aepsl.nets.geometry import Cells
from aepsl.nets.whole_image import grown

Size = tuple[int, int]  # (height, width)
KERNELS = dict(linear=cv2.INTER_LINEAR, cubic=cv2.INTER_CUBIC)


def probabilities(net: LegacyNet, image: np.ndarray, profile: Profile, name: str = "the image") -> np.ndarray:
    """The probability of each channel at each pixel of `image`, K x H x W; name: of the image, for messages."""
    joined: Optional[np.ndarray] = None
    planes = np.float32(image).transpose(2, 0, 1)
    mean = np.float32(profile.mean)[:, None, None]
    for size in sizes(net, image.shape[:2], profile, name):
        data = (resized(planes, size, profile.kernel) - mean) * net.input_scale
        data = data if profile.channel_order == "bgr" else data[::-1]
        maps = _tiled(net, data, profile, name) if profile.tiles else _padded(net, data, profile, name)
        maps = resized(maps, image.shape[:2], profile.kernel)
        joined = maps if joined is None else (np.add if profile.join == "sum" else np.maximum)(joined, maps)
    if profile.softmax == "joined":
        return softmax(joined)
    joined = np.maximum(joined, 0)  # cubic interpolation may be below 0
    return joined / joined.sum(axis=0)


def softmax(maps: np.ndarray) -> np.ndarray:
    """softmax over the channels of maps."""
    return losses.softmax(maps[None])[0].astype(np.float32)


def sizes(net: LegacyNet, size: Size, profile: Profile, name: str = "the image") -> list[Size]:
    """The sizes that an image of `size` is resized to, by `profile.resize`.

    A size that is larger than `profile.pad`, or too large for the net, is reduced, and a line says so.
    """
    ((kind, values),) = (profile.resize or {"by": (1,)}).items()
    found = []
    for value in values:
        if kind == "warp":
            sides = value if isinstance(value, tuple) else (value, value)
        else:
            scale = value / max(size) if kind == "longest" else value
            sides = tuple(max(1, round(side * scale)) for side in size)
        wanted, scale = sides, 1
        while not _is_taken(net, sides, profile):
            scale = profile.pad / max(wanted) if profile.pad and scale == 1 else scale * 0.95
            sides = tuple(max(1, int(side * scale)) for side in wanted)
        if sides != wanted:
            line = f"{name}: {wanted[1]} x {wanted[0]} pixels are too many; it is processed at {sides[1]} x {sides[0]}"
            tqdm.write(line, file=sys.stderr)
        found.append(sides)
    return found


def _is_taken(net, sides, profile):
    if profile.pad:
        return max(sides) <= profile.pad
    return bool(profile.tiles) or net.takes(*sides)


def resized(planes: np.ndarray, size: Size, kernel: str) -> np.ndarray:
    """K x H x W float32, resized to `size`; kernel: 'corners', or one of KERNELS."""
    old = planes.shape[1:]
    if old == tuple(size):
        return planes
    if kernel == "corners":  # as scipy.ndimage.zoom with order=1: corner pixels stay corner pixels
        strides = tuple((to - 1) / max(1, side - 1) or 1.0 for to, side in zip(size, old))
        return grown(planes, Cells((0.0, 0.0), strides), size)
    return np.stack([cv2.resize(each, tuple(size[::-1]), interpolation=KERNELS[kernel]) for each in planes])


def _padded(net, data, profile, name):
    """Maps of `data`, 3 x H x W less the mean, padded with 0 to profile.pad, or else as the net needs it."""
    if profile.pad:
        more = [(0, profile.pad - side) for side in data.shape[1:]]
        padded, front = np.pad(data, ((0, 0), *more)), (0, 0)
    else:
        padded, front = net.padded(data)
    return _maps(net, padded, front, data.shape[1:], profile, name)


def _tiled(net, data, profile, name):
    """Maps of `data`, 3 x H x W less the mean: means over the tiles that cover a pixel.

    Without a border the last tile ends at the image's end. With a border there are whole steps, as DilatedNet's authors
    have it, and pixels beyond the image are its reflection.
    """
    tiles, (height, width) = profile.tiles, data.shape[1:]
    border, inner = tiles.border, tiles.side - 2 * tiles.border
    if border:
        sides = [-(-side // tiles.step) * tiles.step - tiles.step + inner for side in (height, width)]
        data = np.pad(data, ((0, 0), (border, border), (border, border)), mode="reflect")
    else:
        sides = [max(side, inner) for side in (height, width)]
    more = ((0, 0), (0, sides[0] - height), (0, sides[1] - width))
    data = np.pad(data, more, mode="reflect" if border else "constant")
    total, times = None, np.zeros(sides, np.float32)
    for place in np.ndindex(*(-(-(side - inner) // tiles.step) + 1 for side in sides)):
        top, left = (min(k * tiles.step, side - inner) for k, side in zip(place, sides))
        tile = data[:, top : top + tiles.side, left : left + tiles.side]
        maps = _maps(net, tile, (border, border), (inner, inner), profile, name)
        total = np.zeros((len(maps), *sides), np.float32) if total is None else total
        total[:, top : top + inner, left : left + inner] += maps
        times[top : top + inner, left : left + inner] += 1
    return (total / times)[:, :height, :width]


def _maps(net, data, front, size, profile, name):
    """Maps at the `size` pixels of `data` from `front` (y, x) on; data: of a size that the net takes.

    With profile.mirror, the maps of the mirrored data are added.
    """
    maps = _grown(net, data, front, size, profile, name)
    if profile.mirror:
        mirrored = (front[0], data.shape[2] - front[1] - size[1])
        maps = maps + _grown(net, data[:, :, ::-1], mirrored, size, profile, name)[:, :, ::-1]
    return softmax(maps) if profile.softmax == "input" else maps


def _grown(net, data, front, size, profile, name):
    maps = net.scores(data, name)
    maps = softmax(maps) if profile.softmax == "cells" else maps
    return net.grown(maps, size, tuple(each - profile.offset for each in front))
