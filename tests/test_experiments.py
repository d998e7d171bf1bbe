"""Settings that are wrong are told before any work, in one line that names the file, the setting and what it may be."""

import copy
import dataclasses
import functools
import os
from typing import Optional

import jsonschema
import pytest
import yaml

from aepsl.base.errors import InputError
from aepsl.base.files import read_text
from aepsl.data.dataset import Dataset
from aepsl.graph import graph
from aepsl.nets import build
from aepsl.run import new_experiment
from aepsl.settings import check, experiments
from aepsl.settings.typed import Choice, Experiment, group_of

VOC12 = os.path.join(experiments.FOLDER, "voc12", "experiment.yaml")
NAMES = experiments.known()
EXPLAINED = "; prototxt/voc12/experiment.yaml has every setting, explained"
UNSET = "; or remove the line: nothing is set that null would remove"
POSITIVE = "an integer, at least 1 and at most 65536"
THRESHOLD = "{of_max: NUMBER} or {top_pixels: NUMBER}"
LIST = "text (the name of a list of images: letters, digits and . _ + - /)"
FILE = "text (the name of a file, without a folder)"
CORES = "an integer, at least 1 and at most 64 (cores of one training or net on the CPU; more change the last digits)"
CROP = "an integer, at least 9 and at most 8193 (8k + 1 pixels)"
LR = "a number, more than 0 and at most 1000 (times lr, for the last layer)"
NAME = "text (a name without commas and tabs; background is there unasked)"
PSL_START = "text (initial, step1, a net of table 3, as ae_step3, or that with step 1's classifier, ae_step3+step1)"
REMOVED = object()


class Bomb:
    """Ten levels of ten aliases each: ten thousand million values in 400 letters."""

    def format(self, whole, item):
        lines = ["base: voc12", "a: &a [x]"]
        for above, name in zip("abcdefghij", "bcdefghijk"):
            lines.append(f"{name}: &{name} " + whole.format(", ".join(item.format(above, k) for k in range(10))))
        return "\n".join(lines)


BOMB = Bomb()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of experiments with a copy of voc12; folder(name, text or settings) adds one and returns its path."""
    (tmp_path / "voc12").mkdir()
    with open(VOC12) as file:
        (tmp_path / "voc12/experiment.yaml").write_text(file.read())
    monkeypatch.setattr(experiments, "FOLDER", str(tmp_path))

    def add(name, content):
        text = content if isinstance(content, (str, bytes)) else yaml.safe_dump(content)
        path = tmp_path / name / "experiment.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return add


def fault(name):
    """The line that says what is wrong with the experiment."""
    with pytest.raises(InputError) as error:
        experiments.load(name)
    line = str(error.value)
    assert "\n" not in line
    return line


def changed(changes):
    """voc12's settings, complete, with {dotted key: value}."""
    with open(VOC12) as file:
        settings = copy.deepcopy(yaml.safe_load(file))
    settings["training"] = {task: dict(values) for task, values in settings["training"].items()}
    settings["seed"] = dict.fromkeys(experiments.SEEDS, settings["seed"])  # one number for all three
    for key, value in changes.items():
        *above, last = key.split(".")
        part = settings
        for each in above:
            part = part[each]
        if value is REMOVED:
            del part[last]
        else:
            part[last] = value
    return settings


# What is wrong with voc12's settings once KEY is VALUE: "`KEY` is ...".
WRONG_VALUES = [
    ("net", "alexnet", "is 'alexnet'; it must be largefov or squeezenet"),
    ("net", 5, "is 5; it must be largefov or squeezenet"),
    ("input_scale", 0, "is 0; it must be a number, more than 0 and at most 1"),
    ("input_scale", 1.5, "is 1.5; it must be a number, more than 0 and at most 1"),
    ("input_scale", True, "is true; it must be a number, more than 0 and at most 1"),
    ("channels", 64, "is 64; it must be a list of 5 (of the blocks conv1 to conv5)"),
    ("channels", [1, 2, 3, 4], "is [1, 2, 3, 4]; it must be a list of 5 (of the blocks conv1 to conv5)"),
    ("convs", [1] * 6, "is [1, 1, 1, 1, 1, 1]; it must be a list of 5 (of the blocks conv1 to conv5)"),
    ("fc", 0, f"is 0; it must be {POSITIVE}"),
    ("fc", 65537, f"is 65537; it must be {POSITIVE}"),
    ("fc", "big", f"is 'big'; it must be {POSITIVE}"),
    ("fc6_dilation", 1.5, f"is 1.5; it must be {POSITIVE}"),
    ("classes", "cat", "is 'cat'; it must be a list of 2 to 254"),
    ("classes", ["cat"], 'is ["cat"]; it must be a list of 2 to 254'),
    (
        "classes",
        [f"c{k}" for k in range(255)],
        'is ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c...; it must be a list of 2 to 254',
    ),
    ("seed.training", -1, "is -1; it must be an integer, at least 0 and at most 2147483647"),
    ("seed.data", 2**31, "is 2147483648; it must be an integer, at least 0 and at most 2147483647"),
    ("seed.report", 1.0, "is 1.0; it must be an integer, at least 0 and at most 2147483647"),
    ("seed", 1.0, "is 1.0; it must be lines `key: value` (or one number for all three)"),
    ("seed", True, "is true; it must be lines `key: value` (or one number for all three)"),
    ("seed", [1, 2, 3], "is [1, 2, 3]; it must be lines `key: value` (or one number for all three)"),
    ("shards", 0, "is 0; it must be an integer, at least 1 and at most 999"),
    ("shards", 1000, "is 1000; it must be an integer, at least 1 and at most 999"),
    ("shards", True, "is true; it must be an integer, at least 1 and at most 999"),
    ("shards", None, "is null; it must be an integer, at least 1 and at most 999"),
    ("threads", 0, f"is 0; it must be {CORES}"),
    ("threads", 65, f"is 65; it must be {CORES}"),
    ("initial_weights", "a/b.caffemodel", f"is 'a/b.caffemodel'; it must be {FILE}"),
    ("initial_weights", "..", f"is '..'; it must be {FILE}"),
    ("initial_weights", "", f"is ''; it must be {FILE}"),
    ("initial_weights", "w.caffemodel\n", f"is 'w.caffemodel\\n'; it must be {FILE}"),
    ("initial_weights", 16, f"is 16; it must be {FILE}; put it in quotes"),
    ("rows", [], "is []; it must be a list of 1 or more"),
    ("rows", "psl", "is 'psl'; it must be a list of 1 or more"),
    ("synthetic", 5, "is 5; it must be lines `key: value`"),
    ("data", [1], "is [1]; it must be lines `key: value`"),
    ("data.train", "train aug", f"is 'train aug'; it must be {LIST}"),
    ("data.train", "--train", f"is '--train'; it must be {LIST}"),
    ("data.train", "train_aug\n", f"is 'train_aug\\n'; it must be {LIST}"),
    ("data.val", True, f"is true; it must be {LIST}; put it in quotes"),
    ("data.test", None, f"is null; it must be {LIST}{UNSET}"),
    ("data.train_images", 0, "is 0; it must be an integer, at least 1"),
    ("data.scale", 0, "is 0; it must be a number, at least 0.01 and at most 4"),
    ("data.scale", 1e-9, "is 1e-09; it must be a number, at least 0.01 and at most 4"),
    ("data.scale", 4.5, "is 4.5; it must be a number, at least 0.01 and at most 4"),
    ("data.scale", float("nan"), "is NaN; it must be a finite number, at least 0.01 and at most 4"),
    ("data.crop", 320, "is 320; it must be 8k + 1, for example 321"),
    ("data.crop", 322, "is 322; it must be 8k + 1, for example 321"),
    ("data.crop", 1, f"is 1; it must be {CROP}"),
    ("data.crop", 8201, f"is 8201; it must be {CROP}"),
    ("data.crop", 321.0, f"is 321.0; it must be {CROP}"),
    ("data.mean", [104, 116], "is [104, 116]; it must be a list of 3 (of blue, green and red)"),
    ("data.mean", [1, 2, 3, 4], "is [1, 2, 3, 4]; it must be a list of 3 (of blue, green and red)"),
    ("data.workers", 0, "is 0; it must be an integer, at least 1 and at most 64"),
    ("data.workers", 65, "is 65; it must be an integer, at least 1 and at most 64"),
    ("training", None, "is null; it must be lines `key: value`"),
    ("training.psl", 5, "is 5; it must be lines `key: value`"),
    ("mining", "all", "is 'all'; it must be lines `key: value`"),
    ("background", 0.12, "is 0.12; it must be lines `key: value`"),
    ("psl", 0.1, "is 0.1; it must be lines `key: value`"),
    ("crf", True, "is true; it must be lines `key: value`"),
    ("crf.gaussian", [], "is []; it must be lines `key: value`"),
    ("training.psl.lr", 0, "is 0; it must be a number, more than 0 and at most 1000"),
    ("training.psl.lr", -0.1, "is -0.1; it must be a number, more than 0 and at most 1000"),
    ("training.psl.lr", 1001, "is 1001; it must be a number, more than 0 and at most 1000"),
    ("training.psl.lr", float("inf"), "is Infinity; it must be a finite number, more than 0 and at most 1000"),
    ("training.psl.lr", float("nan"), "is NaN; it must be a finite number, more than 0 and at most 1000"),
    ("training.psl.lr", "fast", "is 'fast'; it must be a number, more than 0 and at most 1000"),
    ("training.psl.lr", "0,01", "is '0,01'; it must be a number, more than 0 and at most 1000"),
    ("training.classification.batch", 0, f"is 0; it must be {POSITIVE}"),
    ("training.classification.batch", 65537, f"is 65537; it must be {POSITIVE}"),
    ("training.classification.batch", 7.5, f"is 7.5; it must be {POSITIVE}"),
    ("training.segmentation.epochs", 0.5, "is 0.5; it must be a number, at least 1"),
    ("training.segmentation.lr_step_epochs", 0, "is 0; it must be a number, at least 1"),
    ("training.psl.momentum", 1, "is 1; it must be a number, at least 0 and less than 1"),
    ("training.psl.momentum", -0.1, "is -0.1; it must be a number, at least 0 and less than 1"),
    ("training.psl.momentum", float("inf"), "is Infinity; it must be a finite number, at least 0 and less than 1"),
    ("training.psl.decay", -1, "is -1; it must be a number, at least 0 and at most 1"),
    ("training.psl.decay", 5, "is 5; it must be a number, at least 0 and at most 1"),
    ("training.psl.decay", float("nan"), "is NaN; it must be a finite number, at least 0 and at most 1"),
    ("training.psl.epochs", float("inf"), "is Infinity; it must be a finite number, at least 1"),
    (
        "training.psl.epochs",
        10**7,
        "is 10000000; it must be less: of 10582 images in batches of 30 that makes more than 2147483647 iterations",
    ),
    (
        "training.segmentation.lr_step_epochs",
        10**7,
        "is 10000000; it must be less: of 10582 images in batches of 30 that makes more than 2147483647 iterations",
    ),
    ("new_layer_lr", 0, f"is 0; it must be {LR}"),
    ("new_layer_lr", False, f"is false; it must be {LR}"),
    ("new_layer_lr", 1001, f"is 1001; it must be {LR}"),
    ("segmentation_start", "imagenet", "is 'imagenet'; it must be initial or step1"),
    ("background.detector", "slic", "is 'slic'; it must be drfi or rbd or truth"),
    ("psl_start", "step2", f"is 'step2'; it must be {PSL_START}"),
    ("psl_start", "ae_step5", "is ae_step5; it must be at most ae_step4, as `mining.steps`"),
    ("psl_start", "ae_step5+step1", "is ae_step5+step1; it must be at most ae_step4, as `mining.steps`"),
    ("psl_start", "ae_step3+step2", f"is 'ae_step3+step2'; it must be {PSL_START}"),
    ("psl_start", "initial+step1", f"is 'initial+step1'; it must be {PSL_START}"),
    ("mining.steps", 0, "is 0; it must be an integer, at least 1 and at most 9"),
    ("mining.steps", 10, "is 10; it must be an integer, at least 1 and at most 9"),
    ("mining.merge", 0, "is 0; it must be an integer, at least 1"),
    ("mining.merge", 5, "is 5; it must be at most `mining.steps`, 4"),
    ("mining.threshold", 0.2, f"is 0.2; it must be {THRESHOLD}"),
    ("mining.threshold", {}, f"is {{}}; it must be {THRESHOLD}"),
    (
        "mining.threshold",
        dict(of_max=0.2, top_pixels=0.2),
        f'is {{"of_max": 0.2, "top_pixels": 0.2}}; it must be {THRESHOLD}',
    ),
    ("mining.threshold.of_max", 2, "is 2; it must be a number, at least 0 and less than 1"),
    ("mining.threshold.of_max", 1, "is 1; it must be a number, at least 0 and less than 1"),
    ("mining.threshold.of_max", -0.1, "is -0.1; it must be a number, at least 0 and less than 1"),
    ("mining.sensitivity", [], "is []; it must be a list of 1 or more"),
    ("mining.max_converged_loss", 0, "is 0; it must be a number, more than 0"),
    ("background.threshold", 1.1, "is 1.1; it must be a number, at least 0 and at most 1"),
    ("background.threshold", -0.1, "is -0.1; it must be a number, at least 0 and at most 1"),
    ("background.indoor_threshold", 12, "is 12; it must be a number, at least 0 and at most 1"),
    ("background.indoor_threshold", -1, "is -1; it must be a number, at least 0 and at most 1"),
    ("background.indoor_classes", None, "is null; it must be a list"),
    ("psl.prohibited", 1, "is 1; it must be a number, at least 0 and less than 1"),
    ("psl.prohibited", -1, "is -1; it must be a number, at least 0 and less than 1"),
    ("crf.iterations", 0, "is 0; it must be an integer, at least 1 and at most 1000"),
    ("crf.iterations", 1001, "is 1001; it must be an integer, at least 1 and at most 1000"),
    ("crf.bilateral", 4, "is 4; it must be lines `key: value`"),
    ("crf.bilateral.weight", -1, "is -1; it must be a number, at least 0 and at most 1000000"),
    ("crf.gaussian.weight", 1e300, "is 1e+300; it must be a number, at least 0 and at most 1000000"),
    ("crf.bilateral.rgb", 1e-6, "is 1e-06; it must be a number, at least 0.1"),
    ("crf.bilateral.xy", 1e-300, "is 1e-300; it must be a number, at least 0.1"),
    ("crf.bilateral.rgb", 0, "is 0; it must be a number, at least 0.1"),
    ("crf.gaussian.weight", -1, "is -1; it must be a number, at least 0 and at most 1000000"),
    ("crf.gaussian.xy", 0, "is 0; it must be a number, at least 0.1"),
]


@pytest.mark.parametrize("key, value, complaint", WRONG_VALUES)
def test_a_wrong_value_is_named_with_what_it_may_be(folder, key, value, complaint):
    path = folder("mine", changed({key: value}))
    assert fault("mine") == f"{path}: `{key}` {complaint}"


# Changes of voc12's settings, and all of the line behind the file's name.
OTHER_FAULTS = [
    ({"seed": -1}, "`seed.data` is -1; it must be an integer, at least 0 and at most 2147483647"),
    ({"seed.mining": 1}, "`seed.mining` is no setting; did you mean `training`?"),
    ({"channels": [8, 8, 8, 8, 0]}, f"`channels[4]` is 0; it must be {POSITIVE}"),
    ({"convs": [1, 1, 1.5, 1, 1]}, "`convs[2]` is 1.5; it must be an integer, at least 1 and at most 16"),
    ({"convs": [1, 1, 1, 1, 5000]}, "`convs[4]` is 5000; it must be an integer, at least 1 and at most 16"),
    ({"channels": [8, 8, 8, 8, "8"]}, "`channels[4]` is the text '8'; write 8"),
    ({"classes": ["cat", "cat"]}, "`classes` has 'cat' twice; remove one"),
    ({"classes": ["cat", "hot, dog"]}, f"`classes[1]` is 'hot, dog'; it must be {NAME}"),
    ({"classes": ["cat", " dog"]}, f"`classes[1]` is ' dog'; it must be {NAME}"),
    ({"classes": ["cat", "dog\n"]}, f"`classes[1]` is 'dog\\n'; it must be {NAME}"),
    ({"classes": ["", "cat"]}, f"`classes[0]` is ''; it must be {NAME}"),
    ({"classes": ["background", "cat"]}, f"`classes[0]` is 'background'; it must be {NAME}"),
    ({"classes": ["cat", "_background_"]}, f"`classes[1]` is '_background_'; it must be {NAME}"),
    ({"classes": ["yes", False]}, f"`classes[1]` is false; it must be {NAME}; put it in quotes"),
    ({"classes": ["cat", ["dog"]]}, f'`classes[1]` is ["dog"]; it must be {NAME}'),
    ({"rows": ["psl", "psl"]}, "`rows` has 'psl' twice; remove one"),
    ({"rows": ["psl", ""]}, "`rows[1]` is ''; it must be text (a row of tables 3 and 4)"),
    ({"rows": ["psl", 4]}, "`rows[1]` is 4; it must be text (a row of tables 3 and 4); put it in quotes"),
    ({"rows": ["psl x"]}, "`rows[0]` is 'psl x'; it must be text (a row of tables 3 and 4)"),
    ({"data.mean": [1, 2, 256]}, "`data.mean[2]` is 256; it must be a number, at least 0 and at most 255"),
    ({"data.mean": [-1, 2, 3]}, "`data.mean[0]` is -1; it must be a number, at least 0 and at most 255"),
    ({"synthetic": {"train": 1, "val": 0}}, "`synthetic.val` is 0; it must be an integer, at least 1"),
    ({"synthetic": {"train": 0, "val": 1}}, "`synthetic.train` is 0; it must be an integer, at least 1"),
    (
        {"mining.threshold": {"top_pixels": 0}},
        "`mining.threshold.top_pixels` is 0; it must be a number, more than 0 and less than 1",
    ),
    (
        {"mining.threshold": {"top_pixels": 1}},
        "`mining.threshold.top_pixels` is 1; it must be a number, more than 0 and less than 1",
    ),
    (
        {"mining.sensitivity": [{"of_max": 0.1}, {"of_max": 2}]},
        "`mining.sensitivity[1].of_max` is 2; it must be a number, at least 0 and less than 1",
    ),
    ({"mining.sensitivity": [0.2]}, f"`mining.sensitivity[0]` is 0.2; it must be {THRESHOLD}"),
    (
        {"background.indoor_classes": ["char"]},
        "`background.indoor_classes` has 'char'; each must be one of `classes` or of VOC's; did you mean `chair`?",
    ),
    (
        {"background.indoor_classes": ["piano"]},
        "`background.indoor_classes` has 'piano'; each must be one of `classes` or of VOC's",
    ),
    ({"background.indoor_classes": ["sofa", "sofa"]}, "`background.indoor_classes` has 'sofa' twice; remove one"),
    ({"background.indoor_classes": [12]}, "`background.indoor_classes[0]` is 12; it must be text; put it in quotes"),
    # Numbers that YAML takes for text.
    ({"training.psl.lr": "1e-2"}, "`training.psl.lr` is the text '1e-2'; write 0.01"),
    ({"training.psl.decay": "5E-4"}, "`training.psl.decay` is the text '5E-4'; write 0.0005"),
    ({"training.psl.momentum": "0.9"}, "`training.psl.momentum` is the text '0.9'; write 0.9"),
    ({"training.psl.lr": "1.5e3"}, "`training.psl.lr` is the text '1.5e3'; write 1500"),
    ({"training.psl.batch": "3e1"}, "`training.psl.batch` is the text '3e1'; write 30"),
    ({"training.psl.batch": "2.5"}, f"`training.psl.batch` is '2.5'; it must be {POSITIVE}"),
    ({"training.psl.lr": "1e999"}, "`training.psl.lr` is '1e999'; it must be a number, more than 0 and at most 1000"),
    ({"training.psl.lr": "nan"}, "`training.psl.lr` is 'nan'; it must be a number, more than 0 and at most 1000"),
    # Names that are none.
    ({"shrads": 2}, "`shrads` is no setting; did you mean `shards`?"),
    ({"shards": REMOVED, "shrads": 2}, "`shrads` is no setting; did you mean `shards`?"),
    ({"training.new_layer_lr": 10}, "`training.new_layer_lr` is no setting; did you mean `new_layer_lr`?"),
    ({"lr": 0.1}, "`lr` is no setting; did you mean `training.classification.lr`?"),
    ({"name": "mine"}, "`name` is no setting; known are net, input_scale, "),
    ({"data.trian": "x"}, "`data.trian` is no setting; did you mean `train`?"),
    ({"training.pls": {}}, "`training.pls` is no setting; did you mean `psl`?"),
    ({"training.psl.epoch": 3}, "`training.psl.epoch` is no setting; did you mean `epochs`?"),
    ({"mining.step": 3}, "`mining.step` is no setting; did you mean `steps`?"),
    ({"mining.threshold": {"of_maximum": 0.2}}, "`mining.threshold.of_maximum` is no setting; did you mean `of_max`?"),
    (
        {"mining.sensitivity": [{"of_max": 0.5}, {"x": 1}]},
        "`mining.sensitivity[1].x` is no setting; known are of_max, top_pixels",
    ),
    ({"background.indoor": []}, "`background.indoor` is no setting; "),
    ({"psl.prohibit": 0.1}, "`psl.prohibit` is no setting; did you mean `prohibited`?"),
    ({"crf.iteration": 1}, "`crf.iteration` is no setting; did you mean `iterations`?"),
    ({"crf.bilateral.rbg": 1}, "`crf.bilateral.rbg` is no setting; did you mean `rgb`?"),
    ({"crf.gaussian.rgb": 1}, "`crf.gaussian.rgb` is no setting; did you mean `crf.bilateral.rgb`?"),
    ({"synthetic": {"train": 1, "val": 1, "test": 1}}, "`synthetic.test` is no setting; did you mean `data.test`?"),
    # What belongs to one net.
    ({"net": "squeezenet"}, "`channels` is set; only `net: largefov` has it; remove it"),
    (
        {"net": "squeezenet", "channels": REMOVED, "convs": REMOVED, "fc": REMOVED},
        "`fc6_dilation` is set; only `net: largefov` has it; remove it",
    ),
]


@pytest.mark.parametrize("changes, complaint", OTHER_FAULTS)
def test_any_other_fault_is_named(folder, changes, complaint):
    settings = changed({key: value for key, value in changes.items() if value is not REMOVED})
    for key in (key for key, value in changes.items() if value is REMOVED):
        del settings[key]
    path = folder("mine", settings)
    line = fault("mine")
    if complaint.endswith((" ", ", ")):
        assert line.startswith(f"{path}: {complaint}")
    else:
        assert line == f"{path}: {complaint}"


def keys(settings, above=""):
    """The dotted keys of settings, but for what makes a threshold."""
    for key, value in settings.items():
        yield above + key
        if isinstance(value, dict) and key != "threshold":
            yield from keys(value, f"{above}{key}.")


@pytest.mark.parametrize("key", sorted({*keys(changed({}))} - {"initial_weights", "data.test"}))
def test_a_missing_setting_is_named(folder, key):
    path = folder("mine", changed({key: REMOVED}))
    assert fault("mine") == f"{path}: has no `{key}`{EXPLAINED}"


@pytest.mark.parametrize("there, missing", [("train", "val"), ("val", "train")])
def test_what_is_missing_of_an_optional_part_is_named(folder, there, missing):
    path = folder("mine", changed({"synthetic": {there: 1}}))
    assert fault("mine") == f"{path}: has no `synthetic.{missing}`{EXPLAINED}"


def annotation(part, cls):
    """The type that a part of the schema stands for; cls: the class of its group, if it is one."""
    if "properties" in part:
        return cls if "required" in part else Choice
    if part.get("type") == "array":
        return tuple[annotation(check.resolved(part["items"]), None), ...]
    return dict(integer=int, number=float).get(part.get("type"), str)


def test_the_typed_settings_are_those_of_the_schema():
    """Names, types, which may be left out, and the order, in which a run's experiment.yaml is written."""
    classes = [(Experiment, check.schema(), ["name"])]
    for cls, part, before in classes:  # grows while it is gone through
        fields = {field.name: field.type for field in dataclasses.fields(cls)}
        required = [key for key in part["properties"] if key in part["required"]]
        optional = [key for key in part["properties"] if key not in part["required"]]
        assert list(fields) == before + required + optional
        for key, value in part["properties"].items():
            group, value = group_of(fields[key]), check.resolved(value)
            expected = annotation(value, group)
            assert fields[key] == (Optional[expected] if key in optional else expected), key
            if group:
                classes.append((group, value, []))
    assert len(classes) == 14  # with three of Task


def test_voc12_explains_all_but_three_settings_which_it_names():
    possible = map(check.dotted, check.all_settings(check.schema(), ()))
    possible = {key for key in possible if not key.startswith("mining.threshold.")}
    assert possible - {*keys(changed({}))} == {
        "input_scale",
        "synthetic",
        "synthetic.train",
        "synthetic.val",
        "psl_start",
    }
    with open(VOC12) as file:
        text = " ".join(file.read().replace("# ", "").split())
    assert "Three settings are not in this file: input_scale and synthetic (see prototxt/demo), and psl_start" in text


@pytest.mark.parametrize(
    "key, value",
    [
        ("seed.data", 0),
        ("seed.training", 2**31 - 1),
        ("shards", 999),
        ("threads", 64),
        ("data.scale", 4),
        ("data.crop", 9),
        ("data.crop", 8193),
        ("data.mean", [0, 255, 1.5]),
        ("data.test", REMOVED),
        ("initial_weights", REMOVED),
        ("input_scale", 0.02),
        ("training.psl.lr", 1e-8),
        ("training.psl.epochs", 1.5),
        ("training.psl.momentum", 0),
        ("training.psl.decay", 0),
        ("mining.steps", 9),
        ("mining.merge", 4),
        ("mining.threshold", {"of_max": 0}),
        ("mining.threshold", {"top_pixels": 0.999}),
        ("background.threshold", 1),
        ("background.indoor_threshold", 0),
        ("background.indoor_classes", []),
        ("psl.prohibited", 0),
        ("crf.bilateral.weight", 0),
        ("crf.gaussian.xy", 0.1),
        ("classes", [f"c{k}" for k in range(254)]),
        ("classes", ["chat", "chien_à_poil"]),
        ("segmentation_start", "step1"),
        ("psl_start", "initial"),
        ("psl_start", "ae_step4"),
        ("psl_start", "ae_step4+step1"),
    ],
)
def test_the_ends_of_what_is_allowed_are_allowed(folder, key, value):
    settings = changed({key: value})
    folder("mine", yaml.safe_dump(settings, allow_unicode=True))
    assert experiments.load("mine").settings() == settings


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "is empty; it must hold lines `key: value`"),
        ("# only this\n", "is empty; it must hold lines `key: value`"),
        ("- net\n- classes\n", "is a list; it must hold lines `key: value`"),
        ("largefov\n", "is a single value; it must hold lines `key: value`"),
        (b"net: largefov # \xe9\n", "is not text in UTF-8; save it as that"),
        ("net: largefov\n".encode("utf-16"), "is not text in UTF-8; save it as that"),
        (
            "base: voc12\nseed: 1\nshards: 2\nseed: 3\n",
            "line 4: `seed` is in line 2 already; remove one of the two",
        ),
        (
            "base: voc12\ndata:\n  crop: 97\n  scale: 1\n  'crop': 65\n",
            "line 5: `crop` is in line 3 already; remove one of the two",
        ),
        ("base: voc12\ncrf: {iterations: 1, iterations: 2}\n", "line 2: `iterations` is in line 2 already; "),
        ("base: voc12\ndata: {crop: 0321}\n", "line 2: YAML reads 0321 as 209; write it without a leading 0 or "),
        ("base: voc12\nshards: 1:30\n", "line 2: YAML reads 1:30 as 90; write it without a leading 0 or a colon"),
        ("base: voc12\ndata:\n  scale: 1:30.5\n", "line 3: YAML reads 1:30.5 as 90.5; write it without a leading 0"),
        ("base: voc12\nseed: [1\n", "not YAML: while parsing a flow sequence "),
        ("base: voc12\n\tseed: 1\n", "not YAML: while scanning for the next token found character '\\t' "),
        ("base: voc12\n---\nbase: demo\n", "not YAML: expected a single document in the stream "),
        ("base: voc12\nseed: !!python/object:os.system {}\n", "not YAML: could not determine a constructor for "),
        ("base: voc12\ndata: {val: 2012-13-45}\n", "not YAML: month must be in 1..12"),
        ("base: voc12\ndata: {val: 2012-12-01}\n", f'`data.val` is "2012-12-01"; it must be {LIST}; put it in quotes'),
        ("base: voc12\ndata: {val: 2012_12}\n", f"`data.val` is 201212; it must be {LIST}; put it in quotes"),
        ("base: voc12\ndata: {val: no}\n", f"`data.val` is false; it must be {LIST}; put it in quotes"),
        ("base: voc12\ntraining: {psl: {lr: 1e-2}}\n", "`training.psl.lr` is the text '1e-2'; write 0.01"),
        ("base: voc12\ntraining: {psl: {lr: .nan}}\n", "`training.psl.lr` is NaN; it must be a finite number"),
        ("base: voc12\non: 1\n", "`True` is no setting; known are net, "),
        ("base: voc12\n? [a, b]\n: 1\n", "not YAML: while constructing a mapping "),
        ("base: voc12\ndata: &a {crop: 97, x: *a}\n", "an alias `*` is part of what it repeats, or repeats too"),
        ("base: voc12\n? |\n  two\n  lines\n: 1\n", "`two lines ` is no setting; known are net, "),
        (BOMB.format("[{}]", "*{}"), "an alias `*` is part of what it repeats, or repeats too much"),
        (BOMB.format("{{{}}}", "k{1}: *{0}"), "an alias `*` is part of what it repeats, or repeats too much"),
        ("base: voc12\nseed: " + "[" * 3000, "is nested hundreds of levels deep"),
        ("base: voc12\nseed: " + "{a: " * 900 + "1" + "}" * 900, "is nested hundreds of levels deep"),
        ("base: voc12\n# " + "x" * 2**20, "is larger than 1 MB"),
        ("base: voc12\nseed: " + "9" * 5000, "`seed.data` is 99999"),
        ("base: voc12\n<<: [{seed: 3}, 4]\n", "not YAML: while constructing a mapping "),
        ("base: voc12\nrows: !!set {psl}\n", "`rows` is "),
        ("%FOO\nbase: voc12\n", "not YAML: expected '<document start>'"),
        (
            "base: voc12\nseed: 2001-01-01\n",
            '`seed` is "2001-01-01"; it must be lines `key: value` (or one number for all three)',
        ),
        ("base: voc12\nclasses: [yes, no]\n", "`classes[0]` is true; it must be text"),
        ("base: voc12\nclasses: [null, a]\n", "`classes[0]` is null; it must be text"),
    ],
)
def test_yaml_that_is_none_or_means_something_else_is_told(folder, text, complaint):
    path = folder("mine", text)
    assert fault("mine").startswith(f"{path}: {complaint}")


def test_yamls_own_shorthands_work(folder):
    """A byte order mark, anchors, aliases, merge keys; a key beside `<<` is no second one."""
    lines = ["classification: &a {batch: 5, lr: 1.0e-3}", "segmentation: &b {<<: *a, lr: 2}", "psl: {<<: *b, batch: 6}"]
    folder("mine", "\n  ".join(["\ufeffbase: voc12\ntraining:", *lines]))
    training = experiments.load("mine").training
    values = {task: (training.of(task).batch, training.of(task).lr) for task in experiments.TASKS}
    assert values == dict(classification=(5, 0.001), segmentation=(5, 2), psl=(6, 2))


@pytest.mark.parametrize(
    "make, complaint",
    [
        (os.mkdir, "is no file, but a folder, a pipe or a device"),
        (os.mkfifo, "is no file, but a folder, a pipe or a device"),
        (lambda path: os.symlink("/dev/zero", path), "is no file, but a folder, a pipe or a device"),
        (lambda path: os.symlink("experiment.yaml", path), "Too many levels of symbolic links"),
    ],
    ids=["folder", "pipe", "device", "link to itself"],
)
def test_what_is_no_file_is_one_line(folder, make, complaint):
    path = folder("mine", "")
    os.unlink(path)
    make(path)
    assert fault("mine").endswith(f"mine/experiment.yaml: cannot be read: {complaint}")


def test_the_schema_is_one_and_refuses_unknown_keys_everywhere():
    schema = check.schema()
    jsonschema.Draft7Validator.check_schema(schema)
    parts = [schema]
    while parts:
        part = parts.pop()
        if "properties" in part and "type" in part:
            assert part["type"] == "object" and part["additionalProperties"] is False
        assert not {"type", "properties", "enum", "$ref", "not"}.isdisjoint(part) or part is schema["then"]
        nested = [*part.get("properties", {}).values(), *([part["items"]] if "items" in part else [])]
        parts += nested + ([*schema["definitions"].values(), schema["then"], schema["else"]] if part is schema else [])


def test_a_base_is_laid_under(folder):
    folder("mine", "base: voc12\nclasses: [cat, dog]\ndata: {crop: 97}\ncrf: {gaussian: {xy: 1}}\n")
    expected = changed({"classes": ["cat", "dog"], "data.crop": 97, "crf.gaussian.xy": 1})
    assert experiments.load("mine").settings() == expected and experiments.load("mine").name == "mine"


def test_null_removes_what_the_base_has(folder):
    folder("mine", "base: voc12\ninitial_weights: null\ndata: {test: null}\n")
    experiment = experiments.load("mine")
    assert experiment.initial_weights is None and experiment.data.test is None
    assert "initial_weights" not in experiment.settings() and "test" not in experiment.settings()["data"]


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("shards: null", f"has no `shards`{EXPLAINED}"),
        ("data: {crop: null}", f"has no `data.crop`{EXPLAINED}"),
        ("input_scale: null", "`input_scale` is null; it must be a number, more than 0 and at most 1"),
        ("psl_start: null", "`psl_start` is null; it must be text (initial, step1, a net of table 3, as ae_step3, or "),
        ("data: {tset: null}", "`data.tset` is no setting; did you mean `test`?"),
        ("synthetic: {train: 5, val: null}", "`synthetic.val` is null; it must be an integer, at least 1"),
        ("mining: {threshold: {of_max: null}}", "`mining.threshold.of_max` is null; it must be a number, at least 0 "),
    ],
)
def test_null_that_removes_nothing_or_too_much_is_told(folder, text, complaint):
    path = folder("mine", f"base: voc12\n{text}\n")
    assert fault("mine").startswith(f"{path}: {complaint}")
    optional = text.partition(":")[0] in ("input_scale", "psl_start")
    assert fault("mine").endswith(UNSET) == optional


@pytest.mark.parametrize("text", ["initial_weights: null", "data: {test: null}"])
def test_null_of_what_the_base_has_removed_is_told(folder, text):
    folder("few", "base: voc12\ninitial_weights: null\ndata: {test: null}\n")
    folder("mine", f"base: few\n{text}\n")
    assert fault("mine").endswith(UNSET)


def test_a_threshold_takes_the_place_of_the_bases(folder):
    folder("mine", "base: voc12\nmining: {threshold: {top_pixels: 0.3}}\n")
    assert experiments.load("mine").settings() == changed({"mining.threshold": {"top_pixels": 0.3}})


def test_lists_take_the_place_of_the_bases(folder):
    folder("mine", "base: voc12\nmining: {sensitivity: [{of_max: 0.3}]}\nrows: [psl]\n")
    experiment = experiments.load("mine")
    assert experiment.rows == ("psl",) and experiment.mining.sensitivity == ({"of_max": 0.3},)


def test_bases_chain(folder):
    folder("first", "base: voc12\nseed: 2\nshards: 3\ninitial_weights: null\ndata: {crop: 65}\n")
    folder("second", "base: first\nshards: 4\ninitial_weights: w.caffemodel\ndata: {scale: 0.5}\n")
    settings = experiments.load("second").settings()
    assert settings["data"] == changed({"data.crop": 65, "data.scale": 0.5})["data"]
    assert (settings["seed"]["report"], settings["shards"], settings["initial_weights"]) == (2, 4, "w.caffemodel")
    assert "base" not in settings


def test_bases_in_a_circle_are_one_line(folder):
    folder("first", "base: third\n")
    folder("second", "base: first\n")
    path = folder("third", "base: second\n")
    circle = "second, first, third, second (the base of first) (the base of second)"
    line = f"{path}: `base` refers back to itself: {circle}"
    assert fault("second") == line.replace(path, os.path.join(experiments.FOLDER, "third/experiment.yaml"))
    path = folder("alone", "base: alone\n")
    assert fault("alone") == f"{path}: `base` refers back to itself: alone, alone"


@pytest.mark.parametrize(
    "base, shown",
    [("voc21", "'voc21'"), ("../voc12", "'../voc12'"), ("null", "null"), ("2012", "2012"), ("[a]", '["a"]')],
)
def test_an_unknown_base_is_one_line(folder, base, shown):
    path = folder("mine", f"base: {base}\n")
    assert fault("mine") == f"{path}: `base` is {shown}; it must be the name of an experiment; known are mine, voc12"


def test_a_fault_of_the_base_is_told_of_its_file(folder):
    path = folder("first", "base: voc12\nshards: 0\n")
    folder("mine", "base: first\nshards: 5\n")
    assert fault("mine") == (
        f"{path}: `shards` is 0; it must be an integer, at least 1 and at most 999 (the base of mine)"
    )


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../demo", "a/b", "-x", ".x", "a..b", "a b", "a\n", "ä", "$(x)", "a'b"]
)
def test_a_name_that_would_be_another_path_is_refused(folder, name):
    for refuses in (experiments.checked_name, experiments.load, new_experiment.run):
        with pytest.raises(InputError) as error:
            refuses(name)
        line = f"{name!r}: no name of an experiment; use letters, digits and . _ + -, as in voc12"
        assert str(error.value) == line


@pytest.mark.parametrize("name", ["Voc12", "VOC12", "PETS", "Pets", "PETs"])
def test_a_name_that_differs_from_anothers_by_case_alone_is_refused(folder, small_set, name):
    """On a disk that does not tell them apart, the experiment and the run of the other would be overwritten."""
    path = folder("pets", "base: voc12\n")
    before, other = read_text(path), name.lower()
    for refuses in (experiments.load, graph.of_run, lambda name: new_experiment.run(name, str(small_set))):
        with pytest.raises(InputError) as error:
            refuses(name)
        line = f"differs from the experiment {other} by case alone, and some disks take the two for one"
        assert str(error.value) == f"{name}: {line}; take EXPERIMENT={other}, or another name"
    assert read_text(path) == before and not os.path.exists(f"{experiments.FOLDER}/{name}")


def test_two_experiments_that_are_there_may_differ_by_case(folder):
    folder("pets", "base: voc12\n")
    folder("Pets", "base: voc12\nshards: 3\n")
    assert experiments.load("Pets").shards == 3 != experiments.load("pets").shards


@pytest.mark.parametrize("name", ["voc12", "psl++", "a.b_c-d", "7", 2012])
def test_a_name_may_be(name):
    """A number too: snakemake's --config makes one of digits."""
    assert experiments.checked_name(name) == str(name)


def test_an_unknown_experiment_is_one_line(folder):
    path = os.path.join(experiments.FOLDER, "mien", "experiment.yaml")
    assert fault("mien") == f"{path}: no such experiment; known are voc12; DATA= makes one for your data"
    experiments.FOLDER += "/nowhere"
    assert "; known are none here; " in fault("mien")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "voc12"])
def test_a_committed_file_holds_only_what_differs_from_its_base(name):
    with open(f"{experiments.FOLDER}/{name}/experiment.yaml") as file:
        written = yaml.safe_load(file)
    below = written.pop("base")
    assert below == dict(photos_full="photos").get(name, "voc12")
    complete, base = (experiments.load(each).settings() for each in (name, below))
    assert written == experiments.difference(complete, base)


@pytest.mark.parametrize("of", NAMES)
@pytest.mark.parametrize("over", NAMES)
def test_the_difference_laid_over_gives_the_settings(of, over):
    settings, base = experiments.load(of).settings(), experiments.load(over).settings()
    before = copy.deepcopy((settings, base))
    changes = experiments.difference(settings, base)
    assert experiments.laid_over(base, changes) == settings
    assert bool(changes) == (of != over) and (settings, base) == before


@pytest.mark.parametrize("name", NAMES)
def test_settings_share_nothing(name):
    """A change of one task's settings is of this one's alone, also where the file has an alias."""
    experiment = experiments.load(name)
    settings = experiment.settings()
    settings["training"]["psl"]["lr"] = 7
    settings["mining"]["sensitivity"][0]["of_max"] = 7
    assert settings["training"]["segmentation"]["lr"] != 7 and settings["mining"]["sensitivity"][1]["of_max"] != 7
    assert experiment == experiments.load(name) and experiment.settings() != settings
    other = experiments.changed(experiment, {"training.psl.lr": 7})
    assert (other.training.psl.lr, other.training.segmentation) == (7, experiment.training.segmentation)
    assert experiment == experiments.load(name) != other


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_cannot_be_assigned(name):
    """None, at any depth; nor can a list be changed."""
    experiment = experiments.load(name)
    for key in keys(experiment.settings()):
        *above, last = key.split(".")
        part = functools.reduce(getattr, above, experiment)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, last, 1)
        assert not isinstance(getattr(part, last), list)


def test_seed_is_one_number_or_three(folder):
    """Laid over the base's: one number is all three, and one of three leaves the others."""
    seeds = {
        "seed: 5": (5, 5, 5),
        "seed: {training: 7}": (1, 7, 1),
        "seed: {data: 2, training: 3, report: 4}": (2, 3, 4),
    }
    for text, expected in seeds.items():
        folder("mine", f"base: voc12\n{text}\n")
        seed = experiments.load("mine").seed
        assert (seed.data, seed.training, seed.report) == expected
    voc12 = experiments.load("voc12")
    for changes, expected in (({"seed": 5}, (5, 5, 5)), ({"seed.training": 7}, (1, 7, 1))):
        seed = experiments.changed(voc12, changes).seed
        assert (seed.data, seed.training, seed.report) == expected


@pytest.mark.parametrize(
    "key, value, complaint",
    [
        ("training.psl.lr", 0, "`training.psl.lr` is 0; it must be a number, more than 0 and at most 1000"),
        ("data.crop", 60, "`data.crop` is 60; it must be 8k + 1, for example 57"),
        ("data.corp", 65, "`data.corp` is no setting; did you mean `crop`?"),
        ("seed", -1, "`seed.data` is -1; it must be an integer, at least 0 and at most 2147483647"),
    ],
)
def test_a_change_that_makes_a_fault_is_one_line(key, value, complaint):
    with pytest.raises(InputError) as error:
        experiments.changed(experiments.load("voc12"), {key: value})
    assert str(error.value) == f"voc12, {key}: {complaint}"


def test_the_paper_and_what_stands_in_for_it():
    threads = {name: experiments.load(name).threads for name in ("demo", "rehearsal", "voc12")}
    assert threads == dict(demo=1, rehearsal=1, voc12=4)
    assert {name: experiments.load(name).new_layer_lr for name in threads} == dict(demo=1, rehearsal=10, voc12=10)
    assert experiments.load("demo").initial_weights is None and experiments.load("rehearsal").channels is None


def test_a_faulty_experiment_keeps_no_other_from_its_nets(folder):
    faulty = folder("alpha", "base: voc12\nshards: 0\n")
    folder("gamma", "base: voc12\nclasses: [cat, dog]\n")
    os.makedirs(os.path.join(experiments.FOLDER, "no_experiment"))
    with pytest.raises(InputError) as error:
        build.main(["alpha"])
    assert str(error.value).startswith(f"{faulty}: `shards` is 0; ")
    assert os.listdir(os.path.dirname(faulty)) == ["experiment.yaml"]
    for names in ([], ["gamma"]):
        build.main(names)
    for name in ("gamma", "voc12"):
        build.check(experiments.load(name))
        assert len(os.listdir(os.path.join(experiments.FOLDER, name))) == 10


def test_nets_without_a_fault_are_written_without_a_word(folder, capsys):
    build.main(["voc12"])
    build.check(experiments.load("voc12"))
    assert capsys.readouterr() == ("", "")


def test_an_experiment_for_a_data_set_is_what_differs_from_voc12(folder, small_set, capsys):
    settings = new_experiment.derived(Dataset(str(small_set)))
    assert experiments.known() == ["voc12"]
    expected = {"classes": ["cat", "dog"], "data.train_images": 6, "data.test": REMOVED}
    assert settings == changed({**expected, "background.indoor_classes": []})
    new_experiment.run("pets", str(small_set))
    with open(os.path.join(experiments.FOLDER, "pets/experiment.yaml")) as file:
        text = file.read()
    assert text.startswith(f"# What the data set {small_set} gives; everything else is voc12's, ")
    assert yaml.safe_load(text) == dict(
        base="voc12",
        classes=["cat", "dog"],
        data=dict(test=None, train_images=6),
        background=dict(indoor_classes=[]),
    )
    loaded = experiments.load("pets")
    assert loaded.settings() == settings
    build.check(loaded)
    assert "written, voc12's settings for 2 classes and 6 training images" in capsys.readouterr().out


def test_lists_and_indoor_classes_of_a_data_set_are_used(folder, small_set):
    (small_set / "classes.txt").write_text("cat\nchair\n")
    lists = small_set / "ImageSets/Segmentation"
    (lists / "train_aug.txt").rename(lists / "train.txt")
    (lists / "test.txt").write_text("image1\n")
    settings = new_experiment.derived(Dataset(str(small_set)))
    assert settings["data"]["train"] == "train" and settings["data"]["test"] == "test"
    assert settings["background"]["indoor_classes"] == ["chair"]


@pytest.mark.parametrize(
    "names, complaint",
    [
        (
            "cat\nbackground\n",
            "line 2 names 'background', which always has the value 0; remove the line: the first name has the value 1",
        ),
        ("cat\ndog\ncat\n", "names 'cat' twice; remove one of the two lines"),
        ("cat\n", "names one class; the classification net needs two or more to tell apart"),
    ],
)
def test_a_data_set_that_makes_no_experiment_leaves_nothing(folder, small_set, names, complaint):
    (small_set / "classes.txt").write_text(names)
    with pytest.raises(InputError) as error:
        new_experiment.run("pets", str(small_set))
    assert str(error.value) == f"{small_set}/classes.txt: {complaint}"
    assert sorted(os.listdir(experiments.FOLDER)) == ["data", "voc12"]
