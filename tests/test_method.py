"""Lines of the method that could be changed without any other test seeing it, each against what the paper says."""

import csv
import json
import os

import caffe
import cv2
import numpy as np
import pytest
from caffe.proto import caffe_pb2

from aepsl.images.pictures import palette, read_indexed, write_grey, write_mask
from aepsl.layers.data import PARAMETERS, Sampler
from aepsl.nets import build, caffemodel, crf
from aepsl.settings import experiments
from aepsl.stages import masks, mine, results, segment, train
from conftest import parsed

CLASSES = ["cat", "dog", "hen", "owl"]


@pytest.fixture
def data(small_set):
    """small_set with four classes, as the demo's net has."""
    (small_set / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return str(small_set)


@pytest.fixture
def demo():
    return experiments.changed(experiments.load("demo"), {"classes": CLASSES})


@pytest.fixture
def model(tmp_path, demo):
    """model(task): a caffemodel of the demo's net with weights of the last layers that tell pixels apart."""

    def save(task):
        caffe.set_random_seed(3)
        net = caffemodel.net_of(build.deploy_net(demo, task))
        for name in {"fc8_cls", "fc8_seg"} & set(net.params):
            net.params[name][0].data[...] *= 100
        net.save(str(tmp_path / f"{task}.caffemodel"))
        return str(tmp_path / f"{task}.caffemodel")

    return save


def heat_maps(net, image, labels, erased, data):
    """CAM written out: the image without what is erased through the net, sum_k w_ck fc7_k, bilinear, the image's size.

    data: the experiment's; labels: indices of the classes.
    """
    height, width = (int(round(side * data.scale)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float64) - data.mean
    small[cv2.resize(erased, (width, height), interpolation=cv2.INTER_NEAREST) > 0] = 0
    sides = [-(-(side - 1) // 8) * 8 + 1 for side in (height, width)]
    blob = np.zeros((1, 3, *sides))
    blob[0, :, :height, :width] = small.transpose(2, 0, 1)
    net.blobs["data"].reshape(*blob.shape)
    net.blobs["data"].data[...] = blob
    net.forward()
    features = net.blobs["fc7"].data[0]
    for c in labels:
        cells = sum(w * feature for w, feature in zip(net.params["fc8_cls"][0].data[c], features))
        rows, columns = (np.arange(side) / 8 for side in (height, width))
        along = np.stack([np.interp(columns, np.arange(cells.shape[1]), row) for row in cells])
        grown = np.stack([np.interp(rows, np.arange(len(along)), column) for column in along.T], axis=1)
        yield cv2.resize(grown.astype(np.float32), image.shape[1::-1])


@pytest.mark.parametrize("threshold", [dict(of_max=0.3), dict(top_pixels=0.7)])
def test_mining_is_algorithm_1(data, demo, model, tmp_path, threshold):
    """Regions of the image's own labels, each from its signed map of the image as it is erased so far."""
    demo = experiments.changed(demo, {"mining.threshold": threshold})
    path = model("classification")
    folders = [None, str(tmp_path / "step1"), str(tmp_path / "step2")]
    for before, out in zip(folders, folders[1:]):
        mine.run(demo, data, path, out, before=before)
    net = caffemodel.net_of(build.deploy_net(demo, "classification"))
    net.copy_from(path)
    mined = 0
    for k, labels in enumerate([[0], [1], [0, 1], [0], [1], [1]]):
        image = cv2.imread(f"{data}/JPEGImages/image{k}.jpg")
        erased = np.zeros(image.shape[:2], np.uint16)
        for folder in folders[1:]:
            regions = read_indexed(f"{folder}/image{k}.png")
            maps = list(heat_maps(net, image, labels, erased, demo.data))
            for bit, H in enumerate(maps):
                bound = 0.3 * H.max() if "of_max" in threshold else np.sort(H, axis=None)[int(0.3 * H.size)]
                region = (bound < H) & (H.max() > 0)
                agree = ((regions >> bit & 1) > 0) == (region | ((erased >> bit & 1) > 0))
                assert agree.mean() > 0.99  # pixels at the very bound
                mined += region.sum()
            assert not regions.max() >> len(labels)
            erased = regions
    assert mined > 1000


def test_a_pixel_at_the_threshold_itself_is_not_mined():
    maps = np.array([[[1, 0.5, 0.25, 0.75]]])
    assert mine.mined(maps, dict(of_max=0.5)).tolist() == [[[True, False, False, True]]]


def test_one_indoor_label_makes_the_image_an_indoor_scene(data, demo, tmp_path):
    """Saliency .08 of an image with a cat and a dog, where only dogs are indoors."""
    background = dict(threshold=0.12, indoor_threshold=0.06, indoor_classes=["dog"])
    demo = experiments.changed(demo, {"background": background})
    for k in range(6):
        shape = cv2.imread(f"{data}/JPEGImages/image{k}.jpg").shape[:2]
        write_grey(f"{tmp_path}/saliency/image{k}.png", np.full(shape, 20, np.uint8))
        write_grey(f"{tmp_path}/regions/image{k}.png", np.zeros(shape, np.uint16))
    masks.run(demo, data, f"{tmp_path}/regions", f"{tmp_path}/saliency", f"{tmp_path}/masks")
    values = {k: set(np.unique(read_indexed(f"{tmp_path}/masks/image{k}.png"))) for k in (0, 1, 2)}
    assert values == {0: {0}, 1: {255}, 2: {255}}


def test_a_loss_at_the_bound_is_a_success():
    assert results.successful_steps([0.05, 0.12, 0.1200001], 0.12) == 2


def test_the_crf_is_asked_for_what_the_settings_say(monkeypatch, rng):
    """DeepLab's values under pydensecrf's names; its kernels are the library's defaults."""
    asked = {}

    class Recorder:
        def __init__(self, *size):
            asked["size"] = size

        def setUnaryEnergy(self, energy):
            asked["unary"] = energy

        def addPairwiseGaussian(self, **settings):
            asked["gaussian"] = settings

        def addPairwiseBilateral(self, **settings):
            asked["bilateral"] = settings

        def inference(self, iterations):
            asked["iterations"] = iterations
            return np.full((2, 20), 0.5)

    monkeypatch.setattr(crf.densecrf, "DenseCRF2D", Recorder)
    image, f = rng.randint(0, 256, (4, 5, 3)).astype(np.uint8), rng.dirichlet([1, 1], (4, 5)).transpose(2, 0, 1)
    crf.refined(image, f.astype(np.float32), experiments.load("voc12").crf)
    np.testing.assert_array_equal(asked["bilateral"].pop("rgbim"), image[:, :, ::-1])
    np.testing.assert_allclose(asked.pop("unary"), -np.log(f).reshape(2, 20), rtol=1e-5)
    symmetric = dict(normalization=crf.densecrf.NORMALIZE_SYMMETRIC)  # the default of the library
    expected = dict(bilateral=dict(sxy=121, srgb=5, compat=4, **symmetric), gaussian=dict(sxy=3, compat=3, **symmetric))
    assert asked == dict(expected, size=(5, 4, 2), iterations=10)


def test_plain_and_crf_are_what_their_names_say(data, demo, model, tmp_path):
    path = model("segmentation")
    segment.run(demo, data, "val", path, str(tmp_path / "out"))
    net = segment.SegmentationNet(demo, path)
    differ = 0
    for k in range(3):
        image = cv2.imread(f"{data}/JPEGImages/image{k}.jpg")
        f = net.probabilities(image)
        plain, with_crf = (read_indexed(f"{tmp_path}/out/{kind}/image{k}.png") for kind in ("plain", "crf"))
        np.testing.assert_array_equal(plain, f.argmax(axis=0))
        np.testing.assert_array_equal(with_crf, crf.refined(image, f, demo.crf).argmax(axis=0))
        differ += (plain != with_crf).sum()
    assert differ > 0


@pytest.mark.parametrize("mirror", [True, False])
def test_crops_reach_every_border_and_half_of_them_are_mirrored(data, mirror):
    """An image whose every column has a colour of its own; crops 4 pixels narrower than it."""
    path = os.path.join(data, "JPEGImages/image0.jpg")
    ramp = np.tile(np.arange(0, 37 * 6, 6, dtype=np.uint8)[None, :, None], (37, 1, 3))
    cv2.imwrite(path, ramp, [cv2.IMWRITE_JPEG_QUALITY, 100])
    settings = dict(PARAMETERS, root=data, list="train_aug", classes=CLASSES, crop=33, mean=[0, 0, 0], mirror=mirror)
    sampler = Sampler(**settings)
    lefts, mirrored = set(), 0
    crop = np.empty((3, 33, 33), np.float32)
    for k in range(200):
        sampler.write_crop("image0", np.random.RandomState(k), crop)
        row = crop[0, 0]
        is_mirrored = row[0] > row[-1]
        mirrored += is_mirrored
        lefts.add(int(round(min(row[0], row[-1]) / 6)))
    assert lefts == {0, 1, 2, 3, 4}
    assert 70 < mirrored < 130 if mirror else mirrored == 0


@pytest.fixture
def short(demo):
    """The demo's experiment, for two epochs of so small a rate that nothing is learnt."""
    step = dict(demo.training.psl.settings(), batch=2, epochs=2, lr_step_epochs=2, lr=1e-12)
    return experiments.changed(demo, {"training": dict.fromkeys(experiments.TASKS, step), "data.crop": 33})


def test_initial_weights_reach_the_net_and_the_converged_loss_is_the_last_epochs_mean(data, short, model, tmp_path):
    path, out = model("classification"), str(tmp_path / "run")
    train.run(short, "classification", data, out, weights=path)
    before, after = (caffemodel.caffemodel_layers(each) for each in (path, f"{out}/final.caffemodel"))
    for name in before:
        ours, theirs = (np.array(layers[name].blobs[0].data) for layers in (after, before))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    with open(f"{out}/log.csv") as file:
        losses = [float(row["loss_cls"]) for row in csv.DictReader(file)]
    assert len(losses) == 6  # two epochs of 6 images in batches of 2
    with open(f"{out}/train.json") as file:
        assert json.load(file)["converged_loss"] == pytest.approx(np.mean(losses[3:]), rel=1e-5)
    assert np.mean(losses[3:]) != pytest.approx(np.mean(losses), rel=1e-5)


def test_what_is_erased_and_learned_from_is_in_the_net(short, tmp_path):
    build.write_prototxts(short, "segmentation", "the data", 6, str(tmp_path), regions="the regions", masks="the masks")
    net = parsed(str(tmp_path / "train.prototxt"), caffe_pb2.NetParameter())
    settings = json.loads(net.layer[0].python_param.param_str)
    assert [settings[key] for key in ("root", "regions", "masks")] == ["the data", "the regions", "the masks"]


PAPER = "the paper, section 4.1"
DEEPLAB = "DeepLab-LargeFOV as released"
VOC12 = {  # a setting of voc12: its value, and who says so
    "net": ("largefov", "section 3.1: based on DeepLab-CRF-LargeFOV"),
    "data.train": ("train_aug", f"{PAPER}: 10,582 images"),
    "data.train_images": (10582, PAPER),
    "data.val": ("val", PAPER),
    "data.scale": (1, DEEPLAB),
    "data.crop": (321, PAPER),
    "data.mean": ([104.008, 116.669, 122.675], DEEPLAB),
    "new_layer_lr": (10, f"{PAPER}: .001, .01 for the last layer"),
    "segmentation_start": ("initial", f"{PAPER}: VGG-16 pre-trained on ImageNet"),
    "psl_start": (None, f"{PAPER}: VGG-16 pre-trained on ImageNet"),
    "mining.steps": (4, "table 3"),
    "mining.merge": (3, "section 4.3.1: only the first three steps"),
    "mining.threshold": ({"of_max": 0.2}, "section 3.1: top 20% of the largest value"),
    "mining.max_converged_loss": (0.12, "figure 5a: .10 is a success, .15 is not"),
    "background.detector": ("drfi", f"{PAPER}: the maps of [9]"),
    "background.threshold": (0.12, PAPER),
    "background.indoor_threshold": (0.06, PAPER),
    "background.indoor_classes": (
        ["chair", "diningtable", "sofa", "tvmonitor", "pottedplant", "bottle"],
        "a reading: FIDELITY.md",
    ),
    "psl.prohibited": (0.1, PAPER),
    "psl.v": ("softmax", "a reading: FIDELITY.md"),
    "crf": (dict(iterations=10, bilateral=dict(weight=4, xy=121, rgb=5), gaussian=dict(weight=3, xy=3)), DEEPLAB),
    **{
        f"training.{task}": (
            dict(batch=30, lr=0.001, epochs=15, lr_step_epochs=6, momentum=0.9, decay=0.0005),
            f"{PAPER}; momentum and decay: {DEEPLAB}",
        )
        for task in experiments.TASKS
    },
}


@pytest.mark.parametrize("key", VOC12)
def test_voc12_has_the_papers_settings(key):
    assert experiments.load("voc12").value(key) == VOC12[key][0]


@pytest.mark.parametrize("task", experiments.TASKS)
def test_every_solver_of_voc12_is_the_papers_schedule(task):
    """Batches of 30 of 10,582 images: 5,291 are 15 epochs, 2,116 are 6."""
    solver = parsed(f"prototxt/voc12/{task}_solver.prototxt", caffe_pb2.SolverParameter())
    found = (solver.max_iter, solver.stepsize, solver.lr_policy)
    assert found == (5291, 2116, "step")
    rates = (solver.base_lr, solver.gamma, solver.momentum, solver.weight_decay)
    assert rates == pytest.approx((0.001, 0.1, 0.9, 0.0005))


def test_masks_are_written_with_vocs_colours(tmp_path):
    """The first colours of VOC's own palette; write_mask is what every stage writes masks with."""
    write_mask(str(tmp_path / "m.png"), np.arange(256, dtype=np.uint8).reshape(16, 16))
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 255: (224, 224, 192)}
    assert {value: tuple(palette()[value]) for value in expected} == expected
    np.testing.assert_array_equal(read_indexed(str(tmp_path / "m.png")).ravel(), np.arange(256))
