"""The files that a run reads: their paths, and the SHA-256 of their contents."""

import os
import sys
from typing import Optional

from aepsl.base import doors
from aepsl.base.errors import InputError
from aepsl.data.dataset import Dataset
from aepsl.graph.graph import Contents
from aepsl.graph.run_folder import RunFolder
from aepsl.graph.stage import needs_surgery
from aepsl.nets import build, caffemodel
from aepsl.paper import published
from aepsl.run import new_experiment
from aepsl.saliency import maps as user_maps
from aepsl.settings.experiments import TASKS
from aepsl.settings.typed import Experiment
from aepsl.stages import surgery
from aepsl.store import digests

VOC12_DATA = os.path.join("data", published.PAPERS_EXPERIMENT)  # what `make data` makes
PARTS = dict(train=("images", "labels", "masks"), val=("images", "labels", "masks"), test=("images",))
DATA = tuple(f"{key}.{part}" for key, parts in PARTS.items() for part in parts)  # inputs that are parts of the data set


def data_of(experiment: Experiment, data: Optional[str]) -> str:
    """The root of the data set; data: the user's path, or None.

    An unpacked folder VOC2012 is only read: VOC12_DATA links to it and has the files that it lacks. An experiment that
    draws its images prints a warning if `data` is another folder.
    """
    name = experiment.name
    if experiment.synthetic:
        own = RunFolder(name).data
        if data and os.path.abspath(data) != os.path.abspath(own):
            print(f"{name} draws its own data, and does not look at {data}", file=sys.stderr)
        return own
    if name == published.PAPERS_EXPERIMENT and not os.path.exists(os.path.join(data or "", "image_labels.txt")):
        root = VOC12_DATA
    else:
        root = data or os.path.join("data", name)
    if not os.path.isdir(root):
        line = f"{data}: is not there, or is no data set." if data else "Which data?"
        raise InputError(f"{line} EXPERIMENT={name} DATA=a folder in VOC layout")
    return os.path.abspath(root)


def weights_of(experiment: Experiment, weights: Optional[str]) -> Optional[str]:
    """The initial caffemodel: the user's path, or the experiment's in weights/; None if that names no file."""
    own = experiment.initial_weights
    weights = weights or (own and os.path.join("weights", own))
    return os.path.abspath(caffemodel.existing(weights)) if weights else None


def maps_of(data: str, saliency: Optional[str]) -> Optional[str]:
    """The folder of the user's saliency maps, or the data set's own; None where they are computed."""
    beside = os.path.join(data, "saliency")
    saliency = saliency or (beside if os.path.lexists(beside) else None)  # a link to nowhere is no folder of maps
    return os.path.abspath(saliency) if saliency else None


def contents_of(experiment: Experiment, data: str, weights: Optional[str], maps: Optional[str]) -> Contents:
    """{input: SHA-256 of its content, or None where it is missing}, for the `inputs` of stages."""
    contents: Contents = {f"net.{task}": digests.of_value(build.deploy_net(experiment, task)) for task in TASKS}
    contents.update(dict.fromkeys((*DATA, "maps", "fc6_fc7", "detector")))
    contents["weights"] = digests.of([weights])[0] if weights else None
    if not os.path.isdir(data):
        return contents  # a dry run before the data are drawn
    dataset = Dataset(data, experiment.classes)
    for key, parts in PARTS.items():
        name = experiment.data.list_of(key)
        if name and (key != "test" or dataset.has_list(name)):
            found = dataset.contents(dataset.ids(name), *parts)
            contents.update({f"{key}.{part}": value for part, value in found.items()})
    if weights and needs_surgery(experiment):
        contents["fc6_fc7"] = digests.of_value(surgery.depends_on(weights, experiment, data))
    if maps:
        contents["maps"] = user_maps.contents(maps, dataset.ids(experiment.data.train))
    else:
        contents["detector"] = _detector(experiment, contents)
    return contents


def _detector(experiment: Experiment, contents: Contents) -> str:
    """The SHA-256 of what the maps of the experiment's detector depend on beside the images."""
    door = doors.load(doors.DETECTORS, experiment.background.detector)
    own = {name: digests.of([path])[0] if path else contents[name] for name, path in door.INPUTS.items()}
    return digests.of_value([door.settings(), own])


def missing(name: str, data: Optional[str], weights: Optional[str]) -> list[str]:
    """What a run needs and scripts/ can download: 'data', and names of caffemodels in scripts/sources.yaml."""
    experiment = new_experiment.settings(name, data)
    if name != published.PAPERS_EXPERIMENT and not experiment.synthetic:
        data_of(experiment, data)  # before anything is downloaded
    needs = []
    # data/voc12 is made anew for an unpacked folder VOC2012: it may be another folder than the last time.
    has_data = os.path.exists(os.path.join(data or VOC12_DATA, "image_labels.txt"))
    if name == published.PAPERS_EXPERIMENT and not has_data:
        needs.append("data")
    own = experiment.initial_weights
    if own and not weights and not os.path.exists(os.path.join("weights", own)):
        needs.append(own)
    return needs
