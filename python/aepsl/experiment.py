"""An experiment: the settings of prototxt/NAME/experiment.yaml, the only place where they stand."""

import os

import yaml

from aepsl.errors import InputError

FOLDER = "prototxt"
TASKS = ("classification", "segmentation", "psl")


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
    experiment.update(name=name, folder=folder)
    return experiment


def prototxt(experiment, task, kind):
    """The path of the committed prototxt; kind is 'train', 'deploy' or 'solver'."""
    return os.path.join(experiment["folder"], f"{task}_{kind}.prototxt")


def iterations(epochs, images, batch):
    """How many batches `epochs` are, rounded to the nearest."""
    return max(1, int(round(epochs * images / batch)))
