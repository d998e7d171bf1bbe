"""Trains DRFI, the paper's detector of salient objects, and compares detectors with masks."""

from collections.abc import Callable
from typing import Any, Optional

import cv2
import numpy as np
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import check_place
from aepsl.saliency.detectors import rbd
from aepsl.saliency.drfi import measures, train
from aepsl.saliency.drfi.model import MODEL, load
from aepsl.saliency.drfi.photos import Photos
from aepsl.saliency.maps import read_map

LEAST_AUC = 0.6  # of a model that is written


def run_train(images: str, masks: str, list_path: str, out: str, test: Optional[str], seed: int, workers: int) -> None:
    """Train on the photos of a list, write the model `out`, print its measures on them, and on the list `test`."""
    check_place(out)
    photos = Photos(images, masks, list_path)
    held_out: Any = Photos(images, masks, test) if test else None
    both = set(photos.ids).intersection(held_out.ids if test else ())
    if both:
        raise InputError(f"{test}: names {min(both)}, as {list_path} does; test on photos that were not trained on")
    model, found = train.trained(photos, seed, workers)
    if found["AUC"] < LEAST_AUC:
        line = f"AUC is {found['AUC']:.2f} on photos that a tree did not see; by chance it is 0.50"
        raise InputError(f"{list_path}: {line}; give more photos, or look whether the masks are of these photos")
    model.save(out)
    rows = {"trained on": found}
    if test:
        rows["held out"] = compared(held_out, lambda k: load(out).saliency(held_out.image(k)))
    print(measures.table(rows).text())


def run_evaluate(images: str, masks: str, list_path: str, model: str, maps: Optional[str]) -> None:
    """Print the measures of the maps of DRFI, of RBD, and of those in the folder `maps`, on the photos of a list."""
    photos, trained = Photos(images, masks, list_path), load(model)
    detectors = dict(drfi=lambda k: trained.saliency(photos.image(k)), rbd=lambda k: rbd.saliency(photos.image(k)))
    if maps:
        detectors["maps"] = lambda k: read_map(maps, photos.ids[k], photos.image(k).shape[1::-1])
        for k in range(len(photos)):
            detectors["maps"](k)
    print(measures.table({name: compared(photos, detector) for name, detector in detectors.items()}).text())


def compared(photos: Photos, detector: Callable[[int], np.ndarray]) -> Any:
    """Measures of the maps detector(k), one for each photo k."""
    found = measures.Measures()
    for k in tqdm(range(len(photos)), unit="image", disable=None):
        found.add(measures.grey(detector(k)), photos.is_object(k))
    return found.figures()


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("train", run_train), ("evaluate", run_evaluate)):
        command = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        command.set_defaults(call=run)
        command.add_argument("--images", required=True, metavar="DIR", help="photos, ID.jpg or ID.png")
        command.add_argument("--masks", required=True, metavar="DIR", help="ID.png: white is the object")
        command.add_argument("--list", dest="list_path", required=True, metavar="FILE", help="a list: one ID a line")
    train_, evaluate = commands.choices["train"], commands.choices["evaluate"]
    train_.add_argument("--test", metavar="FILE", help="a list of photos that are held out, to evaluate")
    train_.add_argument("--out", required=True, metavar="MODEL", help="the file to write")
    train_.add_argument("--seed", type=cli.number(0), default=1, help="seed of the trees (1)")
    train_.add_argument("--workers", type=cli.number(1, 256), default=1, help="threads (1), for the same model")
    evaluate.add_argument("--model", default=MODEL, help=f"the trained model ({MODEL})")
    evaluate.add_argument("--maps", metavar="DIR", help="a folder of others' maps, ID.png or ID.jpg")
    arguments = vars(parser.parse_args(argv))
    del arguments["command"]
    cv2.setNumThreads(1)
    arguments.pop("call")(**arguments)
