"""How good the background cue is, and the masks made with it: against the true masks of the training images."""

import os
from collections import Counter

import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import check_place, write_json
from aepsl.data.dataset import IGNORE, Dataset
from aepsl.images.pictures import read_indexed
from aepsl.saliency.drfi.measures import Cue
from aepsl.stages.masks import background
from aepsl.store.result import Made


def counted(S, truth):
    """Numbers of pixels of one image, for `shares`. S: H x W mask; truth: as Cue has it."""
    found = dict(labelled=np.count_nonzero(S != IGNORE), pixels=S.size)
    if truth is not None:
        found.update(wrong=np.count_nonzero((truth != S) & (S != IGNORE) & (truth != IGNORE)))
        found.update(known=np.count_nonzero(truth != IGNORE))
    return found


def shares(counts):
    """Of all pixels of S 'labelled' and 'ignored'; of those whose truth is known 'wrong', labelled otherwise than that.

    Each in 0 ... 1; counts: a Counter of all images' pixels. Without 'wrong' where no image had a mask.
    """
    labelled = counts["labelled"] / counts["pixels"]
    result = dict(labelled=labelled, ignored=1 - labelled)
    return dict(result, wrong=counts["wrong"] / counts["known"]) if counts["known"] else result


def run(experiment, data, saliency, masks, out):
    """Compare the background and the mask S of every training image with its true mask; write the JSON file `out`.

    saliency: folder of maps; masks: folder of masks made with them. `out` holds {"cue": Cue's shares at the
    experiment's thresholds, "masks": `shares`}.
    """
    check_place(out)
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    cue, counts = Cue(), Counter()
    for image_id, row in zip(tqdm(ids, unit="image", desc=out, disable=None), dataset.labels(ids)):
        B = background(experiment, dataset, row, saliency, image_id)
        truth = dataset.truth(image_id, B.shape, os.path.join(saliency, image_id + ".png"))
        cue.add(B, truth)
        S = read_indexed(os.path.join(masks, image_id + ".png"))
        if S.shape != B.shape:
            raise InputError(f"{masks}/{image_id}.png: does not have its map's size; delete it and make it anew")
        counts.update(counted(S, truth))
    write_json(out, dict(cue=cue.shares(), masks=shares(counts)))
    return Made([out])


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data")
    parser.add_argument("--saliency", required=True, help="folder of saliency maps")
    parser.add_argument("--masks", required=True, help="folder of the masks made with them")
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON file to write")
    run(**vars(parser.parse_args(argv)))
