"""Writes an experiment for a data set of your own.

The classes, the lists and the number of images are the data set's; all other settings are voc12's.
"""

import os
from typing import Any, Optional

import yaml

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import write_text
from aepsl.data.dataset import LISTS, Dataset
from aepsl.paper import published
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment

MODEL = published.PAPERS_EXPERIMENT
HEADER = """# What the data set {data} gives; everything else is {model}'s, whose file explains every setting.
"""


def run(name: str, data: Optional[str] = None) -> None:
    """Write prototxt/NAME/experiment.yaml from the data set `data`, unless the file exists.

    The file has only the settings that differ from voc12's. Raises InputError if there is neither experiment nor data,
    and for a data set that `derived` refuses.
    """
    experiment, folder = settings(name, data), os.path.join(experiments.FOLDER, name)
    if name in experiments.known():
        return
    changes = {"base": MODEL, **experiments.difference(experiment.settings(), experiments.load(MODEL).settings())}
    text = yaml.safe_dump(changes, sort_keys=False, default_flow_style=None, width=120)
    shown = data if str(data).isprintable() else ascii(data)  # a line break in it would begin a setting
    write_text(os.path.join(folder, "experiment.yaml"), HEADER.format(model=MODEL, data=shown) + text)
    count, images = len(experiment.classes), experiment.data.train_images
    print(f"{folder}: written, {MODEL}'s settings for {count} classes and {images} training images")


def settings(name: str, data: Optional[str] = None) -> Experiment:
    """The Experiment of that name, or the one that `run` would write; nothing is written."""
    if data and not os.path.isdir(data):
        raise InputError(f"{data}: no such folder; DATA= must name a data set in VOC layout")
    if experiments.checked_name(name) in experiments.known() or not data:
        return experiments.load(name)
    return experiments.of_settings(derived(Dataset(data)), data, name)


def derived(dataset: Dataset) -> dict[str, Any]:
    """The complete settings of an experiment on `dataset`, checked; nothing is written.

    Raises InputError for a data set with fewer than two classes, with an invalid name of a class, or without a list.
    """
    if len(dataset.classes) < 2:
        raise InputError(
            f"{dataset.root}/classes.txt: names one class; the classification net needs two or more to tell apart"
        )
    lists = [name for name in ("train_aug", "train") if dataset.has_list(name)]
    if not lists:
        raise InputError(
            f"{dataset.root}/{LISTS}: has neither train_aug.txt nor train.txt; write the ids to one of them"
        )
    settings = experiments.load(MODEL).settings()
    settings["classes"] = list(dataset.classes)
    settings["data"].update(train=lists[0], train_images=len(dataset.ids(lists[0])))
    if not dataset.has_list(settings["data"].get("test", "")):
        settings["data"].pop("test", None)
    background = settings["background"]
    background["indoor_classes"] = [name for name in background["indoor_classes"] if name in dataset.classes]
    return experiments.complete(settings, f"{dataset.root}/classes.txt")  # the only settings that can be wrong


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, places=lambda asked: dict(written=os.path.join(experiments.FOLDER, asked.name)))
    parser.add_argument("name", help="the new experiment: writes prototxt/NAME/experiment.yaml")
    parser.add_argument("--data", help="root of the data set, in VOC layout")
    run(**vars(parser.parse_args(argv)))
