"""No output is an input, contains one, or is inside one: the command ends in one line, and every byte is left."""

import argparse
import dataclasses
import importlib
import os
import re
import shutil

import pytest

from aepsl import cli, places
from aepsl.__main__ import MODULES
from aepsl.base.errors import InputError
from aepsl.graph import graph
from aepsl.settings import experiments

STAGE = "--experiment demo --data data"
OWN = "--experiment demo --data runs/demo/data"
REGIONS = "runs/demo/step1/regions"
PREDICTED = "runs/demo/val/psl++/crf"
LIST = "data/ImageSets/Segmentation/val.txt"
COMPARE = "compare --run runs/demo:psl++ --pred theirs"
EVALUATE = f"evaluate --pred {PREDICTED} --gt data/SegmentationClassAug --ids {LIST} --classes data/classes.txt"
INFER = "infer data/JPEGImages/image0.jpg --experiment demo"
DRFI = f"drfi train --images data/JPEGImages --masks data/SegmentationClassAug --list {LIST}"

# What is typed, and the option that the line names. Folder `link` leads to `data`, `theirs/image0.png` to `apart`.
REFUSED = {
    "saliency, the data": ("saliency --data data --list val --out data", "--data data"),
    "saliency, of a link": ("saliency --data link --list val --out data/x", "--data link"),
    "saliency, the maps": ("saliency --data data --list val --maps maps --out maps/", "--maps maps"),
    "saliency, the list": ("saliency --data data --list runs/list/x.txt --out runs/list", "--list runs/list/x.txt"),
    "saliency, a link to maps": ("saliency --data data --list val --maps runs/n/maps/ --out runs/n", "--maps"),
    "saliency, photos behind links": ("saliency --data data --list val --out far", "--data data/JPEGImages/far.jpg"),
    "train, the masks": (f"train {STAGE} --task segmentation --masks maps --out maps/new", "--masks maps"),
    "train, the regions": (f"train {STAGE} --task classification --regions {REGIONS} --out {REGIONS}", "--regions"),
    "train, the weights": (f"train {STAGE} --task classification --weights weights/w --out weights", "--weights"),
    "train, the experiment": (f"train {STAGE} --task classification --out prototxt/demo", "--experiment"),
    "mine, the step before": (f"mine {STAGE} --model weights/w --before {REGIONS} --out {REGIONS}", "--before"),
    "mine, the model": (f"mine {STAGE} --model weights/w --out weights", "--model"),
    "evaluate-regions": (f"evaluate-regions {STAGE} --regions {REGIONS} --out {REGIONS}/x.json", "--regions"),
    "evaluate-regions, the model": (f"evaluate-regions {STAGE} --model weights/w --out weights/w", "--model"),
    "masks, the regions": (f"masks {STAGE} --regions {REGIONS} --saliency maps --out {REGIONS}", "--regions"),
    "masks, the maps": (f"masks {STAGE} --regions {REGIONS} --saliency maps --out {REGIONS}/../../../../maps", "--sal"),
    "evaluate-background": (f"evaluate-background {STAGE} --saliency maps --masks x --out maps/m.png", "--saliency"),
    "segment, the model": (f"segment {STAGE} --list val --model weights/w --out weights", "--model"),
    "segment, a net": (f"segment {STAGE} --list val --model weights/w --deploy runs/n/d --out runs/n", "--deploy"),
    "segment, a model that is a link": (f"segment {STAGE} --list val --model runs/n/link --out runs/n", "--model"),
    "submission": (f"submission {STAGE} --list val --masks {PREDICTED} --out {PREDICTED}/image0.png", "--masks"),
    "submission, the list": (f"submission {STAGE} --list {LIST} --masks x --out {LIST}", "--data"),
    "results": ("results --experiment demo --data runs/demo", "--data runs/demo"),
    "calibrate": ("calibrate --experiment demo --data runs/demo", "--data runs/demo"),
    "report": ("report demo --data runs/demo", "--data runs/demo"),
    "surgery": (f"surgery {STAGE} --vgg weights/w --out weights/w", "--vgg weights/w"),
    "evaluate, a prediction": (f"{EVALUATE} --json {PREDICTED}/image0.png", "--pred"),
    "evaluate, a true mask": (f"{EVALUATE} --json data/SegmentationClassAug/image0.png", "--gt"),
    "evaluate, the list": (f"{EVALUATE} --json {LIST}", "--ids"),
    "evaluate, the list by a link": (f"{EVALUATE} --json link/ImageSets/Segmentation/val.txt", "--ids"),
    "evaluate, the classes": (f"{EVALUATE} --json data/classes.txt", "--classes"),
    "evaluate, a run's figures": (f"{EVALUATE} --json runs/demo/results.json", "the run runs/demo"),
    "compare, a prediction": (f"{COMPARE} --json theirs/image1.png", "--pred theirs"),
    "compare, behind a link": (f"{COMPARE} --json apart/image0.png", "--pred theirs/image0.png"),
    "compare, a link": (f"{COMPARE} --json theirs/image0.png", "--pred theirs"),
    "compare, behind a loop": (f"{COMPARE} --json apart/image0.png", "--pred theirs/image0.png"),
    "compare, a run's figures": (f"{COMPARE} --json runs/demo/results.json", "runs/demo"),
    "compare, another run's": (f"{COMPARE} --html runs/other/results.json", "the run runs/other"),
    "compare, a page": (f"{COMPARE} --html {PREDICTED}/image0.png", "runs/demo"),
    "compare, the list": (f"{COMPARE} --list {LIST} --json {LIST}", "--list"),
    "compare, the data": (f"{COMPARE} --data data --html data/classes.txt", "--data data"),
    "baseline, the data": ("baseline n --model x --deploy x --data runs/baselines/n", "--data runs/baselines/n"),
    "baseline, the model": ("baseline n --model runs/baselines/n/w --deploy x --data data", "--model runs/base"),
    "baseline, the net": ("baseline n --model x --deploy runs/baselines/n/d --data data", "--deploy runs/base"),
    "baseline, the list": ("baseline n --model x --data data --list runs/baselines/n/l.txt", "--list runs/base"),
    "baselines, the data": ("baselines --data runs/baselines/index.html", "--data runs/baselines/index.html"),
    "compare, a baseline": ("compare --data data --baseline n --pred theirs --json runs/baselines/n/a.json", "runs/ba"),
    "compare, without a run": ("compare --experiment demo --pred theirs --html data/demo/classes.txt", "data/demo"),
    "compare, data unasked": (f"{COMPARE} --json data/demo/classes.txt", "data/demo"),
    "infer, a picture": (f"{INFER} --model x --out data/JPEGImages", "data/JPEGImages/image0.jpg"),
    "infer, a link to a picture": (f"{INFER} --model x --out segmented", "data/JPEGImages/image0.jpg"),
    "infer, the model": (f"{INFER} --model weights/w --out weights", "--model"),
    "export, the run": ("export --run demo --to png --out runs/demo/new", "runs/demo"),
    "export, the data": ("export --run demo --to png --data data --out data/new", "--data data"),
    "picture, the run": ("picture demo --out runs/demo/results.json", "runs/demo"),
    "picture, the data": ("picture demo --data data --out data/JPEGImages/image0.png", "--data data"),
    "drfi, a photo": (f"{DRFI} --out data/JPEGImages/image0.jpg", "--images"),
    "drfi, the list": (f"{DRFI} --out {LIST}", "--list"),
    "drfi, the test": (f"{DRFI} --test data/classes.txt --out data/classes.txt", "--test"),
    "voc": ("voc --out data --voc data", "--voc data"),
    "voc, a link to OUT": ("voc --out data --voc link", "--voc link"),
    "voc, OUT is a link": ("voc --out link --voc data", "--voc data"),
    "voc, in the source": ("voc --out data/new --voc data", "--voc data"),
    "voc, SBD": ("voc --out sbd --voc x --sbd sbd/SegmentationClassAug", "--sbd"),
    "voc, the test": ("voc --out data --voc x --test data", "--test"),
    "voc, images behind a link": ("voc --out linked", "--voc linked/VOC2012"),
    "voc, the table": ("voc --out data --voc x --sources data/image_labels.txt", "--sources"),
    "download, the table": ("download classes.txt --out data --sources data/classes.txt", "--sources"),
    "new-experiment": ("new-experiment new --data prototxt", "--data prototxt"),
    "run, the data": ("run demo --data runs/demo", "--data runs/demo"),
    "run, the weights": ("run demo --weights runs/demo/initial.caffemodel", "--weights"),
    "run, the maps": ("run demo --saliency runs/demo/saliency", "--saliency"),
    "sweep, the maps": ("sweep demo --saliency runs/demo/saliency", "--saliency"),
}
ALLOWED = {
    "in a run": f"mine {STAGE} --model runs/demo/step1/classification/final.caffemodel --out {REGIONS}",
    "beside its folder": f"evaluate-regions {STAGE} --regions {REGIONS} --out {REGIONS}.json",
    "the demo's data": f"masks {OWN} --regions {REGIONS} --saliency maps --out runs/demo/m",
    "for the server": f"submission {STAGE} --list val --masks {PREDICTED} --out runs/demo/submission/x.tgz",
    "a list's name": "segment --experiment demo --data data --list val --model weights/w --out val",
    "a name that begins alike": "saliency --data data --list val --out data.new",
    "a name that one begins with": "saliency --data data --list val --maps maps --out map",
    "a page beside the runs": f"{COMPARE} --html runs/compare.html --json runs/compare.json",
    "an old page": f"{EVALUATE} --json runs/old.json",
    "VOC in the data set": "voc --out unpacked",
    "VOC in the data set, named": "voc --out unpacked --voc unpacked/VOC2012 --sbd unpacked/SBD",
    "a table in the data set": "download x --out data --sources data/image_labels.txt",
    "what the demo has drawn": "run demo --data runs/demo/data",
}
# Options that name neither a file nor a folder; `folder` is a run's own, of which its start has looked at all places.
NO_PLACES = (
    "baseline changes cores define experiments folder gpu image_id name names nets part parts row rows scores seeds set"
).split()


class Parsed(Exception):
    """Options were read, and taken."""


@pytest.fixture
def here(small_set, tmp_path, monkeypatch):
    """The working directory, with everything that the commands above name."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATA", "WEIGHTS", "SALIENCY", "SOURCES", "PROFILE", "ROW", "CORES", "GPU"):
        monkeypatch.delenv(name, raising=False)
    os.symlink("data", "link")
    for folder in (REGIONS, PREDICTED, "maps", "theirs", "apart", "sbd/SegmentationClassAug", "data/demo"):
        os.makedirs(folder)
        for k in range(3):
            (tmp_path / folder / f"image{k}.png").write_text(f"{folder} {k}")
    os.replace("theirs/image0.png", "apart/image0.png")
    for name in "abcdefghi":
        os.symlink(name, f"theirs/{name}")
    os.symlink("../apart/image0.png", "theirs/image0.png")
    for path in (
        "weights/w",
        "runs/list/x.txt",
        "runs/n/d",
        "far/far.jpg",
        "runs/demo/initial.caffemodel",
        "runs/demo/results.json",
        "runs/demo/done/results.json",
        "runs/other/done/check.json",
        "runs/other/results.json",
        "data/demo/classes.txt",
        "runs/old.json",
    ):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        (tmp_path / path).write_text(path)
    for folder in ("runs/demo/data", "unpacked/VOC2012", "linked/VOC2012"):
        shutil.copytree("data", folder)
    os.symlink("VOC2012/JPEGImages", "linked/JPEGImages")
    os.symlink("../../far/far.jpg", "data/JPEGImages/far.jpg")
    os.symlink("../../weights/w", "runs/n/link")
    os.symlink("../../maps", "runs/n/maps")
    os.makedirs("segmented")
    os.symlink("../data/JPEGImages/image0.jpg", "segmented/image0.png")
    for name in ("demo", "voc12"):
        shutil.copytree(os.path.join(os.path.dirname(__file__), "../prototxt", name), f"prototxt/{name}")
    return tmp_path


def state(root):
    """{path: its bytes, or where it leads} of everything below."""
    paths = [os.path.join(folder, name) for folder, folders, files in os.walk(root) for name in [*folders, *files]]
    return {
        path: os.readlink(path) if os.path.islink(path) else open(path, "rb").read()  # noqa: SIM115
        for path in paths
        if os.path.islink(path) or os.path.isfile(path)
    }


def typed(line):
    name, *arguments = line.split()
    importlib.import_module(MODULES[name]).main(arguments)


@pytest.mark.parametrize("case", REFUSED)
def test_an_output_that_is_an_input_is_one_line_and_every_byte_is_left(here, case):
    line, names = REFUSED[case]
    before = state(here)
    with pytest.raises(InputError) as error:
        typed(line)
    text = str(error.value)
    assert re.fullmatch(r"(\S+ )?\S+: (is|is inside|contains) .*; " + places.REMEDY, text) and names in text
    assert state(here) == before


# What is typed, of what lies elsewhere, and what the line begins with; deep/NAME leads to /elsewhere/NAME.
NOT_SEEN = {
    "predictions behind a deep link": (
        "compare --experiment demo --pred theirs --pred deep/crf",
        "deep/crf: leads to /el",
    ),
    "a folder in them": (
        "compare --experiment demo --pred deep/crf/val/psl --pred theirs",
        "deep/crf/val/psl: leads to",
    ),
    "a link to a link": (
        "compare --experiment demo --pred theirs --pred twice",
        "twice: leads to deep/crf, which is not",
    ),
    "a loop": ("infer loop.jpg --experiment demo --model weights/w --out runs/x", "loop.jpg: leads to loop.jpg, which"),
    "a picture of one's own": (
        "infer /elsewhere/me/a.jpg --experiment demo --model weights/w --out runs/x",
        "/elsewhere/me/a.jpg: is not",
    ),
    "a picture beside this folder": (
        "infer ../pics/a.jpg --experiment demo --model weights/w --out runs/x",
        "../pics/a.jpg: is not",
    ),
    "a model": (
        f"segment {STAGE} --list val --model deep/w --out runs/x",
        "deep/w: leads to /elsewhere/w, which is not",
    ),
    "a list": (f"segment {STAGE} --list /elsewhere/me/l.txt --model weights/w --out runs/x", "/elsewhere/me/l.txt: is"),
    "a net": (
        f"segment {STAGE} --list val --model weights/w --deploy deep/d.prototxt --out runs/x",
        "deep/d.prototxt: le",
    ),
    "maps": (
        "saliency --data data --list val --maps /elsewhere/me/maps --out runs/x",
        "/elsewhere/me/maps: is not there",
    ),
    "photos": (
        "drfi train --images deep/MSRA-B --masks maps --list x/l.txt --out runs/x",
        "deep/MSRA-B: leads to /else",
    ),
}


@pytest.mark.parametrize("case", NOT_SEEN)
def test_what_the_image_does_not_see_is_one_line_with_the_remedy(here, monkeypatch, case):
    monkeypatch.setenv("AEPSL_IMAGE", "cpu")
    os.makedirs("deep")
    for name in ("crf", "w", "d.prototxt", "MSRA-B"):
        os.symlink(f"/elsewhere/{name}", f"deep/{name}")
    os.symlink("deep/crf", "twice")
    os.symlink("loop.jpg", "loop.jpg")
    line, complaint = NOT_SEEN[case]
    with pytest.raises(InputError) as error:
        typed(line)
    assert str(error.value).startswith(complaint) and str(error.value).endswith(places.UNSEEN)


@pytest.mark.parametrize(
    "line, complaint",
    [
        (
            "infer holiday.jpg --experiment demo --model weights/w --out runs/x",
            "holiday.jpg: no such picture; name one in this folder",
        ),
        ("compare --experiment demo --pred theirs --pred apart --list my.txt", "my.txt: is no list of the data set"),
        ("compare --experiment demo --pred theirs --pred apart --list val.txt", "val.txt: is no list of the data set"),
        ("compare --data data --pred theirs --pred apart --list mine", "mine: is no list of the data set, whose"),
        ("saliency --data data --list my.txt --detector rbd --out runs/x", "my.txt: is no list of the data set"),
        (f"segment {STAGE} --list my.txt --model weights/w --out runs/x", "my.txt: is no list of the data set"),
    ],
)
def test_a_picture_or_a_list_that_is_not_there_has_its_own_remedy(here, monkeypatch, line, complaint):
    shutil.copy(LIST, "mine")
    shutil.copy(LIST, "my.txt")
    classes = "\n".join(experiments.load("demo").classes)
    for folder in ("data", "runs/demo/data"):
        (here / folder / "classes.txt").write_text(classes)
    with pytest.raises(InputError) as error:
        typed(line)
    assert str(error.value).startswith(complaint) and "list of ids" not in str(error.value)


@pytest.mark.parametrize(
    "classes, differing", [("ba", "whose class 1 is b; in demo it is a"), ("abc", "3 is c"), ("ab", "")]
)
@pytest.mark.parametrize("option", ["model", "classifier"])
def test_a_net_of_a_run_with_other_classes_is_one_line(here, option, classes, differing):
    """Its scores would be taken for those of other classes, in the order of the experiment that is named."""
    (here / "runs/permuted").mkdir()
    (here / "runs/permuted/experiment.yaml").write_text(f"classes: [{', '.join(classes)}]")
    os.symlink("runs/permuted", "alias")
    experiment = dataclasses.replace(experiments.load("demo"), classes=("a", "b"))
    for path in ("runs/permuted/x.caffemodel", "alias/x.caffemodel", "../elsewhere", "runs/demo/x", "weights/w", None):
        asked = {"experiment": experiment, option: path}
        if path and "x.caffemodel" in path and differing:
            with pytest.raises(InputError, match=f"^{path}: is of the run permuted, .*{differing}.*; give --exp"):
                places.check_nets(asked)
        else:
            places.check_nets(asked)


@pytest.mark.parametrize("key, value", [("scale", 0.25), ("mean", [1, 2, 3])])
def test_a_net_of_a_run_of_other_images_is_warned_of(here, capsys, key, value):
    experiment = experiments.load("demo")
    ours = experiment.value(f"data.{key}")
    for theirs in (value, ours):
        text = f"classes: [{', '.join(experiment.classes)}]\ndata: {{{key}: {theirs}}}"
        os.makedirs("runs/small", exist_ok=True)
        (here / "runs/small/experiment.yaml").write_text(text)
        places.check_nets(dict(experiment=experiment, model="runs/small/x.caffemodel"))
        said = (
            f"is of the run small, with data.{key} {theirs}, and demo has {ours}; --experiment small has its settings"
        )
        assert capsys.readouterr().err == f"warning: runs/small/x.caffemodel: {said}\n" * (theirs == value)


@pytest.mark.parametrize("case", ALLOWED)
def test_what_stands_apart_is_taken(here, monkeypatch, case):
    """Options are read to their end."""
    read = cli.Parser.parse_known_args

    def stop(self, *arguments, **options):
        read(self, *arguments, **options)
        raise Parsed

    monkeypatch.setattr(cli.Parser, "parse_known_args", stop)
    with pytest.raises(Parsed):
        typed(ALLOWED[case])


@pytest.mark.parametrize("name", MODULES)
def test_each_option_that_takes_a_text_is_known_as_a_place_or_as_none(name, monkeypatch):
    """So that a command that is new is looked at, too."""
    parsers = []

    def stop(self, *arguments, **options):
        parsers.append(self)
        raise Parsed

    monkeypatch.setattr(cli.Parser, "parse_known_args", stop)
    with pytest.raises(Parsed):
        importlib.import_module(MODULES[name]).main([])
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
            elif action.nargs != 0 and not action.choices and action.type in (None, experiments.load, graph.of_run):
                assert action.dest in [*places.INPUTS, *places.OUTPUTS, *NO_PLACES], f"{name}: {action.dest}"
