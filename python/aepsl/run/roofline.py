"""Seconds that Caffe takes for a net on a GPU, computed: see docs/speed.md, "Hours on a GPU"."""

import math
import re
from typing import Any, NamedTuple, Optional

# The share of the peak that cuBLAS' matrix products reach for one image. Assumed: 64 images of VGG-A, forward and
# backward, then take 1.14 s on a GTX TITAN X; Caffe took 1.07 (github.com/soumith/convnet-benchmarks).
SHARE = 0.45
FLOAT = 4  # bytes


class Card(NamedTuple):
    """Single-precision peak and memory bandwidth as the maker states them, for the slowest variant of the card."""

    tflops: float
    gb_per_second: float


CARDS = {
    "RTX 5090": Card(104.8, 1792),
    "H200": Card(60.0, 4800),
    "H100": Card(51.2, 2000),
    "L40S": Card(91.6, 864),
    "L40": Card(90.5, 864),
    "L4": Card(30.3, 300),
    "RTX 6000 Ada Generation": Card(91.1, 960),
    "RTX 4090": Card(82.6, 1008),
    "A100": Card(19.5, 1555),
    "A40": Card(37.4, 696),
    "A30": Card(10.3, 933),
    "A10": Card(31.2, 600),
    "RTX A6000": Card(38.7, 768),
    "RTX A5000": Card(27.8, 768),
    "RTX A4000": Card(19.2, 448),
    "RTX 3090": Card(35.6, 936),
    "TITAN RTX": Card(16.3, 672),
    "RTX 2080 Ti": Card(13.4, 616),
    "T4": Card(8.1, 300),
    "V100": Card(14.0, 900),
    "P100": Card(9.3, 549),
    "GTX 1080 Ti": Card(11.3, 484),
    "GTX TITAN X": Card(6.6, 336),
}
NAME = r"(NVIDIA )?(Tesla |GeForce |Quadro )?{}([ -](SXM\d?|PCIe|NVL|HBM\w*|\d+ ?GB))*"  # as CUDA has it


def known(name: str) -> Optional[str]:
    """The key in CARDS of a GPU's name in CUDA, 'Tesla V100-SXM2-16GB'; None for an unknown one."""
    return next((key for key in CARDS if re.fullmatch(NAME.format(re.escape(key)), name, re.IGNORECASE)), None)


def seconds(net: Any, card: Card) -> float:
    """The time of a forward pass of the net; a backward pass takes twice as long.

    A matrix product takes the longer of two times: of its arithmetic at SHARE of the peak, and of reading and writing
    its memory. A convolution also unfolds its input into columns and adds its bias. Any other layer reads and writes.
    """
    peak, bandwidth = SHARE * card.tflops * 1e12, card.gb_per_second * 1e9
    took = 0.0
    for name, tops in net.top_names.items():
        read, written = (sum(net.blobs[blob].count for blob in blobs) for blobs in (net.bottom_names[name], tops))
        if name not in net.params:
            took += FLOAT * (read + written) / bandwidth
            continue
        weights, (images, *_), cells = net.params[name][0], net.blobs[tops[0]].shape, net.blobs[tops[0]].shape[2:]
        columns = weights.count // weights.shape[0] * math.prod(cells) * images
        operations = 2 * weights.count * math.prod(cells) * images
        took += max(operations / peak, FLOAT * (columns + weights.count + written) / bandwidth)
        is_unfolded = max(weights.shape[2:], default=1) > 1
        took += FLOAT * ((read + columns) * is_unfolded + 2 * written) / bandwidth
    return took
