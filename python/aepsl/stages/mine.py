"""One step of adversarial erasing: CAM, threshold, merge with the regions erased before (algorithm 1).

Regions are 16-bit PNGs of the image's size, one for an image: bit k of a pixel is set if it was mined for the image's
k-th label, in this step or an earlier one; 0 is not erased.

heat/ has the maps of the few images that the report shows: 8-bit PNGs, 255 for a map's maximum.
"""

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base import doors
from aepsl.data import check
from aepsl.data.dataset import Dataset, in_folder, png
from aepsl.data.lists import shard
from aepsl.data.regions import packed, read
from aepsl.images.pictures import read_indexed, write_grey
from aepsl.nets.whole_image import ClassificationNet
from aepsl.settings.typed import Experiment
from aepsl.store.result import Made, begin, has

SHOWN = 6  # images
MOST_ERASED_FIRST, MOST_ERASED = 0.4, 0.7  # beyond these shares of an image little of the objects is left to find


def run(
    experiment: Experiment,
    data: str,
    model: str,
    out: str,
    before: Optional[str] = None,
    part: Optional[str] = None,
    gpu: Optional[list[int]] = None,
    word: Optional[str] = None,
) -> Made:
    """Write the regions mined from every training image, merged with those of the folder `before`, to `out`.

    experiment: settings; data: root of the data set; model: caffemodel of this step's classification net;
    part: 'k/n' mines only that share of the images; word: see aepsl.store.result.
    """
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    own = shard(ids, part)
    check.by_hand(dataset, own, word)
    net = ClassificationNet(experiment, model, gpu)
    begin(out, word, ["*.png", "heat/*.png"], part and set(own))
    keep = [image_id for image_id in shown(experiment, ids) if image_id in set(own)]
    mining = mined_shares(experiment, dataset, own, net, out, keep, before)
    shares = list(tqdm(mining, total=len(own), unit="image", desc=out, disable=None))
    if shares:  # empty if there are fewer images than shards
        share, most = np.mean(shares), MOST_ERASED if before else MOST_ERASED_FIRST
        print(f"{out}: {share:.0%} of the images is erased so far")
        if share > most:
            line = f"more than {most:.0%} is erased, so the later steps find little but background"
            print(f"warning: {out}: {line}; make mining.threshold in experiment.yaml stricter", file=sys.stderr)
    return Made(in_folder(out, own), in_folder(os.path.join(out, "heat"), keep))


def mined_shares(
    experiment: Experiment,
    dataset: Dataset,
    ids: Sequence[str],
    net: ClassificationNet,
    out: str,
    keep: Collection[str],
    before: Optional[str] = None,
) -> Iterator[float]:
    """Mine the images `ids` into `out`, write the maps of the images `keep`, and yield each image's erased share."""
    for image_id, row in zip(ids, dataset.labels(ids)):
        path, kept = (png(folder, image_id) for folder in (out, os.path.join(out, "heat")))
        is_there = has(path)
        is_kept = image_id not in keep or has(kept)
        regions: Any = read_indexed(path) if is_there else None
        if not (is_there and is_kept):
            erased = read(png(before, image_id), int(row.sum())) if before else None
            maps = net.cam(dataset.image(image_id), np.flatnonzero(row), erased, image_id)
            if not is_kept:
                write_grey(kept, heat(maps))
            if not is_there:
                regions = packed(mined(maps, experiment.mining.threshold))
                regions = regions if erased is None else regions | erased
                write_grey(path, regions)
        yield np.count_nonzero(regions) / regions.size


def shown(experiment: Experiment, ids: Sequence[str]) -> list[str]:
    """The SHOWN training images that the report shows in full, drawn with `seed.report`."""
    chosen = np.random.RandomState(experiment.seed.report).permutation(len(ids))[:SHOWN]
    return [ids[k] for k in sorted(chosen)]


def heat(maps: np.ndarray) -> np.ndarray:
    """The maximum over N x H x W maps, each divided by its own maximum, as H x W uint8: 255 for 1."""
    highest = np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
    return np.round(255 * np.clip(maps / highest, 0, 1).max(axis=0)).astype(np.uint8)


def mined(maps: np.ndarray, threshold: Mapping[str, Any]) -> np.ndarray:
    """The mined region of each map: N x H x W booleans.

    threshold: {rule: its value}, as {'of_max': 0.2}; the rules are the files of aepsl.erasing. Nothing is mined from a
    map whose maximum is not positive. Raises InputError for an unknown rule.
    """
    ((rule, value),) = threshold.items()
    bound = doors.load(doors.ERASING, rule).bound(maps, value)
    highest = maps.max(axis=(1, 2), keepdims=True)
    return (maps > bound) & (highest > 0)


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "experiment data model out shard gpu")
    parser.add_argument("--before", help="folder of the regions of the step before")
    run(**vars(parser.parse_args(argv)))
