"""Prints v, the weights of the classes' maps, of images with one label and of images with several.

    aepsl confidence --experiment rehearsal --data DATA --list val --model runs/rehearsal/.../final.caffemodel

An object's pixel stays an object in S_hat if v f of its class is above f of background. Where these two share f, that
is f > 1 / (1 + v): the column "f above". Of two equally sure labels, softmax gives v = 1/2 each, so that f has to be
above 2/3. `of_max` is the other reading of v, `psl.v` in experiment.yaml.
"""

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.table import Table, number
from aepsl.data.dataset import Dataset
from aepsl.layers.losses import softmax
from aepsl.layers.psl import READINGS, v_of
from aepsl.nets import device
from aepsl.nets.whole_image import TrainedNet
from aepsl.settings.typed import Experiment


def run(experiment: Experiment, data: str, list_name: str, model: str, gpu: device.Gpu = None) -> Table:
    """The table of the images of a list; model: caffemodel of a net with a classification branch."""
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(list_name)
    dataset.check(ids)
    labels = dataset.labels(ids, may_lack=True)
    if not labels.any():
        raise InputError(f"{data}/image_labels.txt: no image of {list_name} has a label; name another list")
    net = TrainedNet(experiment, "classification", model, gpu)
    return table(labels, np.concatenate([_probabilities(net, dataset, each) for each in tqdm(ids, disable=None)]))


def _probabilities(net: TrainedNet, dataset: Dataset, image_id: str) -> np.ndarray:
    net.forward(dataset.image(image_id), name=image_id)
    return softmax(net.values("fc8_cls", image_id))


def table(labels: np.ndarray, probabilities: np.ndarray) -> Table:
    """labels: N x C, 0 or 1; probabilities: N x C. Means over the labels of the images with so many, from 1 on."""
    counts, rows = labels.sum(axis=1).astype(int), []
    for count in np.unique(counts[counts > 0]):
        of_count, cells = counts == count, []
        for reading in READINGS:
            v = v_of(probabilities[of_count], reading)[labels[of_count] > 0]
            cells += [number(v.mean(), 2), number((1 / (1 + v)).mean(), 2)]
        rows.append([str(count), str(of_count.sum()), *cells])
    columns = ["labels", "images", *(each for reading in READINGS for each in (f"v, {reading}", "f above"))]
    note = "v: of the images' own labels. f above: what f of a class needs where it shares 1 with background."
    return Table("v by number of labels", columns, rows, note)


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser: Any = cli.parser(__doc__, "experiment data gpu")
    parser.add_argument("--list", dest="list_name", required=True, help="train_aug, val, or the path of a list of ids")
    parser.add_argument("--model", required=True, help="caffemodel of a classification net, or of a net with PSL")
    print(run(**vars(parser.parse_args(argv))).text())
