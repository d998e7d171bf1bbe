"""Draws how an image fares in a finished run: what is erased of it, its mask S, and how one of val is segmented."""

import os

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from aepsl import cli, places
from aepsl.base.errors import InputError
from aepsl.base.files import check_place, written_whole
from aepsl.data.dataset import IGNORE, Dataset
from aepsl.graph.graph import Graph, of_run
from aepsl.graph.run_folder import RunFolder
from aepsl.images.pictures import palette, read_indexed
from aepsl.paper import recipes
from aepsl.report.pictures import erased, names_of
from aepsl.run.inputs import data_of

ENOUGH = 0.05  # of the pixels: what each step must erase of an image that is drawn unasked
INCHES = 1.6  # that a picture takes, of 100 pixels each


def run(experiment, out, image_id=None, row="psl", data=None):
    """Write `out`, a PNG: a training image above, an image of val below.

    image_id: the training image; without it the first of one label of which each step erases ENOUGH. row: of tables 3
    and 4; data: root of the data set, where it does not lie in data/NAME. Raises InputError for a run that is not
    finished, and for an image or a row that it does not have.
    """
    check_place(out)
    if not out.endswith(".png"):
        raise InputError(f"{out}: is a PNG; give it a name that ends in .png")
    folder = RunFolder(experiment.name)
    if not os.path.exists(folder.results):
        raise InputError(f"{folder.results}: no such file; `aepsl run {experiment.name}` ends with it")
    if row not in experiment.rows:
        raise InputError(f"{row}: not in `rows` of {experiment.name}; --row takes {', '.join(experiment.rows)}")
    dataset = Dataset(data_of(experiment, data), experiment.classes)
    image_id = image_id or first_shown(experiment, folder, dataset)
    above = of_training(experiment, folder, dataset, image_id, row)
    draw(out, above, of_val(experiment, folder, dataset, image_id, row), dataset)


def first_shown(experiment, folder, dataset):
    """The id of the training image that is drawn unasked."""
    ids = dataset.ids(experiment.data.train)
    for image_id, labels in zip(ids, dataset.labels(ids)):
        if labels.sum() == 1:
            shares = [np.mean(region) for region in regions(experiment, folder, image_id)]
            if min(np.diff([0, *shares])) >= ENOUGH:
                return image_id
    raise InputError(f"{folder.path}: no image of one label loses {ENOUGH:.0%} in each step; name one with --id")


def regions(experiment, folder, image_id):
    """What is erased of a training image after each of the steps that make masks: H x W booleans each."""
    steps = range(1, experiment.mining.merge + 1)
    return [read_indexed(os.path.join(folder.regions(t), image_id + ".png")) > 0 for t in steps]


def of_training(experiment, folder, dataset, image_id, row):
    """[(title, picture)]: the image, what is left of it after each step, and the mask that the row's net learns from.

    Pictures are H x W x 3 uint8, RGB; a mask is H x W uint8, its values.
    """
    image = dataset.image(image_id)[:, :, ::-1]
    pictures = [("training image", image)]
    for t, region in enumerate(regions(experiment, folder, image_id), 1):
        pictures.append((f"erased by step {t}", erased(experiment, image, region)))
    net = recipes.rows(experiment.mining.steps)[row].net
    masks = Graph(experiment).stages[f"segmentation.{net}"].paths["masks"]
    return [*pictures, ("its mask S", read_indexed(os.path.join(masks, image_id + ".png")))]


def of_val(experiment, folder, dataset, image_id, row):
    """The same of the first of val's images whose labels are most like the training image's: image, result, truth."""
    ids = dataset.ids(experiment.data.val)
    val_id = ids[np.abs(dataset.labels(ids) - dataset.labels([image_id])).sum(axis=1).argmin()]
    result = os.path.join(folder.segmented("val", row), "crf")
    masks = [read_indexed(os.path.join(place, val_id + ".png")) for place in (result, dataset.mask_folder())]
    return list(zip(("image of val", f"{row}, with CRF", "truth"), (dataset.image(val_id)[:, :, ::-1], *masks)))


def draw(out, above, below, dataset):
    """Write two rows of titled pictures as a PNG, masks in VOC's palette but for IGNORE, which is white."""
    colours = palette()
    colours[IGNORE] = 255
    columns = max(len(above), len(below) + 1)
    figure = Figure(figsize=(columns * INCHES, 2 * INCHES + 0.5), dpi=100)
    space = dict(left=0.005, right=0.995, bottom=0.01, top=0.93, wspace=0.04, hspace=0.16)
    grid = figure.subplots(2, columns, gridspec_kw=space)
    values = set()
    for axes, (title, picture) in zip([*grid[0][: len(above)], *grid[1]], above + below):
        if picture.ndim == 2:
            values.update(picture.flat)
            picture = colours[picture]
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(title, fontsize=11, pad=4)
    for axes in grid.flat:
        axes.set_anchor("N")
        axes.set_axis_off()
    names = names_of(dataset)
    legend = [Patch(fc=colours[value] / 255, ec="black", label=names[value]) for value in names if value in values]
    grid[1][len(below)].legend(handles=legend, loc="center left", frameon=False, fontsize=11)
    with written_whole(out) as beside:
        figure.savefig(beside, metadata={"Software": None})


def main(argv=None):
    parser = cli.parser(__doc__, places=lambda asked: places.of_run(asked.experiment.name))
    parser.add_argument("experiment", type=of_run, help="whose run is finished")
    parser.add_argument("--out", required=True, metavar="FILE", help="the picture, .png")
    parser.add_argument("--id", dest="image_id", help="a training image; without it one of which each step erases much")
    parser.add_argument("--row", default="psl", help="whose result to draw: a row of tables 3 and 4 (psl)")
    parser.add_argument("--data", default=os.environ.get("DATA") or None, help="a folder in VOC layout")
    run(**vars(parser.parse_args(argv)))
