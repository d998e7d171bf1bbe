"""Training masks S from mined regions F and background B (section 3.1)."""

from collections.abc import Iterable
from typing import Optional

import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.data.dataset import IGNORE, Dataset, in_folder, png
from aepsl.data.lists import shard
from aepsl.data.mask_files import check_shape
from aepsl.data.regions import read, unpacked
from aepsl.images import decoding
from aepsl.images.pictures import read_grey, write_mask
from aepsl.settings.typed import Experiment
from aepsl.store.result import Made, begin, has


def run(
    experiment: Experiment,
    data: str,
    regions: str,
    saliency: str,
    out: str,
    part: Optional[str] = None,
    word: Optional[str] = None,
) -> Made:
    """Write the mask S of every training image to `out`, a PNG with VOC's palette.

    regions: folder of `mine` for the last of the steps that S merges; saliency: folder of 8-bit maps ID.png, 255 for
    1; part: 'k/n' makes only that share of the masks; word: see aepsl.store.result.
    """
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    own = shard(ids, part)
    begin(out, word, ["*.png"], part and set(own))
    values = np.array(dataset.values[1:], np.uint8)
    for image_id, row in zip(tqdm(own, unit="image", desc=out, disable=None), dataset.labels(own)):
        path = png(out, image_id)
        if has(path):
            continue
        classes = np.flatnonzero(row)
        B = background(experiment, dataset, row, saliency, image_id)
        F = unpacked(read(png(regions, image_id), len(classes)), len(classes))
        if B.shape != F.shape[1:]:
            size = decoding.header(dataset.image_path(image_id)).size[::-1]
            check_shape(png(saliency, image_id), B.shape, size)
            check_shape(png(regions, image_id), F.shape[1:], size)
        write_mask(path, mask(F, values[classes], B))
    return Made(in_folder(out, own))


def background(
    experiment: Experiment, dataset: Dataset, labels: np.ndarray, saliency: str, image_id: str
) -> np.ndarray:
    """B as H x W booleans: True where the map ID.png of the folder `saliency` is below the threshold.

    labels: 0 or 1 for each of the data set's classes; an image with an indoor class has the indoor threshold.
    """
    settings = experiment.background
    indoor = [name in settings.indoor_classes for name in dataset.classes]
    threshold = settings.indoor_threshold if any(labels[indoor]) else settings.threshold
    return read_grey(png(saliency, image_id)) < threshold * 255


def mask(F: np.ndarray, values: Iterable[int], B: np.ndarray) -> np.ndarray:
    """S as H x W uint8: values[k] where only F[k] is, 0 where only B is, 255 (ignored) elsewhere.

    F: N x H x W booleans, one region for each of the image's labels; B: H x W booleans. Ignored are pixels in the
    regions of two labels, pixels in a region and in B, and pixels in neither.
    """
    S = np.full(B.shape, IGNORE, np.uint8)
    S[B] = 0
    for region, value in zip(F, values):
        S[region] = value
    S[F.sum(axis=0) > 1] = IGNORE
    S[F.any(axis=0) & B] = IGNORE
    return S


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "experiment data saliency out shard")
    parser.add_argument("--regions", required=True, help="folder of mined regions")
    run(**vars(parser.parse_args(argv)))
