"""Prototxts of other Caffes, unedited: what is made of them, and where a white square lands."""

import numpy as np
import pytest

import legacy_nets
from aepsl.legacy import reader
from aepsl.nets import geometry

# layout, version, size of the image, side of the square, shifts, the blob of scores, start and stride of its cells
LANDINGS = {
    "FCN-32s": (legacy_nets.fcn(32), 2, (270, 301), 96, 32, "score", 0, 1),
    "FCN-16s": (legacy_nets.fcn(16), 2, (270, 301), 96, 32, "score", 0, 1),
    "FCN-8s": (legacy_nets.fcn(8), 2, (270, 301), 96, 32, "score", 0, 1),
    "FCN-32s of 2014": (legacy_nets.fcn(32, crops=False), 1, (270, 301), 96, 32, "score", 0, 1),
    "CRF-RNN": (legacy_nets.fcn(8, crops=False), 1, (270, 301), 96, 32, "score", 0, 1),
    "CCNN-8s": (legacy_nets.ccnn8s(), 2, (100, 121), 48, 8, "cut", 0, 1),
    "vgg128_noup": (legacy_nets.noup(), 1, (190, 211), 48, 8, "fc8_voc12", -7.5, 8),
    "LargeFOV": (legacy_nets.largefov(), 1, (100, 121), 48, 8, "fc8_voc12", 0, 8),
    "v2 of three scales": (legacy_nets.multiscale(), 2, (150, 171), 48, 32, "fusion", 0, 8),
    "DilatedNet": (legacy_nets.dilated(), 2, (100, 121), 48, 8, "ct7", 186 + 3.5, 8),
    "PSPNet": (legacy_nets.pyramid(), 2, (97, 113), 48, 8, "conv6", 0, 8),
}


def written(tmp_path, layout, version):
    path = tmp_path / "deploy.prototxt"
    data = any(kind.endswith("Data") for kind, *_ in layout)
    side = 113 if any(kind == "BN" for kind, *_ in layout) else 65
    head = f'input: "data" input_dim: 1 input_dim: 3 input_dim: {side} input_dim: {side}'
    path.write_text(legacy_nets.text(layout, version, "" if data else head))
    return path


@pytest.fixture(scope="module")
def layouts():
    return {name: list(layout) for name, (layout, *_) in LANDINGS.items()}


@pytest.mark.parametrize("name", LANDINGS)
def test_a_square_lands_where_it_is(tmp_path, layouts, name):
    _, version, size, square, shifts, scores, start, stride = LANDINGS[name]
    path = written(tmp_path, layouts[name], version)
    net = legacy_nets.opened(path, reader.read(str(path), channels=2))
    assert np.abs(legacy_nets.landing(net, size, square, shifts)).max() <= 0.5
    assert net.legacy.scores == scores
    assert net.cells == geometry.Cells((start, start), (stride, stride))
