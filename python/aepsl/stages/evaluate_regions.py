"""How much of the objects the mined regions cover, and how much else."""

import os

import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.files import check_place, write_json
from aepsl.data.dataset import IGNORE, Dataset
from aepsl.data.regions import read, unpacked
from aepsl.nets.whole_image import ClassificationNet
from aepsl.stages.mine import mined
from aepsl.store.result import Made


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


def run(experiment, data, out, regions=None, model=None, gpu=None):
    """Compare regions of every training image with its true mask and write the JSON file `out`.

    regions: folder of mined regions; `out` then holds their shares (see Tally). Or model: caffemodel of a
    classification net of step 1; `out` then holds a list of [threshold, shares], what the net would have mined with
    each of the experiment's `mining.sensitivity`. Of the nets, only the calibration's learns from these masks.
    """
    check_place(out)
    dataset = Dataset(data, experiment.classes)
    ids = dataset.ids(experiment.data.train)
    source = _Regions(regions) if regions else _Thresholds(experiment, model, gpu)
    tallies = [Tally() for _ in source.names]
    for image_id, row in zip(tqdm(ids, unit="image", desc=out, disable=None), dataset.labels(ids)):
        classes = np.flatnonzero(row)
        values = [dataset.values[c + 1] for c in classes]
        all_F = source.regions(dataset, image_id, classes)
        truth = dataset.truth(image_id, all_F[0].shape[1:])
        for tally, F in zip(tallies, all_F):
            tally.add(F, values, truth)
    shares = [tally.shares() for tally in tallies]
    write_json(out, shares[0] if regions else list(zip(source.names, shares)))
    return Made([out])


class _Regions:
    """The regions of a folder."""

    names = (None,)

    def __init__(self, folder):
        self.folder = folder

    def regions(self, dataset, image_id, classes):
        return [unpacked(read(os.path.join(self.folder, image_id + ".png"), len(classes)), len(classes))]


class _Thresholds:
    """What a net would mine with several thresholds."""

    def __init__(self, experiment, model, gpu):
        self.names = experiment.mining.sensitivity
        self.net = ClassificationNet(experiment, model, gpu)

    def regions(self, dataset, image_id, classes):
        maps = self.net.cam(dataset.image(image_id), classes, name=image_id)
        return [mined(maps, threshold) for threshold in self.names]


def main(argv=None):
    parser = cli.parser(__doc__, "experiment data gpu")
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON file to write")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--regions", help="folder of mined regions")
    source.add_argument("--model", help="classification net of step 1, to try the thresholds of mining.sensitivity")
    run(**vars(parser.parse_args(argv)))
