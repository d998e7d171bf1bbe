"""An experiment: the settings of prototxt/NAME/experiment.yaml, the only place where they stand."""

import os

import yaml

from aepsl.errors import InputError

FOLDER = "prototxt"
TASKS = ("classification", "segmentation", "psl")
# What every experiment has.
SETTINGS = "net classes seed shards rows data training segmentation_start mining background psl crf".split()
CHOICES = dict(segmentation_start=("initial", "step1"), threshold=("of_max", "top_pixels"))


def load(name):
    """The settings of the experiment `name`, as nested dicts, with its `name` and `folder` added."""
    folder = os.path.join(FOLDER, name)
    path = os.path.join(folder, "experiment.yaml")
    try:
        with open(path) as file:
            experiment = yaml.safe_load(file)
    except FileNotFoundError:
        known = ", ".join(sorted(os.listdir(FOLDER))) if os.path.isdir(FOLDER) else "none here"
        raise InputError(f"{path}: no such experiment; known are {known}; DATA= makes one for your data") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    _check(experiment, path)
    experiment.update(name=name, folder=folder)
    return experiment


def _check(experiment, path):
    """What a typing error breaks only hours later."""
    missing = [key for key in SETTINGS if key not in (experiment or {})]
    if missing:
        raise InputError(f"{path}: has no `{missing[0]}`; {FOLDER}/voc12/experiment.yaml has every setting, explained")
    thresholds = [experiment["mining"]["threshold"], *experiment["mining"]["sensitivity"]]
    chosen = [("segmentation_start", experiment["segmentation_start"])]
    chosen += [("threshold", kind) for threshold in thresholds for kind in threshold]
    for key, value in chosen:
        if value not in CHOICES[key]:
            raise InputError(f"{path}: `{key}` is {value}; it can be one of {', '.join(CHOICES[key])}")


def prototxt(experiment, task, kind):
    """The path of the committed prototxt; kind is 'train', 'deploy' or 'solver'."""
    return os.path.join(experiment["folder"], f"{task}_{kind}.prototxt")


def iterations(epochs, images, batch):
    """How many batches `epochs` are, rounded to the nearest."""
    return max(1, int(round(epochs * images / batch)))
