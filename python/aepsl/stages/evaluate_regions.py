"""How much of the objects the mined regions cover, and how much else."""

import os

import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import write_json
from aepsl.data.dataset import IGNORE, Dataset, in_folder
from aepsl.data.regions import read, unpacked
from aepsl.images.pictures import read_indexed
from aepsl.nets import build
from aepsl.nets.whole_image import ClassificationNet
from aepsl.stages.mine import mined
from aepsl.store import digests
from aepsl.store.made import Result, settings_of


class Tally:
    """Counts over all images.

    'recall': the share of the objects' pixels that were mined for their class; 'precision': the share of the mined
    pixels that are of their class; 'erased': the share of all pixels that were mined. Each in 0 ... 1.
    """

    def __init__(self):
        self.mined = self.found = self.objects = self.erased = self.pixels = 0

    def add(self, F, values, truth):
        """F: N x H x W booleans, regions of the classes of mask value `values`; truth: H x W mask, or None."""
        self.erased += np.count_nonzero(F.any(axis=0))
        self.pixels += F[0].size
        if truth is not None:
            is_object = truth == np.array(values)[:, None, None]
            self.mined += np.count_nonzero(F & (truth != IGNORE))
            self.found += np.count_nonzero(F & is_object)
            self.objects += np.count_nonzero(is_object)

    def shares(self):
        """Only 'erased' where no image had a mask."""
        shares = dict(erased=self.erased / self.pixels)
        if self.objects:
            shares.update(recall=self.found / self.objects, precision=self.found / max(1, self.mined))
        return shares


def true_mask(folder, image_id, shape):
    """The mask ID.png of `folder`, or None where there is none: training images need none.

    Raises InputError for one that is not of `shape`, its image's.
    """
    path = os.path.join(folder or "", image_id + ".png")
    if folder is None or not os.path.exists(path):
        return None
    truth = read_indexed(path)
    if truth.shape != shape:
        raise InputError(f"{path}: does not have its image's size; mend it, or remove it: training needs no mask")
    return truth


def run(experiment, data, out, regions=None, model=None, gpu=None):
    """Compare regions of every training image with its true mask and write the JSON file `out`.

    regions: folder of mined regions; `out` then holds their shares (see Tally). Or model: caffemodel of a
    classification net of step 1; `out` then holds a list of [threshold, shares], what the net would have mined with
    each of the experiment's `mining.sensitivity`. Of the nets, only the calibration's learns from these masks.
    """
    dataset = Dataset(data, experiment["classes"])
    ids = dataset.ids(experiment["data"]["train"])
    source = _Regions(regions) if regions else _Thresholds(experiment, model, gpu)
    contents = dataset.contents(ids, "labels", "masks", *(["images"] if model else []))
    result = Result(out, dict(stage="evaluate-regions", **contents, **source.made_of(ids)))
    if result.has():
        return result
    truths = dataset.mask_folder()
    tallies = [Tally() for _ in source.names]
    for image_id, row in zip(tqdm(ids, unit="image", desc=out, disable=None), dataset.labels(ids)):
        classes = np.flatnonzero(row)
        values = [dataset.values[c + 1] for c in classes]
        all_F = source.regions(dataset, image_id, classes)
        truth = true_mask(truths, image_id, all_F[0].shape[1:])
        for tally, F in zip(tallies, all_F):
            tally.add(F, values, truth)
    shares = [tally.shares() for tally in tallies]
    write_json(out, shares[0] if regions else list(zip(source.names, shares)))
    return result


class _Regions:
    """The regions of a folder."""

    names = (None,)

    def __init__(self, folder):
        self.folder = folder

    def made_of(self, ids):
        return dict(regions=digests.together(in_folder(self.folder, ids), ids))

    def regions(self, dataset, image_id, classes):
        return [unpacked(read(os.path.join(self.folder, image_id + ".png"), len(classes)), len(classes))]


class _Thresholds:
    """What a net would mine with several thresholds."""

    def __init__(self, experiment, model, gpu):
        self.names = experiment["mining"]["sensitivity"]
        self.net = ClassificationNet(experiment, model, gpu)
        self.settings = dict(
            settings_of(experiment, "thresholds"),
            net=digests.of_value(build.deploy_net(experiment, "classification")),
            model=digests.of_file(model),
        )

    def made_of(self, ids):
        return self.settings

    def regions(self, dataset, image_id, classes):
        maps = self.net.cam(dataset.image(image_id), classes, name=image_id)
        return [mined(maps, threshold) for threshold in self.names]


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data gpu done")
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON file to write")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--regions", help="folder of mined regions")
    source.add_argument("--model", help="classification net of step 1, to try the thresholds of mining.sensitivity")
    cli.run_stage(run, parser.parse_args(argv))
