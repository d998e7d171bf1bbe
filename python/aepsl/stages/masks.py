"""Training masks S from mined regions F and background B (section 3.1)."""

import os

import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.data.dataset import IGNORE, Dataset, in_folder, shard
from aepsl.data.mask_files import wrong_size
from aepsl.data.regions import read, unpacked
from aepsl.images import decoding
from aepsl.images.pictures import read_grey, write_mask
from aepsl.store.result import Made, begin, has


def run(experiment, data, regions, saliency, out, part=None, word=None):
    """Write the mask S of every training image to `out`, a PNG with VOC's palette.

    regions: folder of mine, its regions merged from as many steps as wanted; saliency: folder of 8-bit maps
    ID.png, 255 for 1; part: 'k/n' makes only that share of the masks; word: see aepsl.store.result.
    """
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    own = shard(ids, part)
    begin(out, word, ["*.png"], part and set(own))
    values = np.array(dataset.values[1:], np.uint8)
    for image_id, row in zip(tqdm(own, unit="image", desc=out, disable=None), dataset.labels(own)):
        path = os.path.join(out, image_id + ".png")
        if has(path):
            continue
        classes = np.flatnonzero(row)
        B = background(experiment, dataset, row, saliency, image_id)
        F = unpacked(read(os.path.join(regions, image_id + ".png"), len(classes)), len(classes))
        if B.shape != F.shape[1:]:
            size = decoding.header(dataset.image_path(image_id)).size[::-1]
            folder, shape = (regions, F.shape[1:]) if B.shape == size else (saliency, B.shape)
            raise wrong_size(os.path.join(folder, image_id + ".png"), shape, size)
        write_mask(path, mask(F, values[classes], B))
    return Made(in_folder(out, own))


def background(experiment, dataset, labels, saliency, image_id):
    """B as H x W booleans: where the map ID.png of the folder `saliency` is below the threshold.

    labels: the image's, one for each of the data set's classes: any indoor one makes it an indoor scene.
    """
    settings = experiment.background
    indoor = [name in settings.indoor_classes for name in dataset.classes]
    threshold = settings.indoor_threshold if any(labels[indoor]) else settings.threshold
    return read_grey(os.path.join(saliency, image_id + ".png")) < threshold * 255


def mask(F, values, B):
    """S as H x W uint8: values[k] in F[k] alone, 0 in B alone, 255 elsewhere.

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


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data shard")
    parser.add_argument("--regions", required=True, help="folder of mined regions")
    parser.add_argument("--saliency", required=True, help="folder of saliency maps")
    parser.add_argument("--out", required=True, help="folder for the masks")
    run(**vars(parser.parse_args(argv)))
