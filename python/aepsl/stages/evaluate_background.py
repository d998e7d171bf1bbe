"""Compares the background cue, and the masks made with it, with the true masks of the training images."""

from collections import Counter
from collections.abc import Mapping
from typing import Optional

import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.files import check_place, write_json
from aepsl.data.dataset import IGNORE, Dataset, png
from aepsl.data.mask_files import check_shape, check_values
from aepsl.images.pictures import read_indexed
from aepsl.saliency.drfi.measures import Cue
from aepsl.settings.typed import Experiment
from aepsl.stages.masks import background
from aepsl.store.result import Made


def counted(S: np.ndarray, truth: Optional[np.ndarray]) -> dict[str, int]:
    """Numbers of pixels of one image, for `shares`. S: H x W mask; truth: H x W mask, or None."""
    found = dict(labelled=np.count_nonzero(S != IGNORE), pixels=S.size)
    if truth is not None:
        found.update(wrong=np.count_nonzero((truth != S) & (S != IGNORE) & (truth != IGNORE)))
        found.update(known=np.count_nonzero(truth != IGNORE))
    return found


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """'labelled' and 'ignored': shares of all pixels of S; 'wrong': of those with a true label, wrongly labelled.

    Each in 0 ... 1; counts: a Counter of all images' pixels. Without 'wrong' where no image had a true mask.
    """
    labelled = counts["labelled"] / counts["pixels"]
    result = dict(labelled=labelled, ignored=1 - labelled)
    return dict(result, wrong=counts["wrong"] / counts["known"]) if counts["known"] else result


def run(experiment: Experiment, data: str, saliency: str, masks: str, out: str) -> Made:
    """Compare the background and the mask S of every training image with its true mask; write the JSON file `out`.

    saliency: folder of maps; masks: folder of masks made with them. `out` holds {"cue": Cue's shares at the
    experiment's thresholds, "masks": `shares`}.
    """
    check_place(out)
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    cue = Cue()
    counts: Counter[str] = Counter()
    for image_id, row in zip(tqdm(ids, unit="image", desc=out, disable=None), dataset.labels(ids)):
        B = background(experiment, dataset, row, saliency, image_id)
        truth = dataset.truth(image_id, B.shape, png(saliency, image_id))
        cue.add(B, truth)
        path = png(masks, image_id)
        S = read_indexed(path)
        check_shape(path, S.shape, B.shape)
        check_values(path, np.unique(S), [*dataset.values, IGNORE])
        counts.update(counted(S, truth))
    write_json(out, dict(cue=cue.shares(), masks=shares(counts)))
    return Made([out])


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "experiment data saliency")
    parser.add_argument("--masks", required=True, help="folder of the masks made with them")
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON file to write")
    run(**vars(parser.parse_args(argv)))
