"""An experiment for a data set of one's own: `python3 -m aepsl.tools.new_experiment NAME --data FOLDER`.

Its settings are voc12's, but for the classes, the lists and the number of images, which the data set gives.
"""

import json
import os

import yaml

from aepsl import cli, experiments
from aepsl.caffe_nets import build
from aepsl.data.dataset import LISTS, Dataset
from aepsl.errors import InputError
from aepsl.files import write_text

MODEL = "voc12"
HEADER = """# {model}'s settings for the data set {data}; {model}'s file explains them.
# The only source of this experiment's settings: `make nets` writes the prototxts beside this file from it.
"""


def run(name, data=None):
    """Write prototxt/NAME, experiment.yaml and nets, from the data set `data`; an experiment that is there stays.

    Raises InputError if there is neither, or for a data set of fewer than two classes.
    """
    folder = os.path.join(experiments.FOLDER, name)
    path = os.path.join(folder, "experiment.yaml")
    if os.path.exists(path) or not data:
        experiments.load(name)
        return
    settings = derived(Dataset(data))
    for net, text in build.committed(dict(settings, name=name, folder=folder)).items():
        write_text(net, text)
    text = yaml.safe_dump(settings, sort_keys=False, default_flow_style=None, width=120)
    write_text(path, HEADER.format(model=MODEL, data=data) + text)  # last: it says that the experiment is whole
    count, images = len(settings["classes"]), settings["data"]["train_images"]
    print(f"{folder}: written, {MODEL}'s settings for {count} classes and {images} training images")


def settings(name, data=None):
    """The settings of the experiment `name`, or those that `run` would write for it; nothing is written."""
    if os.path.exists(os.path.join(experiments.FOLDER, name, "experiment.yaml")) or not data:
        return experiments.load(name)
    return dict(derived(Dataset(data)), name=name, folder=os.path.join(experiments.FOLDER, name))


def derived(dataset):
    """The settings of an experiment on `dataset`, as experiment.yaml holds them."""
    if len(dataset.classes) < 2:
        raise InputError(
            f"{dataset.root}/classes.txt: names one class; the classification net needs two or more to tell apart"
        )
    model = {key: value for key, value in experiments.load(MODEL).items() if key not in ("name", "folder")}
    settings = json.loads(json.dumps(model))  # a copy in which nothing is shared, as YAML's anchors share
    lists = [name for name in ("train_aug", "train") if dataset.has_list(name)]
    if not lists:
        raise InputError(
            f"{dataset.root}/{LISTS}: has neither train_aug.txt nor train.txt; write the ids to one of them"
        )
    settings["classes"] = dataset.classes
    settings["data"].update(train=lists[0], train_images=len(dataset.ids(lists[0])))
    if not dataset.has_list(settings["data"]["test"]):
        del settings["data"]["test"]
    background = settings["background"]
    background["indoor_classes"] = [name for name in background["indoor_classes"] if name in dataset.classes]
    return settings


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("name")
    parser.add_argument("--data", help="root of the data set, in VOC layout")
    run(**vars(parser.parse_args(argv)))
