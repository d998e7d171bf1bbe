"""One step of adversarial erasing: CAM, threshold, merge with the regions erased before (algorithm 1).

Regions are 16-bit PNGs of the image's size, one for an image: bit k of a pixel says
that it was mined for the image's k-th label, in this step or an earlier one; 0 is not erased.

Of the few images that the report shows, the maps are kept too, in heat/: 8-bit PNGs, 255 for a map's maximum.
"""

import os
import sys

import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base import doors
from aepsl.data.dataset import Dataset, in_folder, shard
from aepsl.data.regions import packed, read
from aepsl.images.pictures import read_indexed, write_grey
from aepsl.nets.whole_image import ClassificationNet
from aepsl.store.result import Made, begin, has

SHOWN = 6  # images
MOST_ERASED_FIRST, MOST_ERASED = 0.4, 0.7  # beyond these shares of an image little object is left to find


def run(experiment, data, model, out, before=None, part=None, gpu=None, word=None):
    """Write the regions mined from every training image, merged with those of the folder `before`, to `out`.

    experiment: settings; data: root of the data set; model: caffemodel of this step's classification net;
    part: 'k/n' mines only that share of the images; word: see aepsl.store.result.
    """
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    net = ClassificationNet(experiment, model, gpu)
    own = shard(ids, part)
    begin(out, word, ["*.png", "heat/*.png"], part and set(own))
    keep = [image_id for image_id in shown(experiment, ids) if image_id in set(own)]
    shares = mined_shares(experiment, dataset, own, net, out, keep, before)
    shares = list(tqdm(shares, total=len(own), unit="image", desc=out, disable=None))
    if shares:  # none where there are fewer images than shares of them
        _tell(out, np.mean(shares), MOST_ERASED if before else MOST_ERASED_FIRST)
    return Made(in_folder(out, own), in_folder(os.path.join(out, "heat"), keep))


def _tell(out, share, most):
    """Print the share of the images that is erased, and warn where it is too much."""
    print(f"{out}: {share:.0%} of the images is erased so far")
    if share > most:
        line = f"more than {most:.0%} is erased, so the later steps find little but background; make mining.threshold"
        print(f"warning: {out}: {line} in experiment.yaml stricter", file=sys.stderr)


def mined_shares(experiment, dataset, ids, net, out, keep, before=None):
    """Mine the images `ids` into `out`, keeping the maps of those in `keep`; yields the erased share of each."""
    for image_id, row in zip(ids, dataset.labels(ids)):
        path, kept = (os.path.join(folder, image_id + ".png") for folder in (out, os.path.join(out, "heat")))
        is_there = has(path)
        is_kept = image_id not in keep or has(kept)
        regions = read_indexed(path) if is_there else None
        if not (is_there and is_kept):
            erased = read(os.path.join(before, image_id + ".png"), int(row.sum())) if before else None
            maps = net.cam(dataset.image(image_id), np.flatnonzero(row), erased, image_id)
            if not is_kept:
                write_grey(kept, heat(maps))
            if not is_there:
                regions = packed(mined(maps, experiment.mining.threshold))
                regions = regions if erased is None else regions | erased
                write_grey(path, regions)
        yield np.count_nonzero(regions) / regions.size


def shown(experiment, ids):
    """The SHOWN training images of which the report shows everything: drawn with its seed."""
    chosen = np.random.RandomState(experiment.seed.report).permutation(len(ids))[:SHOWN]
    return [ids[k] for k in sorted(chosen)]


def heat(maps):
    """N x H x W maps as one, H x W uint8: the largest of their labels', each in shares of its own maximum."""
    highest = np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
    return np.round(255 * np.clip(maps / highest, 0, 1).max(axis=0)).astype(np.uint8)


def mined(maps, threshold):
    """The mined region of each map: N x H x W booleans.

    threshold: {rule: its value}, as {'of_max': 0.2}; the rules are the files of aepsl.erasing. Nothing is mined where
    the maximum is not positive. Raises InputError for a rule that is none.
    """
    ((rule, value),) = threshold.items()
    bound = doors.load(doors.ERASING, rule).bound(maps, value)
    highest = maps.max(axis=(1, 2), keepdims=True)
    return (maps > bound) & (highest > 0)


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data shard gpu")
    parser.add_argument("--model", required=True, help="caffemodel of this step's classification net")
    parser.add_argument("--out", required=True, help="folder for the regions")
    parser.add_argument("--before", help="folder of the regions of the step before")
    run(**vars(parser.parse_args(argv)))
