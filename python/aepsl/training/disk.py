"""Weights on a disk that may be full: Caffe would abort, or write half a file in silence."""

import os

from aepsl.base.files import check_room, no_room, opened, written_whole
from aepsl.training.observers import Observer


class Room(Observer):
    """Raises InputError before a step, every `epoch`-th, that writes a snapshot for which there is no room."""

    def __init__(self, folder, epoch):
        self.folder, self.epoch = folder, epoch

    def begin(self, solver):
        super().begin(solver)
        self.after(solver.iter)

    def after(self, iteration):
        if (iteration + 1) % self.epoch == 0:
            check_room_for(self.net, self.folder)


def check_room_for(net, folder):
    """Raise InputError unless a snapshot of the net has room in `folder`."""
    size = 4 * sum(blob.count for blobs in net.params.values() for blob in blobs)
    check_room(folder, 2 * size + (1 << 20))  # the solver's state is as large


def check_whole(path):
    """Raise InputError for weights that Caffe has just written, and that a full disk has cut short."""
    with opened(path, "rb") as file:
        is_whole = is_message(file)
    if not is_whole:
        raise no_room(os.path.dirname(path), os.path.getsize(path))


def save(net, path):
    """Write the net's weights, whole or not at all; InputError for a full disk."""
    check_room_for(net, os.path.dirname(path))
    with written_whole(path) as beside:
        net.save(beside)
        check_whole(beside)


def is_message(file):
    """Whether an open file holds a message of protobuf, to its last field, and not nothing."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        while file.tell() < size:
            kind = _varint(file) & 7
            if kind == 0:
                _varint(file)
            else:
                file.seek({1: 8, 2: None, 5: 4}[kind] or _varint(file), os.SEEK_CUR)
    except (KeyError, IndexError):  # a kind that is none, or the end within a number
        return False
    return 0 < size == file.tell()


def _varint(file):
    """The number that stands next, seven bits in each byte."""
    value = shift = 0
    while True:
        byte = file.read(1)[0]
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128 or shift > 63:
            return value
