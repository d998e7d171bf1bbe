"""Predictions of other projects: their names, their formats, and the messages about files that are not predictions."""

import functools
import io
import os
import pickle
import tarfile

import cv2
import numpy as np
import pytest
import scipy.io

from aepsl.base.errors import InputError
from aepsl.data.predictions import find
from aepsl.images.pictures import read_indexed, write_mask

IDS = ["2007_000042", "2007_000033"]
SIZES = [(30, 41), (25, 16)]  # height, width
VALUES = [0, 3, 4, 9]  # of four classes


@pytest.fixture
def truths(tmp_path):
    paths = [str(tmp_path / f"truth/{image_id}.png") for image_id in IDS]
    for path, size in zip(paths, SIZES):
        write_mask(path, np.zeros(size, np.uint8))
    return paths


@pytest.fixture
def found(tmp_path, truths):
    """The masks that are found in theirs/, or in another source there."""

    def found(source="theirs"):
        paths = find(str(tmp_path / source), IDS, truths, VALUES, str(tmp_path / "made"))
        return [read_indexed(path) for path in paths]

    return found


@pytest.fixture
def scores(rng):
    """K x H x W of each image, smooth, whose largest is clear."""
    return [cv2.resize(rng.randn(5, 4, 4), size[::-1]).transpose(2, 0, 1).astype(np.float32) for size in SIZES]


def best(scores):
    return [np.array(VALUES, np.uint8)[each.argmax(axis=0)] for each in scores]


def check(masks, expected):
    for mask, each in zip(
        masks,
        expected,
    ):
        np.testing.assert_array_equal(mask, each)


# Names


@pytest.mark.parametrize(
    "name",
    [
        "{}.png",
        "sem_seg/{}.png",
        "results/VOC2012/Segmentation/comp6_val_cls/{}.png",
        "fc8/{}_blob_0.png",
        "{}.PNG",
        "exp1/segmentation/{}_seg.png",
        "raw_segmentation_results/b'{}'.png",
    ],
)
def test_masks_are_found_under_the_names_that_others_give(tmp_path, truths, name):
    for image_id in [*IDS, "2007_000061"]:
        path = tmp_path / "theirs" / name.format(image_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    paths = find(str(tmp_path / "theirs"), IDS, truths, VALUES, str(tmp_path / "made"))
    assert paths == [str(tmp_path / "theirs" / name.format(image_id)) for image_id in IDS]


def test_an_id_that_ends_as_others_names_do_is_taken_as_it_is(tmp_path, truths):
    (tmp_path / "theirs").mkdir()
    for name in ("a_seg", "a"):
        (tmp_path / f"theirs/{name}.png").write_bytes(b"")
    paths = find(str(tmp_path / "theirs"), ["a_seg", "a"], truths, VALUES, "made")
    assert [os.path.basename(path) for path in paths] == ["a_seg.png", "a.png"]


FOLDERS = {
    "nothing": ([], "it has no file; give masks as PNGs named ID.png"),
    "others": (["x.txt", "y.txt", "z.csv"], "2 files with .txt, 1 files with .csv, such as x.txt; give masks"),
    "pictures": (["i0.jpg"], "i0.jpg, pictures: JPEG cannot hold classes"),
    "TensorFlow's pictures": (["000000_prediction.png"], "raw_segmentation_results has the masks"),
    "one file of all": (["logits.npy"], "one file of all images"),
    "blobs": (["i0_blob_0.bin"], "take the .mat"),
    "an archive": (["results.tgz"], "name that file, not its folder"),
    "two missing": (["i0.png", "i3.png"], "has no predictions of 2 of 4 images: i1, i2$"),
    "two of one": ([*(f"i{k}.png" for k in range(4)), "i3_seg.png"], "i3.png and .*i3_seg.png; name the folder of one"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_what_is_missing_is_named(tmp_path, case):
    files, message = FOLDERS[case]
    for name in files:
        (tmp_path / name).write_bytes(b"")
    ids = [f"i{k}" for k in range(4)]
    with pytest.raises(InputError, match=message):
        find(str(tmp_path), ids, ["unread"] * 4, VALUES, str(tmp_path / "made"))


# Formats


def test_scores_of_matwrite_are_width_first_and_padded(tmp_path, found, scores):
    """As DeepLab's EvalSegResults.m reads them: permute(data, [2 1 3]), crop, max."""
    for name, maps in zip(IDS, scores):
        padded = np.full((4, 57, 49), 9, np.float32)
        padded[:, : maps.shape[1], : maps.shape[2]] = maps
        (tmp_path / "theirs").mkdir(exist_ok=True)
        blob = padded.transpose(2, 1, 0)[..., None]
        scipy.io.savemat(str(tmp_path / f"theirs/{name}_blob_0.mat"), dict(data=blob))
    check(found(), best(scores))


def test_classes_of_matwrite(tmp_path, found, scores):
    """What its ArgMax layer gives: one channel of mask values."""
    (tmp_path / "theirs").mkdir()
    for name, mask in zip(IDS, best(scores)):
        data = np.pad(mask, ((0, 5), (0, 9)), mode="constant").astype(np.float32).T[:, :, None, None]
        scipy.io.savemat(str(tmp_path / f"theirs/{name}_blob_0.mat"), dict(data=data))
    check(found(), best(scores))


def test_cells_of_deeplab_pytorch_are_grown_as_it_does(tmp_path, found, rng):
    """PyTorch's bilinear with align_corners=False: cell k covers the pixels around (k + .5) / scale - .5."""
    (tmp_path / "theirs").mkdir()
    expected = []
    for name, size in zip(IDS, SIZES):
        maps = rng.randn(4, 5, 6).astype(np.float32)
        np.save(str(tmp_path / f"theirs/{name}.npy"), maps)
        for axis, side in ((1, size[0]), (2, size[1])):
            count = maps.shape[axis]
            places = np.clip((np.arange(side) + 0.5) * count / side - 0.5, 0, count - 1)
            maps = np.apply_along_axis(lambda row: np.interp(places, np.arange(len(row)), row), axis, maps)  # noqa: B023
        expected.append(maps)
    for mask, maps in zip(found(), expected):
        first, second = np.sort(maps, axis=0)[:-3:-1]
        clear = first - second > 1e-5
        assert clear.mean() > 0.99 and len(np.unique(mask)) > 2
        np.testing.assert_array_equal(mask[clear], best([maps])[0][clear])


def test_probabilities_of_psa_are_by_channel(tmp_path, found, rng):
    """Channels that are not of the image's labels are missing from its dict, background is 0."""
    (tmp_path / "theirs").mkdir()
    expected = []
    for name, size in zip(IDS, SIZES):
        maps = rng.dirichlet([1, 1, 1], size=size).transpose(2, 0, 1).astype(np.float32)
        np.save(str(tmp_path / f"theirs/{name}.npy"), dict(zip((0, 1, 3), maps)))
        expected.append(np.array([0, 3, 9])[maps.argmax(axis=0)])
    check(found(), expected)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_mmsegmentation_is_in_the_order_of_the_list(tmp_path, found, scores, protocol):
    masks = [mask.astype(np.int64) for mask in best(scores)]
    (tmp_path / "results.pkl").write_bytes(pickle.dumps(masks, protocol))
    check(found("results.pkl"), best(scores))


@pytest.mark.parametrize("name, mode", [("results.tgz", "w:gz"), ("results.tar", "w")])
def test_an_archive_for_vocs_server_is_read(tmp_path, found, scores, name, mode):
    with tarfile.open(str(tmp_path / name), mode) as archive:
        for image_id, mask in zip(IDS, best(scores)):
            write_mask(str(tmp_path / "one.png"), mask)
            archive.add(str(tmp_path / "one.png"), f"results/VOC2012/Segmentation/comp6_val_cls/{image_id}.png")
        archive.add(str(tmp_path / "one.png"), "results/VOC2012/Segmentation/comp6_val_cls/other.png")
    check(found(name), best(scores))
    assert sorted(os.listdir(tmp_path / "made")) == sorted(f"{image_id}.png" for image_id in IDS)


# What is refused


class Harm:
    """Its pickle calls a function that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def saved(function, *arguments):
    """The bytes of a file that function(path, *arguments) writes."""
    buffer = io.BytesIO()
    function(buffer, *arguments)
    return buffer.getvalue()


npy = functools.partial(saved, np.save)
mat = functools.partial(saved, scipy.io.savemat)
HEAT = dict(keys=np.array([1]), cam=np.zeros((1, 8, 11)))
REFUSED = {
    "cells of DeepLab": ("{}_blob_0.mat", mat(dict(data=np.zeros((6, 4, 4)))), "6 x 4 cells, its image 41 x 30 pixels"),
    "other channels": ("{}.mat", mat(dict(data=np.zeros((41, 30, 21)))), "has 21 channels; 4 are needed"),
    "no data": ("{}.mat", mat(dict(label=np.zeros(3))), "has no array `data`, but label"),
    "a text": ("{}.mat", b"Not a MATLAB file at all", "is damaged, or not a MATLAB file"),
    "MATLAB 7.3": ("{}.mat", b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\x89HDF", "save it with -v7"),
    "cut short": ("{}.npy", npy(np.zeros((4, 5, 6)))[:300], "is damaged, or not an array"),
    "a broken archive": ("{}.npy", b"PK\x03\x04 no archive", "is damaged, or not an array"),
    "a pickle cut short": ("{}.npy", npy({0: np.ones((30, 41))})[:300], "is damaged, or not an array"),
    "channels last": ("{}.npy", npy(np.zeros((30, 41, 4), np.float32)), "scores have channels x rows x columns"),
    "no cells": ("{}.npy", npy(np.zeros((4, 0, 0), np.float32)), "has the shape (4, 0, 0), its image 41 x 30 pixels"),
    "no channels": ("{}.npy", npy(np.zeros((0, 5, 6), np.float32)), "has the shape (0, 5, 6), its image 41 x 30"),
    "one class each image": ("{}.npy", npy(np.float32(3)), "has the shape (), its image 41 x 30 pixels"),
    "booleans": ("{}.npy", npy(np.zeros((30, 41), bool)), "holds an array of bool, not an array of numbers"),
    "texts": ("{}.npy", npy(np.array(["cat"])), "holds an array of <U3, not an array of numbers"),
    "names of files": ("results.pkl", pickle.dumps(["a.npy", "b.npy"]), "2007_000042: is no mask of rows x columns"),
    "dicts of mmsegmentation 1": ("results.pkl", pickle.dumps([dict(a=np.eye(3))] * 2), "is no mask of rows x columns"),
    "nothing": ("results.pkl", pickle.dumps([None, None]), "is no mask of rows x columns, but has the shape ()"),
    "lists of one mask": (
        "results.pkl",
        pickle.dumps([[np.zeros((30, 41), int)]] * 2),
        "but has the shape (1, 30, 41)",
    ),
    "not finite": ("{}.npy", npy(np.full((4, 5, 6), np.nan)), "has scores that are not finite"),
    "heat maps of psa": ("{}.npy", npy({0: np.ones((30, 41)), 2: np.eye(30, 41)}), "by a threshold"),
    "heat maps of irn": ("{}.npy", npy(HEAT), "holds a dict of keys, cam; give masks"),
    "psa, of other classes": ("{}.npy", npy({0: np.ones((30, 41)), 20: np.zeros((30, 41))}), "a channel 20"),
    "code in an array": ("{}.npy", npy(np.array([Harm("harm")], object)), "holds io.open, not an array of NumPy"),
    "code in a list": ("results.pkl", pickle.dumps([Harm("harm")]), "holds io.open, not a pickle of masks"),
    "too few": ("results.pkl", pickle.dumps([np.zeros((30, 41))]), "holds a list of 1; it must be a list of one mask"),
    "a dict": ("results.pkl", pickle.dumps({"mIoU": 0.5}), "holds a dict; it must be a list"),
    "another size": ("results.pkl", pickle.dumps([np.zeros((30, 40), int)] * 2), "2007_000042: is 40 x 30, the ground"),
    "shares": ("results.pkl", pickle.dumps([np.full(size, 0.5) for size in SIZES]), "values that are not classes"),
    "another pickle": ("results.pkl", b"no pickle", "is damaged, or not a pickle"),
    "another archive": ("results.tgz", b"no archive", "is damaged or cut short, or not a tar archive"),
    "a picture": ("results.zip", b"PK", "is not a folder, .tgz or .pkl"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_mask_is_one_line_and_runs_nothing(tmp_path, found, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    name, content, message = REFUSED[case]
    source = "theirs" if "{}" in name else name
    for image_id in IDS:
        path = tmp_path / ("theirs" if "{}" in name else "") / name.format(image_id)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        found(source)
    assert message in str(error.value) and "\n" not in str(error.value), str(error.value)
    assert str(error.value).startswith(str(tmp_path)) and not os.path.exists("harm")


def test_an_archive_of_other_sizes_names_itself(tmp_path, found):
    with tarfile.open(str(tmp_path / "results.tgz"), "w:gz") as archive:
        for image_id in IDS:
            write_mask(str(tmp_path / "one.png"), np.zeros((5, 6), np.uint8))
            archive.add(str(tmp_path / "one.png"), f"{image_id}.png")
    with pytest.raises(InputError, match="results.tgz: 2007_000042: is 6 x 5, the ground truth 41 x 30"):
        found("results.tgz")
