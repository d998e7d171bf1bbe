"""Finds the predictions of other projects by the images' ids, and converts those that are not PNGs.

ID.png               mmsegmentation's `test.py CONFIG MODEL --out DIR`, irn's result/sem_seg
results/VOC2012/Segmentation/comp6_val_cls/ID.png    DeepLab's MATLAB scripts, VOC's server; below any folder
ID_blob_0.png        made from the blobs that DeepLab's Caffe writes
ID_seg.png           OAA's eval.py
b'ID'.png            TensorFlow DeepLab's vis.py, in raw_segmentation_results
ID_blob_0.mat        DeepLab's layer MatWrite: scores W x H x K of the padded image, or classes W x H
ID.npy               deeplab-pytorch's `main.py test`: scores K x h x w of the net's cells; psa's --out_la_crf
results.tgz          an archive for VOC's server
results.pkl          mmsegmentation 0.x's `test.py --out results.pkl`: one mask an image, in the order of the list
"""

import collections
import os
import re
import tarfile
import zlib
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from aepsl.base.errors import InputError
from aepsl.base.files import write_bytes
from aepsl.data import masks_of_arrays
from aepsl.data.dataset import in_folder, png
from aepsl.data.lists import shown
from aepsl.data.mask_files import TRUTH, check_shape
from aepsl.data.masks_of_arrays import READERS, REMEDY
from aepsl.images import decoding
from aepsl.images.pictures import write_mask

NAMES = [re.compile(pattern) for pattern in (r"(.*)_blob_0", r"(.*)_seg", r"b'(.*)'", r'b"(.*)"')]
ARCHIVES = (".tgz", ".tar", ".gz")
KNOWN = {  # other files of these projects, which are not predictions: {end of the name: what it is, and the remedy}
    "_prediction.png": "TensorFlow DeepLab's pictures: its folder raw_segmentation_results has the masks",
    "logits.npy": "one file of all images, of an early deeplab-pytorch: take `main.py test` of a later one",
    ".bin": "DeepLab's binary blobs: take the .mat, or the PNGs that its MATLAB scripts make of them",
    ".pkl": "a pickle: name that file, not its folder",
    ".tgz": "an archive: name that file, not its folder",
    ".jpg": "pictures: JPEG cannot hold classes",
}


def find(source: str, ids: Sequence[str], truths: Sequence[str], values: Sequence[int], folder: str) -> list[str]:
    """The paths of the predictions of `ids` as PNGs, in their order; converted ones are written into `folder`.

    source: a folder, which is searched with all folders below it, an archive, or a pickle; truths: paths of the true
    masks, whose size a prediction must have; values: the K mask values of the classes, in the order of the channels of
    scores. Raises InputError for an id without a prediction or with two, and for a file with other content.
    """
    if os.path.isdir(source):
        found = _in_folder(source, ids)
    elif not os.path.exists(source):
        raise InputError(f"{source}: no such folder of predictions; put it, or a link to it, into this repository")
    elif source.lower().endswith(ARCHIVES):
        found = _in_archive(source, ids, truths, folder)
    elif source.lower().endswith((".pkl", ".pickle")):
        masks = masks_of_arrays.of_pickle(source, ids, [decoding.header(truth)[1::-1] for truth in truths])
        for path, mask in zip(in_folder(folder, ids), masks):
            write_mask(path, mask)
        return in_folder(folder, ids)
    else:
        raise InputError(f"{source}: is not a folder, .tgz or .pkl; {REMEDY}")
    paths = []
    for image_id, truth in zip(tqdm(ids, desc=source, unit="image", disable=None), truths):
        path = found[image_id]
        if not path.lower().endswith(".png"):
            mask = READERS[os.path.splitext(path)[1].lower()](path, decoding.header(truth)[1::-1], np.array(values))
            path = png(folder, image_id)
            write_mask(path, mask)
        paths.append(path)
    return paths


def _in_folder(folder, ids):
    """{id: path}; for an id with a PNG and another file, the PNG."""
    files = [os.path.join(top, file) for top, _, names in os.walk(folder) for file in names]
    found, wanted = {}, set(ids)
    for path in sorted(files):
        if image_id := _id_of(path, wanted):
            found.setdefault(image_id, []).append(path)
    _check_all(folder, ids, found, files)
    for image_id, paths in found.items():
        pngs = [path for path in paths if path.lower().endswith(".png")]
        if len(pngs or paths) > 1:
            raise InputError(f"{folder}: has {' and '.join((pngs or paths)[:2])}; name the folder of one of them")
        found[image_id] = (pngs or paths)[0]
    return found


def _id_of(path, ids):
    """The one of `ids` that the name of a file has, see NAMES; None for any other file."""
    stem, extension = os.path.splitext(os.path.basename(path))
    if extension.lower() not in (".png", *READERS):
        return None
    matches = (pattern.fullmatch(stem) for pattern in NAMES)
    names = [stem, *(match[1] for match in matches if match)]
    return next((name for name in names if name in ids), None)


def _check_all(source, ids, found, files):
    missing = [image_id for image_id in ids if image_id not in found]
    if len(missing) < len(ids) and missing:
        raise InputError(f"{source}: has no predictions of {len(missing)} of {len(ids)} images: {shown(missing)}")
    if missing:
        what = f"has no prediction of the {len(ids)} images {ids[0]}, ...; it has {_described(files)}"
        raise InputError(f"{source}: {what}; {REMEDY}")


def _described(files):
    """What the files are, in words: one of KNOWN, or else the number of files with each ending."""
    names = sorted(map(os.path.basename, files))
    known = [f"{name}, {what}" for ending, what in KNOWN.items() for name in names if name.lower().endswith(ending)]
    if known or not names:
        return known[0] if known else "no file"
    counts = collections.Counter(os.path.splitext(name)[1].lower() or "no ending" for name in names)
    parts = [f"{count} files with {ending}" for ending, count in counts.most_common(3)]
    return ", ".join([*parts, f"such as {names[0]}"])


def _in_archive(path, ids, truths, folder):
    """{id: path} of the PNGs of `ids` in a tar archive; only they are unpacked, into `folder`."""
    found, wanted, files = {}, set(ids), []
    try:
        with tarfile.open(path) as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                files.append(member.name)
                image_id = _id_of(member.name, wanted) if member.name.lower().endswith(".png") else None
                if image_id in found:
                    raise InputError(f"{path}: has {image_id} twice; unpack it and name the folder of one of them")
                if image_id:
                    found[image_id] = png(folder, image_id)
                    write_bytes(found[image_id], archive.extractfile(member).read(), flushed=False)
    except (tarfile.TarError, EOFError, zlib.error, OSError):
        raise InputError(f"{path}: is damaged or cut short, or not a tar archive; get it again") from None
    _check_all(path, ids, found, files)
    for image_id, truth in zip(ids, truths):
        ours, theirs = (decoding.header(each)[1::-1] for each in (found[image_id], truth))
        check_shape(f"{path}: {image_id}", ours, theirs, *TRUTH)
    return found
