"""What a run has mined, read as irn, mmsegmentation and SEC read it."""

import dataclasses
import os
import pathlib
import pickle

import caffe
import cv2
import numpy as np
import pytest

from aepsl.base.errors import InputError
from aepsl.base.files import write_text
from aepsl.data.regions import packed
from aepsl.graph.run_folder import RunFolder
from aepsl.images.pictures import read_indexed, write_grey, write_mask
from aepsl.nets import build, caffemodel
from aepsl.tools import export
from conftest import tiny_experiment


@pytest.fixture
def finished(small_set, tmp_path, monkeypatch):
    """(experiment, data) of a run in a folder of its own: a net without training, regions of its step 1, masks."""
    experiment = dataclasses.replace(tiny_experiment(synthetic=None), name="small", classes=("dog",))
    monkeypatch.chdir(tmp_path)
    (small_set / "classes.txt").write_text("cat\ndog\n")
    labels = "".join(f"image{k} dog\n" for k in range(6))
    (small_set / "image_labels.txt").write_text(labels)
    folder = RunFolder("small")
    for step in (1, 2):
        os.makedirs(folder.classification(step))
        caffe.set_random_seed(3 + step)
        net = caffemodel.net_of(build.deploy_net(experiment, "classification"))
        net.params["fc8_cls"][0].data[...] = np.abs(net.params["fc8_cls"][0].data)  # maps are not negative
        net.save(folder.model(folder.classification(step)))
    for k in range(6):
        truth = read_indexed(str(small_set / f"SegmentationClassAug/image{k}.png"))
        region = np.zeros((1, *truth.shape), bool)
        region[:, 10:20, 10:25] = True
        write_grey(f"{folder.regions(1)}/image{k}.png", packed(region))
        for step in (1, 2, 3):
            write_mask(f"{folder.masks(step)}/image{k}.png", np.where(truth == 1, step % 2 * 2, truth))
    return experiment, str(small_set)


def cam(experiment, data, image_id, step):
    """Heat map of the net of a step, at the image's size, out of Caffe's blobs; cell k of a map is at pixel 8 k."""
    folder = RunFolder("small")
    deploy = build.deploy_net(experiment, "classification")
    net = caffemodel.net_of(deploy)
    net.copy_from(folder.model(folder.classification(step)))
    image = cv2.imread(f"{data}/JPEGImages/{image_id}.jpg")
    height, width = image.shape[:2]
    h, w = (int(round(side / 2)) for side in (height, width))
    pixels = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA) - np.float32(experiment.data.mean)
    if step > 1:
        erased = read_indexed(f"{folder.regions(step - 1)}/{image_id}.png")
        pixels[cv2.resize(erased, (w, h), interpolation=cv2.INTER_NEAREST) > 0] = 0
    sides = [8 * -(-(side - 1) // 8) + 1 for side in (h, w)]
    blob = np.zeros((1, 3, *sides), np.float32)
    blob[0, :, :h, :w] = pixels.transpose(2, 0, 1)
    net.blobs["data"].reshape(*blob.shape)
    net.forward(data=blob)
    features = net.blobs[net.bottom_names["gap"][0]].data[0]
    small = np.tensordot(net.params["fc8_cls"][0].data[0], features, axes=1)
    for axis, side in enumerate((h, w)):
        cells = 8 * np.arange(small.shape[axis])
        small = np.apply_along_axis(lambda row: np.interp(np.arange(side), cells, row), axis, small)  # noqa: B023
    return cv2.resize(small, (width, height))


@pytest.mark.parametrize("step", [1, 2])
def test_irn_reads_its_heat_maps(finished, tmp_path, step):
    """As step/eval_cam.py, cam_to_ir_label.py and make_sem_seg_labels.py do: keys of all of VOC's classes, from 0."""
    experiment, data = finished
    export.run(experiment, "irn", "out", step, data)
    for k in range(6):
        cam_dict = np.load(f"out/cam/image{k}.npy", allow_pickle=True).item()
        height, width = read_indexed(f"{data}/SegmentationClassAug/image{k}.png").shape
        cams = np.pad(cam_dict["high_res"], ((1, 0), (0, 0), (0, 0)), mode="constant", constant_values=0.15)
        keys = np.pad(cam_dict["keys"] + 1, (1, 0), mode="constant")
        assert set(keys[np.argmax(cams, axis=0)].ravel()) <= {0, 2} and list(keys) == [0, 2]
        assert cam_dict["high_res"].shape == (1, height, width)
        assert cam_dict["cam"].shape == (1, (height - 1) // 4 + 1, (width - 1) // 4 + 1)
        for maps in (cam_dict["cam"], cam_dict["high_res"]):
            assert maps.dtype == np.float32 and maps.min() >= 0 and maps.max() <= 1


def test_heat_maps_are_those_of_the_steps_net(finished):
    experiment, data = finished
    for step in (1, 2):
        export.run(experiment, "irn", f"out{step}", step, data)
        ours = np.load(f"out{step}/cam/image1.npy", allow_pickle=True).item()["high_res"][0]
        expected = np.maximum(cam(experiment, data, "image1", step), 0)
        np.testing.assert_allclose(ours, expected / (expected.max() + 1e-5), atol=1e-4)
        assert ours.max() > 0.5


def test_each_map_is_divided_by_its_own_maximum():
    maps = np.stack([np.full((9, 6), 4.0), np.full((9, 6), -1.0)]).astype(np.float32)
    maps[0, :4, :4] = 8
    maps[1, 8, 5] = 0.5
    found = export.as_irn(maps, np.array([14, 3]))
    assert found["high_res"][0].max() == pytest.approx(1, abs=1e-5)
    assert found["high_res"][0, 8, 5] == pytest.approx(0.5, abs=1e-5)
    assert found["high_res"][1].max() == pytest.approx(1, abs=1e-4) and found["high_res"][1].min() == 0
    assert found["cam"].shape == (2, 3, 2)
    assert list(found["keys"]) == [14, 3]


def test_mmsegmentation_finds_images_and_masks_by_its_setting(finished):
    """As BaseSegDataset joins them: an absolute prefix stays, the others stand below data_root."""
    experiment, data = finished
    setting = export.run(experiment, "mmseg", "out", data=data)
    found = eval(setting.replace("dataset=", "", 1), dict(train_pipeline=[], dict=dict))
    assert found["metainfo"]["classes"] == ("background", "cat", "dog")
    root, prefix = found["data_root"], found["data_prefix"]
    with open(os.path.join(root, found["ann_file"])) as file:
        names = file.read().split()
    assert names == [f"image{k}" for k in range(6)]
    for name in names:
        mask = read_indexed(os.path.join(root, prefix["seg_map_path"], name + found["seg_map_suffix"]))
        image = cv2.imread(os.path.join(root, prefix["img_path"], name + found["img_suffix"]))
        assert mask.shape == image.shape[:2] and set(mask.ravel()) <= {0, 1, 2, 255}


def test_sec_finds_labels_and_cues_by_the_numbers_of_its_list(finished):
    """As its AnnotationLayer does, for the labels that Caffe's ImageData reads: numbers in a blob of floats."""
    experiment, data = finished
    export.run(experiment, "sec", "out", data=data)
    with open("out/input_list.txt") as file:
        listed = [line.split() for line in file]
    assert [name for name, _ in listed] == [f"image{k}.jpg" for k in range(6)]
    with open("out/localization_cues.pickle", "rb") as file:
        assert file.read(2) == b"\x80\x02"  # what Python 2 reads
        file.seek(0)
        data_file = pickle.load(file)
    masks = RunFolder("small").masks(experiment.mining.merge)
    for k, image_id in enumerate(np.array([number for _, number in listed], np.float32)):
        labels, top = np.zeros(21), np.zeros((21, 41, 41))
        labels[data_file[f"{int(image_id)}_labels"]] = 1
        assert list(np.flatnonzero(labels)) == [2]  # dog, as channels number it: background is 0
        cues_i = data_file[f"{int(image_id)}_cues"]
        top[cues_i[0], cues_i[1], cues_i[2]] = 1
        mask = read_indexed(f"{masks}/image{k}.png")
        height, width = mask.shape
        for y, x in np.ndindex(41, 41):  # of an image warped to 321 x 321, whose maps have a cell at every 8th pixel
            value = mask[int(8 * y / 320 * (height - 1) + 0.5), int(8 * x / 320 * (width - 1) + 0.5)]
            assert list(np.flatnonzero(top[:, y, x])) == ([] if value == 255 else [value]) or _between(
                y, height, x, width
            )


def _between(y, height, x, width):
    """Whether a cell lies in the middle of two pixels."""
    return any(abs(k / 40 * (side - 1) % 1 - 0.5) < 1e-9 for k, side in ((y, height), (x, width)))


def test_png_are_the_masks_of_the_step(finished):
    experiment, data = finished
    merged = experiment.mining.merge
    for out, step in (("merged", None), ("second", 2)):
        export.run(experiment, "png", out, step, data)
        masks = RunFolder("small").masks(step or merged)
        for k in range(6):
            np.testing.assert_array_equal(read_indexed(f"{out}/image{k}.png"), read_indexed(f"{masks}/image{k}.png"))


MASKS = dict(
    cut=(lambda path: path.write_bytes(path.read_bytes()[:-30]), "image4.png: cannot be decoded"),
    empty=(lambda path: path.write_bytes(b""), "image4.png: is empty"),
    small=(lambda path: write_mask(str(path), np.zeros((5, 5), np.uint8)), "image4.png: is 5 x 5, its image "),
    value=(lambda path: filled(path, 77), "image4.png: has the value 77, which is no class"),
    nothing=(lambda path: [filled(each, 255) for each in path.parent.iterdir()], "ae_step2: these masks are 255"),
)


def filled(path, value):
    write_mask(str(path), np.full_like(read_indexed(str(path)), value))


@pytest.mark.parametrize("kind", ["mmseg", "png", "sec"])
@pytest.mark.parametrize("fault", MASKS)
def test_masks_that_mean_nothing_are_not_exported(finished, fault, kind):
    experiment, data = finished
    damage, complaint = MASKS[fault]
    damage(pathlib.Path(RunFolder("small").masks(2), "image4.png"))
    with pytest.raises(InputError, match=complaint):
        export.run(experiment, kind, "out", 2, data)
    assert not os.path.exists("out")


def test_faults_are_one_line(finished):
    experiment, data = finished
    os.unlink(f"{RunFolder('small').masks(2)}/image4.png")
    os.rename(f"{data}/JPEGImages/image0.jpg", f"{data}/JPEGImages/image0.jpeg")
    for kind, step, message in [
        ("png", 5, "--step 5: the run has the steps 1 to 4"),
        ("png", 2, "ae_step2/image4.png: no such mask; `aepsl run small --row ae_step2` makes it"),
        ("irn", 3, "step3/classification/final.caffemodel"),
        ("mmseg", 3, "has images that end in .jpeg and .jpg"),
    ]:
        with pytest.raises(InputError, match=message):
            export.run(experiment, kind, "out", step, data)
        assert not os.path.exists("out")
    export.run(experiment, "png", "out", data=data)
    os.mkfifo("pipe")
    os.symlink("nowhere", "dangling")
    os.makedirs("empty")
    os.symlink("empty", "link")
    for out in ("out", "pipe", "dangling", "link"):
        with pytest.raises(InputError, match=f"{out}: is there already"):
            export.run(experiment, "png", out, data=data)
    for out in ("pipe/x", "dangling/x", "out/image0.png/x"):
        with pytest.raises(InputError, match="cannot be a folder: a file, a pipe or a link to nowhere"):
            export.run(experiment, "png", out, data=data)


@pytest.mark.parametrize("name", ["out.part", "out.part1", "out.tmp", "out~", ".out"])
def test_a_folder_beside_the_output_is_left(finished, name):
    experiment, data = finished
    os.makedirs(name)
    write_text(os.path.join(name, "mine.txt"), "mine")
    export.run(experiment, "png", "out", data=data)
    assert os.listdir(name) == ["mine.txt"] and len(os.listdir("out")) == 6
