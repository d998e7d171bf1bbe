"""Online prohibitive segmentation learning against an independent statement of its equations in float64."""

import dataclasses
import os
import subprocess
import sys

import caffe
import cv2
import numpy as np
import pytest
from PIL import Image

from aepsl.base.errors import InputError
from aepsl.base.files import write_text
from aepsl.data.dataset import Dataset
from aepsl.images.pictures import read_indexed
from aepsl.layers.psl import READINGS, prohibitive_mask, v_of
from aepsl.nets import build, caffemodel, crf
from aepsl.settings import check, experiments
from aepsl.stages import mine, segment
from aepsl.stages.segment import SegmentationNet
from aepsl.tools import infer
from conftest import inputs, python_layer
from written_out import written_out_cross_entropy, written_out_squared

N, C, H, W = 3, 4, 5, 6
LABELS = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1]], np.float32)


def stated(scores, v, labels):
    """S_hat, a pixel at a time: argmax_c of [1, v]_c f_uc, 255 where c is no label of the image."""
    result = np.zeros((len(scores), *scores.shape[2:]))
    for n, y, x in np.ndindex(*result.shape):
        f = np.exp(scores[n, :, y, x].astype(np.float64))
        weighted = [1 * f[0] / f.sum()] + [v[n, c] * f[c + 1] / f.sum() for c in range(v.shape[1])]
        c = int(np.argmax(weighted))
        result[n, y, x] = c if c == 0 or labels[n, c - 1] else 255
    return result


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("confidence", [0.1, 5])
def test_mask_is_its_equation(rng, confidence):
    scores, v = 2 * rng.randn(N, C + 1, H, W), softmax(confidence * rng.randn(N, C))
    scores[:, 0] -= 2  # so that classes win against background
    ours = prohibitive_mask(scores, v, LABELS)
    np.testing.assert_array_equal(ours, stated(scores, v, LABELS))
    assert len(np.unique(ours)) > 3 and 255 in ours


def test_every_value_of_psl_v_is_read_by_the_code_and_has_a_net_of_its_own():
    assert list(READINGS) == check.schema()["properties"]["psl"]["properties"]["v"]["enum"]
    read = [experiments.changed(experiments.load("demo"), {"psl.v": value}) for value in READINGS]
    assert len({build.train_net(each, "psl") for each in read}) == len(READINGS) == 2


def test_v_is_its_equation(net_of, rng):
    """Of one label and of two: the shares of 1, or of the largest; the layer and the test phase alike."""
    p = softmax(np.array([[4, 0, 0, 0], [4, 4, 0, 0]], np.float32))
    assert p[1, 0] < 0.5 < p[0, 0] and v_of(p, "softmax") is p
    expected = [[value / max(row) for value in row] for row in p.tolist()]
    np.testing.assert_allclose(v_of(p, "of_max"), expected, rtol=1e-6)
    net = net_of(inputs(p=(2, 4)) + python_layer("OfMax", "aepsl.layers.psl", ["p"], ["v"]))
    net.blobs["p"].data[...] = p
    net.forward()
    np.testing.assert_allclose(net.blobs["v"].data, expected, rtol=1e-6)
    with pytest.raises(Exception, match="OfMax needs the bottoms probabilities N x C"):
        net_of(inputs(p=(2, 4, 1)) + python_layer("OfMax", "aepsl.layers.psl", ["p"], ["v"]))


def layer(**more):
    return python_layer("ProhibitiveMask", "aepsl.layers.psl", ["f", "v", "y"], ["mask"], **more)


@pytest.mark.parametrize("confidence", ["predicted", "labels", "none"])
def test_layer_confidence(net_of, rng, confidence):
    net = net_of(inputs(f=(N, C + 1, H, W), v=(N, C), y=(N, C)) + layer(confidence=confidence))
    scores, v = rng.randn(N, C + 1, H, W).astype(np.float32), softmax(rng.randn(N, C))
    for name, values in (("f", scores), ("v", v), ("y", LABELS)):
        net.blobs[name].data[...] = values
    net.forward()
    expected = stated(scores, dict(predicted=v, labels=LABELS, none=np.ones((N, C)))[confidence], LABELS)
    np.testing.assert_array_equal(net.blobs["mask"].data[:, 0], expected)
    if confidence == "labels":
        assert 255 not in expected  # no class but the image's own can win


@pytest.mark.parametrize(
    "shapes, parameters, complaint",
    [
        (dict(f=(2, 5, 3, 3), v=(2, 5), y=(2, 4)), {}, "probabilities N x C, labels N x C (K is C + 1)"),
        (dict(f=(2, 4, 3, 3), v=(2, 4), y=(2, 4)), {}, "(2, 4, 3, 3)"),
        (dict(f=(2, 5, 3, 3), v=(2, 4), y=(2, 4)), dict(confidence="labls"), "confidence is 'labls'"),
        (dict(f=(2, 5, 3, 3), v=(2, 4), y=(2, 4)), dict(weights="none"), "unknown parameter 'weights'"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence(net_of, shapes, parameters, complaint):
    with pytest.raises(Exception) as error:
        net_of(inputs(**shapes) + layer(**parameters))
    assert complaint in str(error.value)


@pytest.fixture(params=["softmax", "of_max"])
def psl_net(request, tmp_path, small_set):
    """The demo's PSL training net, without dropout, on two images of small_set; scores large enough to matter."""
    changes = {"classes": ["cat", "dog"], "data": dict(scale=1, crop=33), "training.psl.batch": 2}
    changes["psl.v"] = request.param
    experiment = experiments.changed(experiments.load("demo"), changes)
    text = build.train_net(experiment, "psl").replace("dropout_ratio: 0.5", "dropout_ratio: 0.0")
    text = text.replace("data/demo", str(small_set))
    text = text.replace('"masks": null', f'"masks": "{small_set}/SegmentationClassAug"')
    path = tmp_path / "psl.prototxt"
    path.write_text(text)
    caffe.set_random_seed(5)
    net = caffe.Net(str(path), caffe.TRAIN)
    for name in ("fc8_seg", "fc8_cls"):
        net.params[name][0].data[...] *= 60
    net.forward()
    f = net.blobs["fc8_seg"].data
    # Background wins at about half of the pixels: there, and where a label of the image wins, S_hat counts.
    net.params["fc8_seg"][1].data[0] += np.median(f[:, 1:].max(axis=1) - f[:, 0]) - np.log(2)
    return net


def test_whole_objective_and_its_gradient(psl_net, request):
    """Squared loss + J(f, S) + J(f, S_hat), stated anew from the net's own scores; nothing flows through v or S_hat."""
    net, kind = psl_net, request.node.callspec.params["psl_net"]
    net.forward()
    net.backward()
    z, f = (net.blobs[name].data.astype(np.float64) for name in ("fc8_cls", "fc8_seg"))
    labels, S = net.blobs["labels"].data, net.blobs["mask"].data[:, 0]
    S_hat = net.blobs["mask_hat"].data[:, 0]
    v = softmax(z)
    if kind == "of_max":
        np.testing.assert_allclose(net.blobs["probabilities"].data, v, rtol=1e-5)
        v = v / v.max(axis=1, keepdims=True)
    np.testing.assert_allclose(net.blobs["v"].data, v, rtol=1e-5)
    np.testing.assert_array_equal(S_hat, stated(f, v, labels))
    assert (S_hat > 0).sum() > 5 and (S_hat == 0).sum() > 5 and (S_hat != 255).mean() > 0.5  # its gradient is tested

    t = labels / labels.sum(axis=1, keepdims=True)
    assert float(net.blobs["loss_cls"].data) == pytest.approx(written_out_squared(z, labels), rel=1e-5)
    assert float(net.blobs["loss_seg"].data) == pytest.approx(written_out_cross_entropy(f, S, labels), rel=1e-5)
    assert float(net.blobs["loss_psl"].data) == pytest.approx(written_out_cross_entropy(f, S_hat, labels), rel=1e-5)

    ours = net.blobs["fc8_seg"].diff
    for index in [(0, 0, 1, 1), (0, 1, 2, 2), (1, 2, 0, 3), (1, 0, 4, 4), (0, 2, 3, 1)]:
        step = np.zeros_like(f)
        step[index] = 1e-6
        up, down = (
            written_out_cross_entropy(scores, S, labels) + written_out_cross_entropy(scores, S_hat, labels)
            for scores in (f + step, f - step)
        )
        expected = (up - down) / 2e-6
        assert ours[index] == pytest.approx(expected, abs=1e-5)
    p, r = softmax(z), softmax(z) - t
    expected = 1 / len(z) * p * (r - (p * r).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(net.blobs["fc8_cls"].diff, expected, atol=1e-5)


def test_confidence_at_test():
    v = np.array([0.05, 0.1, 0.85], np.float32)
    weights = lambda word, labels=None: segment.weights_of_classes(word, v, labels, 4, 0.1).ravel()  # noqa: E731
    np.testing.assert_allclose(weights("predicted"), [1, 0, 0.1, 0.85])
    np.testing.assert_allclose(weights("none"), [1, 1, 1, 1])
    np.testing.assert_allclose(weights("labels", np.array([1, 0, 0])), [1, 1, 0, 0])


@pytest.fixture
def models(tmp_path):
    """Caffemodels of the demo's psl and segmentation nets with random weights that make every class win somewhere."""
    paths = {}
    for task in ("psl", "segmentation"):
        caffe.set_random_seed(2)
        net = caffemodel.net_of(build.deploy_net(experiments.load("demo"), task))
        net.params["fc8_seg"][0].data[...] *= 100
        paths[task] = str(tmp_path / f"{task}.caffemodel")
        net.save(paths[task])
    return paths


def test_confidence_by_labels_keeps_to_the_labels(models, rng):
    net = SegmentationNet(experiments.load("demo"), models["psl"])
    image = rng.randint(0, 256, (50, 70, 3)).astype(np.uint8)
    f = net.probabilities(image, "labels", np.array([0, 1, 0, 0]))
    assert f.shape == (5, 50, 70)
    assert not f[[1, 3, 4]].any() and f[2].any()
    free = net.probabilities(image, "none")
    np.testing.assert_allclose(free.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(f[[0, 2]], free[[0, 2]])


def test_predicted_confidence_weights_the_maps_by_the_nets_own_probabilities(models, rng):
    experiment = experiments.load("demo")
    net = SegmentationNet(experiment, models["psl"])
    net.net.params["fc8_cls"][0].data[...] *= 300  # sure enough that some class is prohibited
    image = rng.randint(0, 256, (50, 70, 3)).astype(np.uint8)
    free = net.probabilities(image, "none")
    v = softmax(net.net.blobs["fc8_cls"].data.astype(float))[0]
    assert v.min() < 0.1 < v.max()
    weights = np.array([1] + [p if p >= 0.1 else 0 for p in v])
    ours = net.probabilities(image, "predicted")
    np.testing.assert_allclose(ours, weights[:, None, None] * free, atol=1e-6)
    assert (ours.argmax(axis=0) != free.argmax(axis=0)).any()


def test_s_hat_of_the_images_that_the_report_shows_is_kept(models, data, tmp_path):
    demo = experiments.load("demo")
    dataset, some = Dataset(data, demo.classes), str(tmp_path / "some.txt")
    experiment = dataclasses.replace(demo, data=dataclasses.replace(demo.data, train=some))
    ids = dataset.ids(demo.data.train)[: mine.SHOWN + 1]
    chosen = mine.shown(experiment, ids)
    for name in ("some", "others"):
        write_text(f"{tmp_path}/{name}.txt", "".join(f"{each}\n" for each in ids))
    for name, confidence, kept in (("some", "labels", chosen), ("some", "predicted", []), ("others", "labels", [])):
        out = tmp_path / name / confidence
        segment.run(experiment, data, f"{tmp_path}/{name}.txt", models["psl"], str(out), confidence)
        assert sorted(path.stem for path in out.glob("s_hat/*")) == kept
        assert len(list(out.glob("crf/*"))) == len(ids) == len(chosen) + 1
    path = tmp_path / "some/labels/s_hat" / f"{chosen[0]}.png"
    found = read_indexed(path)
    image, labels = dataset.image(chosen[0]), dataset.labels(chosen[:1])
    net = SegmentationNet(experiment, models["psl"])
    net.probabilities(image, "none")
    blobs = {name: net.net.blobs[name].data.astype(float) for name in ("fc8_seg", "fc8_cls")}
    expected = stated(blobs["fc8_seg"], softmax(blobs["fc8_cls"]), labels)[0]
    rows, columns = ((np.arange(side) * 0.75 / 8).astype(int) for side in image.shape[:2])
    assert np.mean(found == expected[rows][:, columns]) > 0.97 and len(np.unique(found)) > 1  # a scale's rounding
    path.unlink()
    segment.run(experiment, data, some, models["psl"], str(tmp_path / "some/labels"), "labels")
    np.testing.assert_array_equal(read_indexed(path), found)


def test_predicted_confidence_needs_a_classification_head(models, rng):
    net = SegmentationNet(experiments.load("demo"), models["segmentation"])
    with pytest.raises(InputError, match="no classification head"):
        net.probabilities(rng.randint(0, 256, (50, 70, 3)).astype(np.uint8), "predicted")


def test_pictures_become_masks_and_overlays(models, small_set, tmp_path):
    paths = [str(small_set / "JPEGImages" / f"image{k}.jpg") for k in (0, 1)]
    infer.run(experiments.load("demo"), paths, models["psl"], str(tmp_path / "out"), "none", overlay=True)
    for k, path in enumerate(paths):
        image, mask = cv2.imread(path), read_indexed(str(tmp_path / f"out/image{k}.png"))
        overlay = cv2.imread(str(tmp_path / f"out/image{k}_overlay.png"))
        assert mask.shape == image.shape[:2] and mask.max() <= 4
        assert mask.any()
        np.testing.assert_array_equal(overlay[mask == 0], image[mask == 0])
        assert (overlay[mask > 0] != image[mask > 0]).any(axis=1).all()
    with pytest.raises(InputError, match="would overwrite"):
        infer.run(experiments.load("demo"), [paths[0]] * 2, models["psl"], str(tmp_path / "out"))


def test_a_black_picture_is_segmented_with_a_warning(models, tmp_path, capfd):
    path = tmp_path / "black.png"
    cv2.imwrite(str(path), np.zeros((50, 70, 3), np.uint8))
    infer.run(experiments.load("demo"), [str(path)], models["psl"], str(tmp_path / "out"))
    assert "warning: pictures: 1 of 1" in capfd.readouterr().err
    assert read_indexed(str(tmp_path / "out/black.png")).shape == (50, 70)


def picture(path, image, orientation=None):
    """Write an RGB picture; orientation: EXIF's, 6 for one taken with the camera turned."""
    exif = Image.Exif()
    if orientation:
        exif[274] = orientation
    Image.fromarray(image).save(path, quality=95, exif=exif.tobytes())


def test_a_picture_is_segmented_upright_and_at_the_size_of_vocs_photos(models, rng, tmp_path):
    upright = cv2.resize(rng.randint(0, 256, (6, 8, 3)).astype(np.uint8), (1600, 1200))
    picture(tmp_path / "upright.png", upright)
    picture(tmp_path / "turned.png", np.rot90(upright), orientation=6)
    experiment, out = experiments.load("demo"), str(tmp_path / "out")
    paths = [str(tmp_path / name) for name in ("upright.png", "turned.png")]
    infer.run(experiment, paths, models["psl"], out, "none")
    masks = [read_indexed(f"{out}/{name}.png") for name in ("upright", "turned")]
    assert masks[0].shape == (1200, 1600) and masks[0].any()
    np.testing.assert_array_equal(*masks)
    small = cv2.resize(upright[:, :, ::-1], (500, 375), interpolation=cv2.INTER_AREA)
    expected = crf.refined(small, SegmentationNet(experiment, models["psl"]).probabilities(small), experiment.crf)
    expected = cv2.resize(expected.argmax(axis=0).astype(np.uint8), (1600, 1200), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(masks[0][1::16, 1::16], expected[1::16, 1::16])


@pytest.mark.parametrize(
    "arguments, code, complaint",
    [
        (["a.png", "--out", "."], 1, "--out .: contains --model "),
        (["a.jpg", "--out", "out"], 1, "a.jpg: no such picture; name one in this folder"),
        (["cut.jpg", "--out", "out"], 1, "cut.jpg: cannot be decoded"),
        (["text.jpg", "--out", "out"], 1, "text.jpg: cannot be decoded"),
        (["a.png", "--out", "text.jpg"], 1, "text.jpg: cannot be a folder: a file, a pipe"),
        (["a.png", "--out", "out", "--confidence", "labels"], 2, "invalid choice: 'labels'"),
        (["--out", "out"], 2, "the following arguments are required: IMAGE"),
    ],
)
def test_pictures_that_cannot_be_segmented_are_one_line(models, rng, tmp_path, arguments, code, complaint):
    picture(tmp_path / "a.png", rng.randint(0, 256, (40, 50, 3)).astype(np.uint8))
    picture(tmp_path / "cut.jpg", rng.randint(0, 256, (40, 50, 3)).astype(np.uint8))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-300])
    (tmp_path / "text.jpg").write_text("this is text")
    os.symlink(os.path.abspath("prototxt"), tmp_path / "prototxt")
    before = (tmp_path / "a.png").read_bytes()
    command = [
        sys.executable,
        "-m",
        "aepsl",
        "infer",
        "--experiment",
        "demo",
        "--model",
        models["psl"],
        *arguments,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code
    assert complaint in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert (tmp_path / "a.png").read_bytes() == before and not (tmp_path / "out/a.png").exists()


def test_shards_and_processes_for_the_crf_change_nothing(models, small_set, tmp_path):
    (small_set / "classes.txt").write_text("cat\ndog\nhen\nowl\n")
    experiment = experiments.changed(experiments.load("demo"), {"classes": ["cat", "dog", "hen", "owl"]})
    folders = {name: tmp_path / name for name in ("whole", "parts")}
    arguments = (experiment, str(small_set), "train_aug", models["psl"])
    segment.run(*arguments, str(folders["whole"]), "labels")
    for part in ("1/2", "2/2"):
        segment.run(*arguments, str(folders["parts"]), "labels", part, workers=2)
    for kind in ("plain", "crf"):
        whole, parts = ({p.name: p.read_bytes() for p in (folder / kind).iterdir()} for folder in folders.values())
        assert whole == parts and len(whole) == 6


def test_a_failure_in_a_process_is_told(models, small_set, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/crf").write_text("in the way")
    (small_set / "classes.txt").write_text("cat\ndog\nhen\nowl\n")
    experiment = experiments.changed(experiments.load("demo"), {"classes": ["cat", "dog", "hen", "owl"]})
    with pytest.raises(InputError, match="out/crf/"):
        segment.run(experiment, str(small_set), "val", models["psl"], str(tmp_path / "out"), workers=2)
