"""Recall and precision of the mined regions, against the true masks."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.files import check_place, write_json
from aepsl.data.dataset import IGNORE, Dataset, png
from aepsl.data.regions import read, unpacked
from aepsl.nets.whole_image import ClassificationNet
from aepsl.settings.typed import Choice, Experiment
from aepsl.stages.mine import mined
from aepsl.store.result import Made


def counted(F: np.ndarray, values: Sequence[int], truth: Optional[np.ndarray]) -> dict[str, int]:
    """Numbers of pixels of one image, for `shares`.

    F: N x H x W booleans, the regions of the N classes with the mask values `values`; truth: H x W mask, or None.
    """
    found = dict(erased=np.count_nonzero(F.any(axis=0)), pixels=F[0].size)
    if truth is not None:
        is_object = truth == np.array(values)[:, None, None]
        found.update(mined=np.count_nonzero(F & (truth != IGNORE)), found=np.count_nonzero(F & is_object))
        found.update(objects=np.count_nonzero(is_object))
    return found


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """'recall': the share of the objects' pixels that were mined for their class; 'precision': the share of the mined
    pixels that are of their class; 'erased': the share of all pixels that were mined. Each in 0 ... 1.

    counts: a Counter of all images' pixels. Only 'erased' where no image had a true mask.
    """
    result = dict(erased=counts["erased"] / counts["pixels"])
    if counts["objects"]:
        result.update(recall=counts["found"] / counts["objects"])
        result.update(precision=counts["found"] / max(1, counts["mined"]))
    return result


def run(
    experiment: Experiment,
    data: str,
    out: str,
    regions: Optional[str] = None,
    model: Optional[str] = None,
    gpu: Optional[list[int]] = None,
) -> Made:
    """Compare regions of every training image with its true mask and write the JSON file `out`.

    regions: folder of mined regions; `out` then holds their shares (see `shares`). Or model: caffemodel of a
    classification net of step 1; `out` then holds a list of [threshold, shares] for each threshold of
    `mining.sensitivity`. Of the nets, only the calibration's learns from these true masks.
    """
    check_place(out)
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    thresholds: Sequence[Choice] = [Choice()] if regions else experiment.mining.sensitivity
    net: Any = ClassificationNet(experiment, model, gpu) if model else None
    counts: list[Counter[str]] = [Counter() for _ in thresholds]
    for image_id, row in zip(tqdm(ids, unit="image", desc=out, disable=None), dataset.labels(ids)):
        classes = np.flatnonzero(row)
        if regions:
            path = png(regions, image_id)
            all_F = [unpacked(read(path, len(classes)), len(classes))]
        else:
            maps = net.cam(dataset.image(image_id), classes, name=image_id)
            all_F = [mined(maps, threshold) for threshold in thresholds]
        truth = dataset.truth(image_id, all_F[0].shape[1:], path if regions else "")
        for count, F in zip(counts, all_F):
            count.update(counted(F, [dataset.values[c + 1] for c in classes], truth))
    write_json(out, shares(counts[0]) if regions else list(zip(thresholds, map(shares, counts))))
    return Made([out])


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "experiment data gpu")
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON file to write")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--regions", help="folder of mined regions")
    source.add_argument("--model", help="classification net of step 1, to try the thresholds of mining.sensitivity")
    run(**vars(parser.parse_args(argv)))
