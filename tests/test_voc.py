"""The data set made of VOC's and SBD's archives: lists, labels and masks, and what happens when something is wrong."""

import collections
import glob
import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

import standins
from aepsl.base.errors import InputError
from aepsl.data import archives, source_table, voc
from aepsl.data.dataset import VOC_CLASSES, Dataset
from aepsl.images.pictures import palette, read_indexed


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return standins.make(tmp_path_factory.mktemp("standins") / "served", train=9, sbd=7, val=4, test=3)


@pytest.fixture
def sources(made):
    return made.sources("http://127.0.0.1:1")


@pytest.fixture
def out(made, tmp_path):
    """A folder with VOC's and SBD's archives unpacked in it, to be built."""
    out = tmp_path / "voc12"
    for name, entry in source_table.load()["files"].items():
        if name in (standins.VOC, standins.SBD):
            unpack = entry["unpack"]
            archives.unpack(f"{made.folder}/{name}", str(out / unpack["folder"]), unpack["from"], unpack["only"])
    return out


def unpack_test(made, folder):
    archives.unpack(f"{made.folder}/{standins.TEST}", str(folder), "VOCdevkit/VOC2012", ["JPEGImages", "ImageSets"])


def lines(path):
    with open(path) as file:
        return file.read().split("\n")[:-1]


def files(root):
    """{path: (time of its last change, link or size)} of everything below."""
    found = {}
    for folder, _, names in os.walk(root):
        for path in (os.path.join(folder, name) for name in names):
            what = os.readlink(path) if os.path.islink(path) else os.path.getsize(path)
            found[os.path.relpath(path, root)] = (os.lstat(path).st_mtime_ns, what)
    return found


def refused(out, *arguments, **keywords):
    """The one line of a start that must fail before it has written anything."""
    before = files(out)
    with pytest.raises(InputError) as error:
        voc.run(str(out), *arguments, **keywords)
    assert "\n" not in str(error.value)
    assert files(out) == before
    return str(error.value)


def check_built(out, made):
    """Everything about a built set but its test images, stated anew from what the stand-ins were drawn as."""
    known = made.ids
    for image_id in {i for name in ("train", "val", "sbd_train", "sbd_val") for i in known[name]}:
        has_mask = any(image_id in known[name] for name in ("train", "sbd_train", "sbd_val"))
        in_train_aug = image_id in lines(out / "ImageSets/Segmentation/train_aug.txt")
        assert in_train_aug == (has_mask and image_id not in known["val"]), image_id
    for name in ("train", "val", "train_aug"):
        listed = lines(out / f"ImageSets/Segmentation/{name}.txt")
        assert listed == sorted(set(listed)) and set(listed) == set(known[name])
    rows = {line.split()[0]: line.split()[1:] for line in lines(out / "image_labels.txt")}
    assert rows == {image_id: made.labels[image_id] for image_id in known["train_aug"] + known["val"]}
    assert len(os.listdir(out / "SegmentationClassAug")) == len(rows)
    for image_id in rows:
        with Image.open(out / f"SegmentationClassAug/{image_id}.png") as mask:
            assert mask.mode == "P" and mask.getpalette() == palette().ravel().tolist()
            assert (np.array(mask) == made.masks[image_id]).all()


def test_lists_labels_and_masks(out, made, sources):
    before = files(out)
    voc.run(str(out), sources=sources)
    check_built(out, made)
    assert not os.path.exists(out / "ImageSets/Segmentation/test.txt")
    after = files(out)
    assert all(after[path] == state for path, state in before.items())
    data = Dataset(str(out))
    ids = data.ids("train_aug") + data.ids("val")
    data.check(ids, [data.mask_folder()])
    assert data.labels(ids).sum() == sum(len(made.labels[image_id]) for image_id in ids)


def test_the_standins_are_as_awkward_as_the_real_archives(made):
    """Or else the test above would say little."""
    sbd = set(made.ids["sbd_train"]) | set(made.ids["sbd_val"])
    assert sbd & set(made.ids["train"]) and sbd & set(made.ids["val"]) and sbd - set(made.ids["train"])
    assert set(made.ids["train"]) - sbd and set(made.ids["val"]) - sbd
    drawn = {i: {VOC_CLASSES[v - 1] for v in np.unique(mask) if 0 < v < 255} for i, mask in made.masks.items()}
    assert any(set(made.labels[i]) > drawn[i] for i in made.ids["train_aug"])  # difficult ones
    assert any("person" in made.labels[i] for i in made.ids["train_aug"])  # with parts


def test_a_second_start_does_nothing_again(out, made, sources):
    voc.run(str(out), sources=sources)
    before = files(out)
    voc.run(str(out), sources=sources)
    after = files(out)
    assert after.keys() == before.keys()
    assert [p for p in after if after[p] != before[p]] == []


def test_an_interrupted_start_is_continued(out, made, sources):
    """A mask that cannot be read ends the first start; what it had converted is not converted again."""
    broken = out / "SBD/cls" / (sorted(set(made.ids["train_aug"]) - set(made.ids["train"]))[-1] + ".mat")
    content = broken.read_bytes()
    broken.write_bytes(b"not MATLAB")
    with pytest.raises(InputError, match=f"{broken.name}: holds no GTcls.Segmentation; unpack SBD's archive again"):
        voc.run(str(out), sources=sources)
    assert not os.path.exists(out / "image_labels.txt")
    first = files(out / "SegmentationClassAug")
    broken.write_bytes(content)
    voc.run(str(out), sources=sources)
    check_built(out, made)
    second = files(out / "SegmentationClassAug")
    assert all(second[path] == state for path, state in first.items())
    assert len(set(second) - set(first)) >= 1


def test_the_set_can_be_moved(out, made, sources, tmp_path):
    voc.run(str(out), sources=sources)
    os.rename(out, tmp_path / "elsewhere")
    check_built(tmp_path / "elsewhere", made)
    data = Dataset(str(tmp_path / "elsewhere"))
    data.check(data.ids("train_aug"))


def test_folders_of_the_users_own_are_only_read(out, made, sources, tmp_path):
    own, new = tmp_path / "own", tmp_path / "new"
    os.rename(out, own)
    before = files(own)
    voc.run(str(new), voc=str(own / "VOC2012"), sbd=str(own / "SBD"), sources=sources)
    check_built(new, made)
    assert files(own) == before
    assert os.readlink(new / "JPEGImages" / (made.ids["val"][0] + ".jpg")).startswith(str(own))


def test_the_check_before_downloads_asks_for_the_folder(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="nowhere: no such folder; name your folder VOC2012"):
        voc.main(["--check", "--out", "new", "--voc", "nowhere"])
    voc.main(["--check", "--out", "new", "--voc", str(out / "VOC2012")])
    assert not os.path.exists("new")


def test_masks_of_the_users_own_stand_in_for_sbd(out, made, sources, tmp_path):
    """Many have VOC with a folder SegmentationClassAug, grey or with a palette, and no SBD."""
    voc.run(str(out), sources=sources)
    own, new = tmp_path / "own", tmp_path / "new"
    shutil.copytree(out / "VOC2012", own)
    shutil.copytree(out / "SegmentationClassAug", own / "SegmentationClassAug")
    assert f"{new}/VOC2012: no such folder; run scripts/get_voc.sh" in refused(new, sources=sources)
    line = refused(new, voc=str(out / "VOC2012"), sources=sources)
    assert f"{new}/SBD: no such folder; run scripts/get_sbd.sh" in line
    voc.run(str(new), voc=str(own), sources=sources)
    check_built(new, made)


def test_test_images(out, made, sources):
    unpack_test(made, out / "VOC2012test")
    voc.run(str(out), sources=sources)
    check_built(out, made)
    assert lines(out / "ImageSets/Segmentation/test.txt") == made.ids["test"]
    data = Dataset(str(out))
    data.check(data.ids("test"))


def test_another_number_of_test_images(out, made, sources):
    unpack_test(made, out / "VOC2012test")
    path = out / "VOC2012test/ImageSets/Segmentation/test.txt"
    path.write_text("\n".join(lines(path)[:-1]))
    assert f"{out}: test would have 2 images, not 3; " in refused(out, sources=sources)


def changed(made, tmp_path, change):
    """A table of sources whose expectations are not what the archives give."""
    table = made.table("http://127.0.0.1:1")
    change(table["expected"])
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(table))
    return str(path)


def test_a_list_of_another_length(out, made, sources):
    path = out / "VOC2012/ImageSets/Segmentation/train.txt"
    path.write_text("\n".join(lines(path)[1:]))
    line = refused(out, sources=sources)
    assert line.startswith(f"{out}: train would have 8 images, not 9; ") and "scripts/get_voc.sh" in line


def test_a_list_of_other_images(out, made, sources):
    path = out / "VOC2012/ImageSets/Segmentation/val.txt"
    path.write_text("\n".join(["2007_999999", *lines(path)[1:]]))
    assert f"{out}: val would have the right number of images, but not the right ones; " in refused(
        out, sources=sources
    )


def test_labels_of_another_number(out, made, tmp_path):
    counts = collections.Counter(len(made.labels[image_id]) for image_id in made.ids["train_aug"])

    def change(expected):
        expected["labels"]["train_aug"]["by_number"][1] += 1

    line = refused(out, sources=changed(made, tmp_path, change))
    assert f"train_aug would have {counts[2]} images with 2 labels, not {counts[2] + 1}; " in line


def test_labels_of_another_class(out, made, sources):
    """A name less in the XML of an image that has it once."""
    image_id = next(i for i in made.ids["train_aug"] if len(made.labels[i]) == 2)
    path = out / f"VOC2012/Annotations/{image_id}.xml"
    names = made.labels[image_id]
    path.write_text(path.read_text().replace(names[0], names[1]))
    assert "train_aug would have" in refused(out, sources=sources)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "cannot be read as XML"),
        ("<annotation><object>", "cannot be read as XML"),
        ("<?xml version='1.0' encoding='nothing'?><annotation/>", "cannot be read as XML"),
        (
            "<!DOCTYPE a [<!ENTITY b 'cat'>]><a><object><name>&b;</name></object></a>",
            "cannot be read as XML (it defines",
        ),
        ("<annotation><object><name>unicorn</name></object></annotation>", "names unicorn"),
        ("<annotation><object><part><name>cat</name></part></object></annotation>", "names nothing"),
        ("<annotation></annotation>", "names no object"),
    ],
)
def test_bad_xml(content, message, out, made, sources):
    path = out / f"VOC2012/Annotations/{made.ids['train'][0]}.xml"
    path.unlink() if content is None else path.write_text(content)
    line = refused(out, sources=sources)
    assert line.startswith(f"{path}: {message}") and "VOC's archive" in line


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "latin-1", "koi8-r"])
def test_xml_with_entities_in_any_encoding(encoding, out, made, sources):
    """The names themselves are right, and a few entities could stand for gigabytes."""
    path = out / f"VOC2012/Annotations/{made.ids['train'][0]}.xml"
    text = path.read_text()
    mark = "\ufeff" * (encoding == "utf-16-be")
    head = f"{mark}<?xml version='1.0' encoding='{encoding[:6]}'?><!DOCTYPE a [<!ENTITY b 'cat'>]>"
    path.write_bytes((head + text[text.index("<annotation") :]).encode(encoding))
    message = "cannot be read as XML (it defines a type, which may have entities)"
    line = refused(out, sources=sources)
    assert line.startswith(f"{path}: {message}") and "VOC's archive" in line


@pytest.mark.parametrize("name", ["VOC2012/JPEGImages/{}.jpg", "SBD/cls/{}.mat"])
def test_a_missing_file(name, out, made, sources):
    only_sbd = sorted(set(made.ids["train_aug"]) - set(made.ids["train"]))
    path = out / name.format(only_sbd[0])
    path.unlink()
    assert refused(out, sources=sources).startswith(f"{path}: no such file; ")


def test_a_mask_of_another_image(out, made, sources):
    sizes = {i: made.masks[i].shape for i in set(made.ids["train_aug"]) - set(made.ids["train"])}
    first, *others = sorted(sizes)
    other = next(i for i in others if sizes[i] != sizes[first])
    shutil.copy(out / f"SBD/cls/{other}.mat", out / f"SBD/cls/{first}.mat")
    with pytest.raises(InputError, match=rf"{first}\.mat: is not a mask of .*{first}\.jpg; unpack SBD's archive again"):
        voc.run(str(out), sources=sources)
    assert not os.path.exists(out / f"SegmentationClassAug/{first}.png")


def test_the_real_expectations_agree_with_themselves():
    expected = source_table.load()["expected"]
    labels, images = expected["labels"]["train_aug"], expected["lists"]["train_aug"]["images"]
    assert sum(labels["by_number"]) == images == 10582
    assert sum(n * count for n, count in enumerate(labels["by_number"], 1)) == sum(labels["by_class"])
    assert len(labels["by_class"]) == len(VOC_CLASSES)


def script(name, *arguments, **environment):
    return subprocess.run(
        [f"scripts/{name}", *map(str, arguments)],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_from_download_to_data_set(made, tmp_path):
    """As a user does it, with a server that fails once: the start that fails says so in a line, the next goes on."""
    out, weights = tmp_path / "voc12", tmp_path / "weights"
    standins.write_vgg(f"{made.folder}/{standins.VGG}", channels=(2, 2, 2, 2, 2), fc=8, outputs=4)
    faults = {standins.VOC: [("cut", 2000)], standins.SBD: [("corrupt", 3000)]}
    try:
        with standins.Server(made.folder, faults) as server:
            environment = {"SOURCES": made.sources(server.url)}
            done = script("get_voc.sh", out, **environment)
            assert (done.returncode, done.stderr) == (0, "")
            failed = script("get_sbd.sh", out, **environment)
            assert failed.returncode == 1 and failed.stderr.count("\n") == 1
            assert failed.stderr.startswith(f"error: {out}/benchmark.tgz: ") and "has the sha256" in failed.stderr
            for name, folder in (
                ("sbd", out),
                ("voc_test", out),
                ("saliency", out),
                ("weights", weights),
                ("voc", out),
            ):
                done = script(f"get_{name}.sh", folder, *[standins.VGG] * (name == "weights"), **environment)
                assert (done.returncode, done.stderr) == (0, "")
            sizes = {name: os.path.getsize(os.path.join(made.folder, name)) for name in os.listdir(made.folder)}
            assert server.sent == {**sizes, standins.SBD: 2 * sizes[standins.SBD]}
        build = [sys.executable, "-m", "aepsl", "voc", "--out", str(out)]
        done = subprocess.run(build, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        check_built(out, made)
        assert len(glob.glob(f"{out}/saliency/*.png")) == len(made.ids["train_aug"])
        assert read_indexed(glob.glob(f"{out}/saliency/*.png")[0]).dtype == np.uint8
        assert os.listdir(weights) == [standins.VGG]
    finally:
        os.unlink(f"{made.folder}/{standins.VGG}")


def test_without_saliency_maps_the_script_says_what_happens_then(tmp_path):
    done = script("get_saliency.sh", tmp_path)
    assert done.returncode == 0 and done.stderr.count("\n") == 1
    assert "never published" in done.stderr and "computes them" in done.stderr and os.listdir(tmp_path) == []


def test_the_lists_checksum_is_that_of_the_sorted_ids(made):
    """As facts state it: ids, one a line, a newline at the end."""
    text = "\n".join(sorted(made.ids["val"])) + "\n"
    assert made.expected()["lists"]["val"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()
