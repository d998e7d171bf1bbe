"""Draws images of a finished run: what each step erases of a training image, its mask S, and a result on val."""

import os
from collections.abc import Mapping, Sequence
from typing import Optional

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patches import Patch

from aepsl import cli, places
from aepsl.base.errors import InputError
from aepsl.base.files import check_place, written_whole
from aepsl.data.dataset import IGNORE, Dataset, png
from aepsl.data.lists import shown
from aepsl.graph.graph import Graph, of_run
from aepsl.graph.run_folder import RunFolder
from aepsl.images.pictures import palette, read_indexed
from aepsl.paper import recipes
from aepsl.report.pictures import Album, Picture
from aepsl.run import today
from aepsl.run.inputs import data_of
from aepsl.settings.typed import Experiment

ENOUGH = 0.05  # the share of the pixels that each step must erase of an image that is chosen by itself
INCHES = 1.6  # of a picture, of 100 pixels each


def run(
    experiment: Experiment,
    out: str,
    image_id: Optional[str] = None,
    row: str = "psl",
    data: Optional[str] = None,
) -> None:
    """Write `out`, a PNG: a training image above, an image of val below.

    image_id: the training image; None: `first_shown`. row: of tables 3 and 4; data: root of the data set, None for
    data/NAME. Raises InputError for a run that is not finished, and for an unknown image or row.
    """
    check_place(out)
    if not out.endswith(".png"):
        raise InputError(f"{out}: the picture is a PNG; give it a name that ends in .png")
    folder = RunFolder(experiment.name)
    if not os.path.exists(folder.results):
        raise InputError(f"{folder.results}: no such file; `aepsl run {experiment.name}` ends with it")
    if row not in experiment.rows:
        raise InputError(f"{row}: not in `rows` of {experiment.name}; --row takes {', '.join(experiment.rows)}")
    today.tell(experiment, data)
    album = Album(experiment, Dataset(data_of(experiment, data), experiment.classes))
    ids = album.dataset.ids(experiment.data.train)
    if image_id and image_id not in ids:
        raise InputError(f"--id {image_id}: is no training image of {experiment.name}; those are {shown(ids)}")
    image_id = image_id or first_shown(album)
    read = [folder.regions(t) for t in range(1, album.merge + 1)] + [masks_of(experiment, row) or ""]
    today.check_unchanged(folder.path, [png(each, image_id) for each in read])
    above, below = of_training(album, image_id, row), of_val(album, image_id, row)
    draw(out, above, below, {value: album.names.get(value, str(value)) for value in sorted(album.seen)})


def first_shown(album: Album) -> str:
    """The id of the first training image that has one label, and of which each step erases ENOUGH."""
    ids = album.dataset.ids(album.experiment.data.train)
    for image_id, labels in zip(ids, album.dataset.labels(ids)):
        if labels.sum() == 1:
            paths = (png(album.folder.regions(t), image_id) for t in range(1, album.merge + 1))
            if min(np.diff([0, *(np.mean(read_indexed(path) > 0) for path in paths)])) >= ENOUGH:
                return image_id
    raise InputError(f"{album.folder.path}: no image of one label loses {ENOUGH:.0%} in each step; name one with --id")


def masks_of(experiment: Experiment, row: str) -> Optional[str]:
    """The folder of the masks that the row's net learns from."""
    net = recipes.rows(experiment.mining.steps)[row].net
    return Graph(experiment).stages[f"segmentation.{net}"].paths.get("masks")


def of_training(album: Album, image_id: str, row: str) -> list[Picture]:
    """Pictures of the image, of the image erased by each step, and of the mask that the row's net learns from."""
    masks = masks_of(album.experiment, row) or album.dataset.mask_folder()  # the calibration's are the true ones
    left = [album.erased(image_id, t, f"erased by step {t}") for t in range(1, album.merge + 1)]
    return [album.image(image_id, "training image"), *left, album.mask(masks, image_id, "its mask S")]


def of_val(album: Album, image_id: str, row: str) -> list[Picture]:
    """Image, result and truth of the first image of val whose labels are most like the training image's."""
    ids, dataset = album.dataset.ids(album.experiment.data.val), album.dataset
    val_id = ids[np.abs(dataset.labels(ids, may_lack=True) - dataset.labels([image_id])).sum(axis=1).argmin()]
    result = album.mask(os.path.join(album.folder.segmented("val", row), "crf"), val_id, f"{row}, with CRF")
    return [album.image(val_id, "image of val"), result, album.truth(val_id)]


def draw(out: str, above: Sequence[Picture], below: Sequence[Picture], names: Mapping[int, str]) -> None:
    """Write two rows of Pictures as a PNG, masks in VOC's palette, IGNORE in white.

    names: {mask value: its name}, of the legend. Raises InputError for a picture that the run does not have.
    """
    pictures = [*above, *below]
    lacking = [each.title for each in pictures if each.pixels is None]
    if lacking:
        raise InputError(f"{out}: the run has no picture {lacking[0]!r} any more; type its command again")
    colours = palette()
    colours[IGNORE] = 255
    columns = max(len(above), len(below) + 1)
    figure = Figure(figsize=(columns * INCHES, 2 * INCHES + 0.5), dpi=100)
    space = dict(left=0.005, right=0.995, bottom=0.01, top=0.93, wspace=0.04, hspace=0.16)
    grid = figure.subplots(2, columns, gridspec_kw=space)
    for axes, (title, pixels, *_) in zip([*grid[0][: len(above)], *grid[1]], pictures):
        assert pixels is not None
        axes.imshow(colours[pixels] if pixels.ndim == 2 else pixels, interpolation="nearest")
        axes.set_title(title, fontsize=11, pad=4)
    for axes in grid.flat:
        axes.set_anchor("N")
        axes.set_axis_off()
    legend = [Patch(fc=colours[v] / 255, ec="black", label=drawn_name(name, v)) for v, name in names.items()]
    grid[1][len(below)].legend(handles=legend, loc="center left", frameon=False, fontsize=11)
    with written_whole(out) as beside:
        figure.savefig(beside, metadata={"Software": None})


def drawn_name(name: str, value: int) -> str:
    """A class name for matplotlib, which reads $ as mathematics and hides a leading _; 'class 7' without its glyphs."""
    font = get_font(findfont("DejaVu Sans"))
    if not all(font.get_char_index(ord(letter)) for letter in name):
        return f"class {value}"
    return " " * name.startswith("_") + name.replace("$", r"\$")


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, places=lambda asked: places.of_run(asked.experiment.name))
    parser.add_argument("experiment", type=of_run, help="an experiment whose run is finished")
    parser.add_argument("--out", required=True, metavar="FILE", help="the picture, .png")
    parser.add_argument("--id", dest="image_id", help="a training image; without it one of which each step erases much")
    parser.add_argument("--row", default="psl", help="the row of tables 3 and 4 to draw (psl)")
    parser.add_argument("--data", default=os.environ.get("DATA") or None, help="a folder in VOC layout")
    run(**vars(parser.parse_args(argv)))
