"""`aepsl baseline` and `aepsl baselines`: from a net and photos to masks, figures and pages; faults of profiles."""

import json
import os
import re
import shutil

import caffe
import cv2
import numpy as np
import pytest
import yaml

from aepsl.base.errors import InputError
from aepsl.base.files import digest, sha256
from aepsl.baselines import baseline, folder, profile, protocol
from aepsl.data.dataset import Dataset
from aepsl.evaluation import evaluate
from aepsl.images.pictures import read_indexed, write_mask
from aepsl.nets import crf, sizes
from aepsl.settings import experiments
from aepsl.settings.typed import Crf
from aepsl.tools import baselines, compare

DEPLOY = """
input: "data" input_dim: 1 input_dim: 3 input_dim: 33 input_dim: 33
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" convolution_param { num_output: 5 kernel_size: 3
  pad: 2 hole: 2 weight_filler { type: "gaussian" std: 0.02 } } }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool" pooling_param { kernel_size: 3 stride: 2 pad: 1 } }
layers { name: "fc8" type: CONVOLUTION bottom: "pool" top: "fc8" convolution_param { num_output: 3 kernel_size: 1
  weight_filler { type: "gaussian" std: 0.5 } } }
layers { name: "up" type: INTERP bottom: "fc8" top: "up" interp_param { zoom_factor: 2 } }
"""
OWN = dict(  # a profile of a user, whose channels are in another order than classes.txt
    title="Ours",
    paper="of nobody",
    deploy=dict(state="unpublished"),
    weights=dict(state="unpublished"),
    classes=["dog", "background", "cat"],
    mean=[100, 110, 120],
    pad=81,
    softmax="joined",
    crf=dict(
        iterations=2, bilateral=dict(weight=4, xy=20, rgb=13), gaussian=dict(weight=3, xy=3), normalization="after"
    ),
    published=[dict(images="a set", crf=True, miou=61.5, source="a table")],
)


@pytest.fixture
def here(tmp_path, small_set, monkeypatch):
    """The working directory: a profile, a folder with its prototxt and weights, data/ of six images."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATA", "MODEL", "DEPLOY", "GPU"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(os.path.join(os.path.dirname(__file__), "../prototxt"), "prototxt")
    (tmp_path / "prototxt/legacy/ours.yaml").write_text(yaml.safe_dump(OWN))
    os.makedirs("net")
    (tmp_path / "net/deploy.prototxt").write_text(DEPLOY)
    plain = DEPLOY.replace("hole", "dilation").split('layers { name: "up"')[0]
    (tmp_path / "plain.prototxt").write_text(plain)
    caffe.set_random_seed(3)
    caffe.Net("plain.prototxt", caffe.TEST).save("net/ours.caffemodel")
    return tmp_path


def masks(name="ours"):
    """{kind: {id: mask}} of what was segmented."""
    return {
        kind: {
            file[:-4]: read_indexed(folder.path(name, kind, file))
            for file in sorted(os.listdir(folder.path(name, kind)))
        }
        for kind in folder.KINDS
        if os.path.isdir(folder.path(name, kind))
    }


def test_a_net_is_segmented_evaluated_and_set_beside_what_was_published(here):
    found = baseline.run("ours", "net", "data")
    dataset, how = Dataset("data"), profile.load("ours")
    net = baseline._opened(how, "net/deploy.prototxt", "net/ours.caffemodel", 3, None)
    values, names = np.array([2, 0, 1]), ["background", "cat", "dog"]  # of dog, background, cat
    settings = Crf(how.crf.iterations, how.crf.bilateral, how.crf.gaussian)
    for image_id in dataset.ids("val"):
        image = dataset.image(image_id)
        f = protocol.probabilities(net, image, how)
        refined = crf.refined(image, np.maximum(f, 1e-8), settings, normalization="after")
        for kind, maps in (("plain", f), ("crf", refined)):
            mask = read_indexed(folder.path("ours", kind, image_id + ".png"))
            np.testing.assert_array_equal(mask, values[maps.argmax(axis=0)])
    for kind in folder.KINDS:
        arguments = (folder.path("ours", kind), dataset.mask_folder(), dataset.ids("val"), [0, 1, 2], names)
        assert found["rows"][kind] == evaluate.run(*arguments)
    assert found == json.loads((here / "runs/baselines/ours/results.json").read_text())
    assert found["weights"] == dict(file="ours.caffemodel", sha256=sha256("net/ours.caffemodel"))
    assert found["images"] == 3 and found["published"] == OWN["published"] and "hole" in str(found["changes"])
    page = (here / "runs/baselines/ours/index.html").read_text()
    for text in (
        f"{found['rows']['crf']['miou']:.2f}",
        "61.5",
        "a table",
        found["weights"]["sha256"],
        "normalization after",
    ):
        assert text in page


def test_order_shards_and_interruptions_change_no_byte(here, monkeypatch):
    baseline.run("ours", "net", "data", list_name="train_aug")
    expected = masks()
    shutil.rmtree("runs")
    (here / "data/ImageSets/Segmentation/back.txt").write_text("".join(f"image{k}\n" for k in reversed(range(6))))
    assert baseline.run("ours", "net", "data", list_name="back", part="2/2") is None
    assert sum(map(len, masks().values())) == 6
    asked, original = [], protocol.probabilities
    monkeypatch.setattr(protocol, "probabilities", lambda *args: asked.append(args[-1]) or original(*args))
    baseline.run("ours", "net", "data", list_name="back", workers=2)
    assert asked == ["image5", "image3", "image1"]  # the others were there
    found = masks()
    for kind in folder.KINDS:
        for image_id, mask in expected[kind].items():
            np.testing.assert_array_equal(found[kind][image_id], mask)
    baseline.run("ours", "net", "data", list_name="back", changes=["mean=[0, 0, 0]"])
    assert len(asked) == 9  # of another word: all again
    monkeypatch.setattr(protocol, "probabilities", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        baseline.run("ours", "net", "data")
    with pytest.raises(InputError, match="no such baseline was run"):
        folder.masks("ours")  # no older figures stand beside newer masks


def test_without_a_crf_there_are_plain_masks_alone(here, capsys):
    baseline.main("ours --model net --data data --set crf=null".split())
    found = folder.results("ours")
    assert found["rows"]["crf"] is None and list(masks()) == ["plain"] and folder.masks("ours").endswith("plain")
    printed = capsys.readouterr().out
    assert "this run, without CRF" in printed and "this run, with CRF" not in printed and "61.5" in printed


def test_larger_images_than_the_authors_pad_to_are_scaled_and_that_is_said(here, capsys):
    how = profile.load("ours", ["pad=33"])
    net = baseline._opened(how, "net/deploy.prototxt", "net/ours.caffemodel", 3, None)
    image = cv2.resize(np.random.RandomState(1).randint(0, 256, (6, 8, 3)).astype(np.uint8), (66, 44))
    found = protocol.probabilities(net, image, how, "wide")
    assert (
        found.shape == (3, 44, 66)
        and "wide: 66 x 44 pixels are too many; it is processed at 33 x 22" in capsys.readouterr().err
    )
    small = cv2.resize(np.float32(image), (33, 22), interpolation=cv2.INTER_LINEAR)
    expected = protocol.probabilities(net, small, how)
    assert np.abs(found.argmax(axis=0)[::2, ::2] == expected.argmax(axis=0)).mean() > 0.9


def opened(*changes):
    how = profile.load("ours", changes)
    return how, baseline._opened(how, "net/deploy.prototxt", "net/ours.caffemodel", 3, None)


def test_what_a_prototxt_leaves_open_is_given_by_hand(here):
    """${EXP}, which the caffemodel tells, and other words, which it does not."""
    text = DEPLOY.replace('"fc8"', '"fc8_${EXP}"').replace("pad: 2 hole", "pad: ${PAD} hole")
    (here / "net/deploy.prototxt").write_text(text)
    plain = (here / "plain.prototxt").read_text().replace("fc8", "fc8_voc12")
    (here / "plain.prototxt").write_text(plain)
    caffe.Net("plain.prototxt", caffe.TEST).save("net/ours.caffemodel")
    how, net = opened("define.PAD='2'")
    assert net.legacy.scores == "fc8_voc12" and "pad: 2" in net.prototxt
    baseline.main("ours --model net --data data --define PAD=2 --set crf=null".split())
    assert folder.results("ours")["profile"]["define"] == dict(PAD="2")


def test_the_net_gets_red_first_where_its_authors_gave_it_so(here, rng):
    image = rng.randint(0, 256, (81, 81, 3)).astype(np.uint8)
    how, net = opened("channel_order=rgb")
    data = image[:, :, ::-1].astype(np.float32) - np.float32([120, 110, 100])
    expected = protocol.softmax(net.grown(net.scores(data.transpose(2, 0, 1)), (81, 81)))
    np.testing.assert_allclose(protocol.probabilities(net, image, how), expected, atol=1e-5)


def test_the_maximum_of_two_sizes_is_that_of_their_scores(here, rng):
    image = cv2.resize(rng.randint(0, 256, (6, 8, 3)).astype(np.uint8), (80, 60))
    how, net = opened("join=max", "resize={by: [1, 0.5]}")
    maps = []
    for size in ((60, 80), (30, 40)):
        data = np.zeros((81, 81, 3), np.float32)
        scaled = cv2.resize(image.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
        data[: size[0], : size[1]] = scaled - np.float32(how.mean)
        grown = net.grown(net.scores(data.transpose(2, 0, 1)), (81, 81))[:, : size[0], : size[1]]
        maps.append(np.stack([cv2.resize(each, (80, 60), interpolation=cv2.INTER_LINEAR) for each in grown]))
    expected = protocol.softmax(np.maximum(*maps))
    np.testing.assert_allclose(protocol.probabilities(net, image, how), expected, atol=1e-4)


def test_what_is_too_large_for_the_net_is_scaled_down_and_that_is_said(here, rng, capsys):
    how, net = opened("pad=null")
    image = rng.randint(0, 256, (40, 60, 3)).astype(np.uint8)
    net.most = sizes.needs(net.legacy.net, *(side + sum(pads) for side, pads in zip((20, 30), net.padding(20, 30))))
    capsys.readouterr()
    assert protocol.probabilities(net, image, how, "wide").shape == (3, 40, 60)
    assert "wide: 60 x 40 pixels are too many; it is processed at " in capsys.readouterr().err


def test_weights_are_held_against_the_published_checksum(here, capsys):
    path = "net/ours.caffemodel"
    for kind in baseline.CHECKSUMS:
        assert baseline._identity(path, {kind: digest(path, kind)})["as_published"] is True
    assert capsys.readouterr().err == ""
    assert baseline._identity(path, dict(md5="0" * 32))["as_published"] is False
    assert f"{path}: is not the file that its authors published (md5 {'0' * 32})" in capsys.readouterr().err
    assert "as_published" not in baseline._identity(path, {})


FAULTS = {
    "no profile": ("other --model net", "prototxt/legacy/other.yaml: no such profile; there are ccnn, crf_rnn"),
    "a change": (
        "ours --model net --set pad=wide",
        "prototxt/legacy/ours.yaml, pad=wide: `pad`: 'wide' is not of type",
    ),
    "no change": ("ours --model net --set pad", "--set pad: must be KEY=VALUE"),
    "nothing": ("ours --model net --set pad=", "--set pad=: must be KEY=VALUE"),
    "a number with a zero": ("ours --model net --set pad=0121", "--set pad=0121: line 1: YAML reads 0121 as 81"),
    "a number with a colon": ("ours --model net --set pad=1:21", "YAML reads 1:21 as 81"),
    "a key twice": ("ours --model net --set pad=81 pad=89", "--set pad: has a value already; give it once"),
    "a key twice inside": ("ours --model net --set crf={iterations: 2, iterations: 9}", "`iterations` is in line 1"),
    "no YAML": ("ours --model net --set mean=[1, 2", "--set mean=[1, 2: not YAML"),
    "two ways": ("ours --model net --set tiles={side: 33, step: 9}", "`tiles` leave no room for `pad`"),
    "no prototxt": ("ours --model net/ours.caffemodel", "net/ours.caffemodel: which net is it of? DEPLOY= names"),
    "no caffemodel": ("ours --model data", "data: one *.prototxt is needed, it has none; name the file with DEPLOY="),
    "other classes": ("fcn8s --model net", "data: its classes are not those of fcn8s, which differ in aeroplane"),
    "no list": (
        "ours --model net --list other",
        "data/ImageSets/Segmentation/other.txt: no such list, and its folder has",
    ),
    "another blob": ("ours --model net --set scores=fc9", "net/deploy.prototxt: has no blob fc9"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_one_line_and_leave_nothing(here, case):
    line, message = FAULTS[case]
    words = line.replace(": ", ":\0").replace(", ", ",\0").split()
    with pytest.raises(InputError) as error:
        baseline.main([word.replace("\0", " ") for word in words] + ["--data", "data"])
    assert message in str(error.value) and "\n" not in str(error.value), str(error.value)
    assert not os.path.exists("runs/baselines")


@pytest.mark.parametrize("lacking", ["NAME", "MODEL", "DATA"])
def test_what_make_baseline_needs_is_named_as_make_names_it(here, lacking):
    given = dict(NAME="ours", MODEL="net", DATA="data")
    words = ["--model", given["MODEL"], "--data", given["DATA"], given["NAME"] if lacking != "NAME" else ""]
    if lacking != "NAME":
        place = words.index(f"--{lacking.lower()}")
        del words[place : place + 2]
    with pytest.raises(InputError, match=f"{lacking}= is needed: make baseline NAME=fcn8s MODEL="):
        baseline.main(words)


@pytest.mark.parametrize("name", profile.known())
def test_profiles_are_sound(name):
    """Each says where its figures are from; those of VOC have VOC's channels."""
    how = profile.load(name)
    assert how.name == name and all(each["source"] and each["images"] for each in how.published)
    if name != "icnet":
        assert how.classes == profile.VOC
    for file in (how.deploy, how.weights):
        assert file["state"] == "unpublished" or "url" in file or "note" in file


@pytest.mark.parametrize("change", ["pad=513.0", "offset=.nan", "offset=.inf", "pad=true"])
def test_a_profiles_numbers_are_written_as_numbers(change):
    """As those of settings: 513.0 is no count of pixels, and nan is no number."""
    with pytest.raises(InputError, match=change.split("=")[0]):
        profile.load("fcn8s", [change])


def test_the_docs_example_is_a_profile(here):
    with open(os.path.join(os.path.dirname(__file__), "../docs/baselines.md")) as file:
        (example,) = re.findall(r"```yaml\n# (\S+)\n(.*?)```", file.read(), re.DOTALL)
    (here / example[0]).write_text(example[1])
    how = profile.load("mine")
    assert how.mirror and how.crf.normalization == "symmetric" and "mine" in profile.known()


def test_the_docs_have_the_profiles(capsys):
    baselines.main(["--profiles"])
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    with open("docs/baselines.md") as file:
        text = file.read()
    assert "\n".join(printed) in text and len(printed) == len(profile.known()) + 2
    for name in profile.known():
        assert f"\n| {name} | " in text


# The table of all


def test_all_that_were_run_are_in_one_table(here, small_set, capsys, monkeypatch):
    """A baseline, and a run of AE-PSL that has the data set's classes, are compared; what has other images is not."""
    baseline.run("ours", "net", "data")
    shutil.copytree("runs/baselines/ours", "runs/baselines/again")
    os.makedirs("runs/baselines/elsewhere/plain")
    shutil.copy("runs/baselines/ours/results.json", "runs/baselines/elsewhere")
    for name, classes in (("run", ["cat", "dog"]), ("others", ["cat", "cow"])):
        settings = experiments.changed(experiments.load("rehearsal"), {"classes": classes}).settings()
        os.makedirs(f"runs/{name}")
        (here / f"runs/{name}/experiment.yaml").write_text(yaml.safe_dump(settings))
    for k in range(3):
        mask = read_indexed(f"data/SegmentationClassAug/image{k}.png")
        write_mask(f"runs/run/val/psl++/crf/image{k}.png", np.where(mask == 255, 0, mask).astype(np.uint8))
    baselines.main(["--data", "data", "--draws", "20"])
    printed = capsys.readouterr()
    rows = {line.split()[0]: line for line in printed.out.splitlines() if line}
    assert "100.00" in rows["runs/run:psl++"] and f"{folder.results('ours')['rows']['crf']['miou']:.2f}" in rows["ours"]
    assert "below" in rows["ours"] and "61.5 with CRF on a set" in rows["again"] and "elsewhere" not in rows
    assert "runs/others: has other classes; it is left out" in printed.err
    assert "elsewhere: has no runs/baselines/elsewhere/crf/image0.png; it is left out" in printed.err
    assert "61.5 with CRF" in (here / "runs/baselines/index.html").read_text()


def test_a_run_that_cannot_be_read_is_left_out(here, capsys):
    for name, text in ((".hidden", ""), ("junk", "net: ["), ("my run", "net: x")):
        os.makedirs(f"runs/{name}")
        (here / f"runs/{name}/experiment.yaml").write_text(text)
    with pytest.raises(InputError, match="^data: nothing was run on its val"):
        baselines.run("data")
    assert capsys.readouterr().err.count("; it is left out\n") == 3


def test_segmentations_are_of_these_images_and_as_they_were_written(here, capsys):
    """Otherwise a comparison would show another net's figures, or those of other photos of the same ids."""
    baseline.run("ours", "net", "data")
    before = masks()
    compared = lambda: compare.run(["data/SegmentationClassAug"], data="data", draws=2, baselines=["ours"])  # noqa: E731
    compared()
    for kind in folder.KINDS:
        path = folder.path("ours", kind, "image0.png")
        write_mask(path, np.zeros_like(read_indexed(path)))
        with pytest.raises(InputError, match=f"{path}: has changed since the baseline ours was run; run it again"):
            compared()
        baseline.run("ours", "net", "data")
        for image_id, mask in masks()[kind].items():
            np.testing.assert_array_equal(mask, before[kind][image_id])
    cv2.imwrite("data/JPEGImages/image1.jpg", 255 - cv2.imread("data/JPEGImages/image1.jpg"))
    with pytest.raises(InputError, match="JPEGImages/image1.jpg: has changed since the baseline ours was run; run it"):
        compared()
    with pytest.raises(InputError, match="nothing was run on its val"):
        baselines.run("data")
    assert "JPEGImages/image1.jpg: has changed since the baseline ours was run" in capsys.readouterr().err
    baseline.run("ours", "net", "data")
    compared()
    os.rename("data/JPEGImages", "photos")  # true masks are enough
    compared()
    shutil.rmtree("runs/baselines/ours/made")  # of an earlier version
    compared()


@pytest.mark.parametrize("file, text", [("results.json", "{}"), ("results.json", '{"rows": [], "published": []}'),
    ("results.json", '{"rows": {}, "published": [{"miou": "62", "crf": true, "images": "val"}]}'),
    ("made/baseline.json", "[1]"), ("made/baseline.json", '{"word": 7}'),
    ("made/baseline.json", '{"word": "", "mark": {"value": 7}, "results": [], "texts": {}, "files": {}}')])  # fmt: skip
def test_what_a_baseline_wrote_and_was_edited_is_one_line(here, file, text):
    baseline.run("ours", "net", "data")
    (here / folder.path("ours", file)).write_text(text)
    with pytest.raises(InputError, match=f"runs/baselines/ours/{file}: (has changed since|is damaged; run the base)"):
        compare.run(["data/SegmentationClassAug"], data="data", draws=2, baselines=["ours"])


def test_one_alone_is_one_line(here):
    baseline.run("ours", "net", "data")
    with pytest.raises(InputError, match="^data: ours was run on its val; `make baseline` runs a baseline"):
        baselines.run("data")
