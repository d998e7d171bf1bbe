"""Background cues: a saliency map for each image, low where the background is (section 3.1 of the paper).

The paper thresholds the maps of DRFI, which were never published. The maps are those of a folder of precomputed maps
(aepsl.saliency.maps), or are computed by a detector of aepsl.saliency.detectors.

    OUT/ID.png   8-bit grey, the image's size: saliency = value / 255
"""

from typing import Optional

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base import doors
from aepsl.data.dataset import Dataset, in_folder, png
from aepsl.data.lists import shard
from aepsl.images.pictures import write_grey
from aepsl.saliency import maps as user_maps
from aepsl.store.result import Made, begin, has


def run(
    data: str,
    list_name: str,
    out: str,
    detector: str = "rbd",
    maps: Optional[str] = None,
    part: Optional[str] = None,
    word: Optional[str] = None,
) -> Made:
    """Write `out`/ID.png for the images of a list of the data set `data`.

    list_name: 'train_aug', or the path of a list; maps: a folder with ID.png or ID.jpg, grey, each of its image's size,
    on any scale: each map is brought to [0, 1] by its own minimum and maximum. None: `detector` makes the maps.
    part: 'k/n' makes only that share; word: see aepsl.store.result. One process works on one core.
    Raises InputError before the first map is written if an image or a map is missing, broken or of another size, and
    for an unknown detector.
    """
    dataset = Dataset(data)
    ids = dataset.ids(list_name)
    own = shard(ids, part)
    dataset.check(own)
    if maps:  # a run's start has looked at all of them together
        draw = user_maps.maps(maps, dataset, own, together=word is None)
    else:
        draw = doors.load(doors.DETECTORS, detector).maps(dataset, own)
    begin(out, word, ["*.png"], part and set(own))
    cv2.setNumThreads(1)
    for image_id in tqdm(own, unit="image", desc=out, disable=None):
        path = png(out, image_id)
        if not has(path):
            write_grey(path, np.rint(draw(image_id) * 255).astype(np.uint8))
    return Made(in_folder(out, own))


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, "data list out shard")
    source = parser.add_mutually_exclusive_group()
    detectors = doors.names(doors.DETECTORS)
    source.add_argument("--detector", choices=detectors, default="rbd", help="what makes the maps (rbd)")
    source.add_argument("--maps", help="folder of precomputed maps, ID.png or ID.jpg")
    run(**vars(parser.parse_args(argv)))
