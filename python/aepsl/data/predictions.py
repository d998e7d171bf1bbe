"""Finds the predictions of other projects in a folder, by the ids of the images.

ID.png                                                     mmsegmentation's `test.py CONFIG MODEL --out DIR`, irn's
                                                           result/sem_seg
results/VOC2012/Segmentation/comp6_val_cls/ID.png          DeepLab's MATLAB scripts, VOC's server; below any folder
ID_blob_0.png                                              what was made of the blobs that DeepLab's Caffe writes
"""

import os

from aepsl.base.errors import InputError
from aepsl.data.lists import shown

BLOB = "_blob_0"  # DeepLab's MatWrite layer adds it to an id


def find(folder, ids):
    """The paths of the PNGs of `ids` in `folder` or below it, in their order.

    Raises InputError for a folder that has none of them, for ids without one, and for an id with two.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder of predictions; put it, or a link to it, into this repository")
    found = {}
    for top, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            stem, extension = os.path.splitext(file)
            if extension.lower() == ".png":
                image_id = stem[: -len(BLOB)] if stem.endswith(BLOB) else stem
                found.setdefault(image_id, []).append(os.path.join(top, file))
    missing = [image_id for image_id in ids if image_id not in found]
    if len(missing) == len(ids):
        raise InputError(f"{folder}: has no prediction of the {len(ids)} images; they are PNGs named {ids[0]}.png, ...")
    if missing:
        raise InputError(f"{folder}: has no predictions of {len(missing)} of {len(ids)} images: {shown(missing)}")
    for image_id in ids:
        if len(found[image_id]) > 1:
            raise InputError(f"{folder}: has {' and '.join(found[image_id][:2])}; name the folder of one of them")
    return [found[image_id][0] for image_id in ids]
