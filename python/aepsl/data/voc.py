"""The paper's data set, VOC 2012 with SBD's masks, in this project's layout.

OUT/VOC2012, OUT/SBD, OUT/VOC2012test     unpacked by scripts/get_{voc,sbd,voc_test}.sh; or folders elsewhere
OUT/JPEGImages/ID.jpg                     links to VOC's images
OUT/SegmentationClassAug/ID.png           links to VOC's masks; for images with a mask only in SBD, PNGs made from it
OUT/ImageSets/Segmentation/LIST.txt       train, val, train_aug; test, if its images are there
OUT/image_labels.txt                      from VOC's XML; written last, when all else is complete

VOC's and SBD's folders are only read. Lists and labels are compared with those in the table of sources.
"""

import argparse
import collections
import hashlib
import os
from typing import Optional
from xml.etree import ElementTree

import numpy as np
import scipy.io
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import make_folder, read_bytes, read_text, write_text
from aepsl.base.locks import only_one
from aepsl.base.parallel import in_threads
from aepsl.data import source_table
from aepsl.data.dataset import LISTS, VOC_CLASSES, png
from aepsl.data.lists import read_list
from aepsl.images import decoding
from aepsl.images.pictures import write_mask


def run(
    out: str,
    voc: Optional[str] = None,
    sbd: Optional[str] = None,
    test: Optional[str] = None,
    sources: Optional[str] = None,
) -> None:
    """Make the data set `out`, or its missing files if an earlier start was interrupted.

    voc: a folder VOC2012 (JPEGImages, Annotations, SegmentationClass, ImageSets/Segmentation), with
    SegmentationClassAug if there is no sbd; sbd: SBD's folder `dataset` (cls, train.txt, val.txt); test: a folder
    VOC2012 of the test images; None for the folders in `out`. sources: the table of sources, None for the usual one.
    Raises InputError for lists or labels that are not as expected, and for a missing file, before it writes anything.
    """
    voc, sbd, unpacked_test = _sources(out, voc, sbd, test)
    test = test or next((each for each in (unpacked_test, voc) if os.path.exists(_list(each, "test"))), None)
    expected = source_table.load(sources).get("expected", {})
    remedy = f"{voc} or {sbd} is not as released; scripts/get_voc.sh and scripts/get_sbd.sh fetch and unpack them"

    lists = _lists(voc, sbd, test)
    _compare_lists(out, lists, expected.get("lists", {}), remedy)
    ids = sorted(set(lists["train_aug"]) | set(lists["val"]))
    labels = {image_id: _names(voc, image_id) for image_id in tqdm(ids, "labels", unit="image", disable=None)}
    _compare_labels(out, lists, labels, expected.get("labels", {}), remedy)
    images = {image_id: os.path.join(voc, "JPEGImages", image_id + ".jpg") for image_id in ids}
    images.update({i: os.path.join(test or "", "JPEGImages", i + ".jpg") for i in lists.get("test", ())})
    masks = {image_id: _mask(voc, sbd, image_id) for image_id in ids}
    for path in [*images.values(), *masks.values()]:
        if not os.path.exists(path):
            raise InputError(f"{path}: no such file; {remedy}")

    make_folder(out)
    with only_one(out):
        _fill(out, images, masks)
        for name, members in lists.items():
            _write(_list(out, name), members)
        _write(os.path.join(out, "image_labels.txt"), (" ".join([each, *labels[each]]) for each in ids))


def _fill(out, images, masks):
    """Link or convert the files {id: path} of images and masks that are not there yet."""
    for image_id, path in images.items():
        _link(path, os.path.join(out, "JPEGImages", image_id + ".jpg"))
    to_convert = []
    for image_id, path in masks.items():
        target = png(os.path.join(out, "SegmentationClassAug"), image_id)
        if path.endswith(".png"):
            _link(path, target)
        elif os.path.islink(target) or not os.path.exists(target):
            to_convert.append((path, images[image_id], target))
    in_threads(_convert, to_convert, what="masks")


def places(asked: argparse.Namespace) -> dict:
    """{option: folders or files that the command reads or writes}; VOC's and SBD's may be in OUT too (aepsl.places)."""
    parts = ("JPEGImages", "SegmentationClassAug", LISTS, "image_labels.txt")
    found = dict(zip(("voc", "sbd", "test"), _sources(asked.out, asked.voc, asked.sbd, asked.test)))
    return dict(found, out=[os.path.join(asked.out, part) for part in parts])


def _sources(out, *given):
    """The folders of VOC, SBD and VOC's test images: those given, or those that the scripts unpack."""
    return [each or os.path.join(out, name) for each, name in zip(given, ("VOC2012", "SBD", "VOC2012test"))]


def _list(root, name):
    return os.path.join(root, LISTS, name + ".txt")


def _lists(voc, sbd, test):
    """{name: sorted ids}; train_aug is VOC's train and all of SBD, without VOC's val."""
    if not os.path.isdir(voc):
        raise InputError(f"{voc}: no such folder; run scripts/get_voc.sh, or name your folder VOC2012 with --voc")
    paths = dict(train=_list(voc, "train"), val=_list(voc, "val"), **(dict(test=_list(test, "test")) if test else {}))
    lists = {name: read_list(path).ids for name, path in paths.items()}
    augmented = os.path.join(voc, "SegmentationClassAug")
    if os.path.isdir(sbd):
        more = [i for name in ("train.txt", "val.txt") for i in read_list(os.path.join(sbd, name)).ids]
    elif os.path.isdir(augmented):
        more = [name[: -len(".png")] for name in os.listdir(augmented) if name.endswith(".png")]
    else:
        raise InputError(f"{sbd}: no such folder; run scripts/get_sbd.sh, or name SBD's folder `dataset` with --sbd")
    lists["train_aug"] = {*lists["train"], *more} - set(lists["val"])
    return {name: sorted(ids) for name, ids in lists.items()}


def _names(voc, image_id):
    """The classes of an image's objects in VOC's XML, 'difficult' ones too, in VOC's order."""
    path = os.path.join(voc, "Annotations", image_id + ".xml")
    try:
        root = ElementTree.fromstring(read_bytes(path), ElementTree.XMLParser(target=_Plain()))
        names = {thing.findtext("name") or "nothing" for thing in root.findall("object")}
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:  # LookupError: an encoding that is none
        raise InputError(f"{path}: cannot be read as XML ({error}); unpack VOC's archive again") from None
    if (unknown := names.difference(VOC_CLASSES)) or not names:
        raise InputError(f"{path}: names {unknown.pop() if unknown else 'no object'}; unpack VOC's archive again")
    return [name for name in VOC_CLASSES if name in names]


class _Plain(ElementTree.TreeBuilder):
    """Refuses what VOC's files do not have, in any encoding: a type, whose few entities can stand for gigabytes."""

    def doctype(self, *_):
        raise ValueError("it defines a type, which may have entities")


def _mask(voc, sbd, image_id):
    """The file of an image's mask: VOC's own if it has one, else SegmentationClassAug's, else SBD's."""
    own = (png(os.path.join(voc, folder), image_id) for folder in ("SegmentationClass", "SegmentationClassAug"))
    return next(filter(os.path.exists, own), os.path.join(sbd, "cls", image_id + ".mat"))


def _convert(path, image, target):
    """Write one of SBD's MATLAB masks as a PNG with VOC's palette, after checking it against its image."""
    try:
        mask = scipy.io.loadmat(path, variable_names=["GTcls"])["GTcls"][0, 0]["Segmentation"]
    except Exception:  # scipy raises errors of any kind for damaged bytes
        raise InputError(f"{path}: holds no GTcls.Segmentation; unpack SBD's archive again") from None
    if mask.shape != decoding.header(image).size[::-1] or mask.dtype != np.uint8 or mask.max() > len(VOC_CLASSES):
        raise InputError(f"{path}: is not a mask of {image}; unpack SBD's archive again")
    write_mask(target, mask)


def _link(path, target):
    """Make `target` a link to `path`: a relative one within a data set, so that it can be moved."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(target)))
    path = os.path.abspath(path)
    text = os.path.relpath(path, os.path.dirname(target)) if path.startswith(root + os.sep) else path
    if os.path.islink(target) and os.readlink(target) == text:
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.lexists(target):
        os.unlink(target)
    os.symlink(text, target)


def _compare_lists(out, lists, expected, remedy):
    for name in filter(expected.get, lists):
        facts = expected[name]
        if len(lists[name]) != facts["images"]:
            raise InputError(f"{out}: {name} would have {len(lists[name]):,} images, not {facts['images']:,}; {remedy}")
        found = hashlib.sha256(_text(lists[name]).encode()).hexdigest()
        if found != facts.get("sha256", found):
            raise InputError(f"{out}: {name} would have the right number of images, but not the right ones; {remedy}")


def _compare_labels(out, lists, labels, expected, remedy):
    for name, facts in expected.items():
        rows = [labels[image_id] for image_id in lists[name]]
        named = "the label {}".format
        found = collections.Counter(what for row in rows for what in (f"{len(row)} labels", *map(named, row)))
        known = [*(f"{n} labels" for n, _ in enumerate(facts["by_number"], 1)), *map(named, VOC_CLASSES)]
        for what, n in zip(known, facts["by_number"] + facts["by_class"]):
            if found[what] != n:
                raise InputError(f"{out}: {name} would have {found[what]:,} images with {what}, not {n:,}; {remedy}")


def _write(path, lines):
    """Write a text file, unless it has this text already, so that another start changes nothing."""
    text = _text(lines)
    if read_text(path) != text:
        write_text(path, text)


def _text(lines):
    return "".join(line + "\n" for line in lines)


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, places=places)
    parser.add_argument("--out", required=True, help="the data set")
    parser.add_argument("--voc", help="folder VOC2012 with images, XML, masks and lists (OUT/VOC2012)")
    parser.add_argument("--sbd", help="SBD's folder `dataset` (OUT/SBD); not needed with VOC2012/SegmentationClassAug")
    parser.add_argument("--test", help="folder VOC2012 with the test images and their list (OUT/VOC2012test, if there)")
    source_table.add_option(parser)
    parser.add_argument("--check", action="store_true", help="only check that VOC is a folder, and no output an input")
    asked = vars(parser.parse_args(argv))
    if not asked.pop("check"):
        run(**asked)
    elif asked["voc"] and not os.path.isdir(asked["voc"]):
        raise InputError(f"{asked['voc']}: no such folder; name your folder VOC2012")
