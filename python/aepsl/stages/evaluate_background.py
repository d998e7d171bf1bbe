"""How good the background cue is, and the masks made with it: against the true masks of the training images."""

import os

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


class MaskTally:
    """Counts over all images of S: 'labelled' and 'ignored', and 'wrong', labelled otherwise than the truth is.

    Each a share of all pixels, 0 ... 1; 'wrong' of those whose truth is known.
    """

    def __init__(self):
        self.labelled = self.pixels = self.wrong = self.known = 0

    def add(self, S, truth):
        """S: H x W mask; truth: as Cue has it."""
        self.labelled += np.count_nonzero(S != IGNORE)
        self.pixels += S.size
        if truth is not None:
            self.wrong += np.count_nonzero((truth != S) & (S != IGNORE) & (truth != IGNORE))
            self.known += np.count_nonzero(truth != IGNORE)

    def shares(self):
        """Without 'wrong' where no image had a mask."""
        shares = dict(labelled=self.labelled / self.pixels, ignored=1 - self.labelled / self.pixels)
        if self.known:
            shares.update(wrong=self.wrong / self.known)
        return shares


def run(experiment, data, saliency, masks, out):
    """Compare the background and the mask S of every training image with its true mask; write the JSON file `out`.

    saliency: folder of maps; masks: folder of masks made with them. `out` holds {"cue": Cue's shares at the
    experiment's thresholds, "masks": MaskTally's}.
    """
    check_place(out)
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    cue, labels = Cue(), MaskTally()
    for image_id, row in zip(tqdm(ids, unit="image", desc=out, disable=None), dataset.labels(ids)):
        B = background(experiment, dataset, row, saliency, image_id)
        truth = dataset.truth(image_id, B.shape)
        cue.add(B, truth)
        S = read_indexed(os.path.join(masks, image_id + ".png"))
        if S.shape != B.shape:
            raise InputError(f"{masks}/{image_id}.png: does not have its map's size; delete it and make it anew")
        labels.add(S, truth)
    write_json(out, dict(cue=cue.shares(), masks=labels.shares()))
    return Made([out])


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data")
    parser.add_argument("--saliency", required=True, help="folder of saliency maps")
    parser.add_argument("--masks", required=True, help="folder of the masks made with them")
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON file to write")
    run(**vars(parser.parse_args(argv)))
