"""What finished stages have made, file by file, and what is done about files that no longer hold it.

RUN/made/STAGE.json keeps the contents of the mark, the SHA-256 of every file, and the text of small ones. A start looks
at all of it before any stage begins: a text that is damaged or missing is put back; any other such file goes, and with
it the mark, so that the stage makes it again, of the same and so with the same bytes.
"""

import glob
import json
import os
import shutil
import sys
from typing import NamedTuple

from aepsl.base.files import LEFTOVER, opened, read_text, write_json, write_text
from aepsl.store import digests

FOLDER = "made"
TEXTS = (".json", ".csv", ".prototxt", ".txt")
MOST_TEXT = 1 << 22  # bytes
DATA = "data"  # the record of the data that a run draws itself


def vouch(run, stage, mark, paths):
    """Keep what the files `paths` hold now, for the stage of the run's folder `run`; mark: what its mark holds."""
    texts = [path for path in paths if path.endswith(TEXTS) and os.path.getsize(path) < MOST_TEXT]
    others = [path for path in paths if path not in set(texts)]
    name = lambda path: os.path.relpath(path, run)  # noqa: E731
    record = dict(
        mark=mark,
        texts={name(path): read_text(path) for path in texts},
        files=dict(zip(map(name, others), digests.of(others))),
    )
    write_json(_record(run, stage), record)


def vouches(run, stage, mark):
    """Whether the stage left the same mark before."""
    record = _read(_record(run, stage))
    return record is not None and record["mark"] == mark


def vouch_for_data(run, data):
    """Keep what the data set holds that the run has drawn, unless that is kept already."""
    if _read(_record(run, DATA)) is None:
        paths = [os.path.join(folder, name) for folder, _, names in os.walk(data) for name in sorted(names)]
        vouch(run, DATA, None, [f"{data}.made_of.json", *paths])


class Health(NamedTuple):
    """again: marks, from the run's folder, of the stages to be done again; said: a line for each fault."""

    again: list
    said: list


def heal(run, dry=False, has_use_for=lambda stage: True):
    """Put right what is damaged or missing of what finished stages have made in the run's folder, and say so.

    dry: only say so; has_use_for: tells by a stage's name whether to look at it. Returns the marks (as paths from the
    run's folder) of the stages that must be done again.
    """
    health = Health([], [])
    if not dry:
        _remove_leftovers(run)
    stages = _stages(run, FOLDER) | _stages(run, "done") - {"check", "check.made_of"}
    for stage in sorted(filter(has_use_for, stages)):
        _heal_stage(run, stage, health, dry)
    check = os.path.join(run, "done", "check.json")
    if os.path.exists(check) and not is_json(check):
        health.said.append(f"{check}: is damaged; the data are checked again")
        _remove(check, dry)
    for line in health.said:
        print(line, file=sys.stderr, flush=True)
    return health.again


def _heal_stage(run, stage, health, dry):
    """Heal what one stage has made; adds to `health`."""
    path, mark = _record(run, stage), os.path.join(run, "done", stage + ".json")
    record = _read(path)
    if stage == DATA:
        _heal_data(run, record, health, dry)
        return
    if record is None or _is_stale(run, record):
        health.again.append(os.path.relpath(mark, run))
        if record is None:
            health.said.append(f"{path}: is damaged or missing; its stage looks again whether all is there")
        _remove(path, dry)
        return
    texts, faulty = _differing(run, record)
    if texts:
        health.said.append(f"{_told(run, texts)}; put back")
        for name in texts if not dry else []:
            write_text(os.path.join(run, name), record["texts"][name])
    if faulty:
        health.said.append(f"{_told(run, faulty)}; made again")
    for name in faulty:
        _remove(os.path.join(run, name), dry)
    if faulty or _json(mark) != record["mark"]:
        if not faulty:
            health.said.append(f"{mark}: is damaged or missing; its stage looks again whether all is there")
        _remove(mark, dry)
        health.again.append(os.path.relpath(mark, run))


def _heal_data(run, record, health, dry):
    """Remove the data that the run has drawn, to be drawn again, if any of them is damaged; adds to `health`."""
    if record is not None and _is_stale(run, record):
        _remove(_record(run, DATA), dry)
        return
    faulty = [os.path.join(FOLDER, DATA + ".json")] if record is None else sum(_differing(run, record), [])
    if faulty:
        health.said.append(f"{_told(run, faulty)}; the data are drawn again")
        _remove(_record(run, DATA), dry)
        if not dry:
            shutil.rmtree(os.path.join(run, "data"), ignore_errors=True)


def _differing(run, record):
    """(texts, other files) that are not as the record says."""
    texts = [name for name, text in record["texts"].items() if _text(os.path.join(run, name)) != text]
    files = list(record["files"])
    found = digests.of([os.path.join(run, name) for name in files])
    return texts, [name for name, value in zip(files, found) if value != record["files"][name]]


def _told(run, names):
    """'runs/x/masks/ae_step1: 3 files are damaged or missing', or the file's own name if it is one."""
    if len(names) == 1:
        return f"{run}/{names[0]}: is damaged or missing"
    common = os.path.commonpath([os.path.dirname(name) for name in names])
    return f"{os.path.join(run, common).rstrip(os.sep)}: {len(names)} files are damaged or missing"


def _is_stale(run, record):
    """Whether the stage has begun since then to make its result of something else."""
    for name, text in record["texts"].items():
        path = os.path.join(run, name)
        if name.endswith("made_of.json") and is_json(path) and read_text(path) != text:
            return True
    return False


def _remove_leftovers(run):
    """Remove what killed processes had begun to write."""
    for folder, _, names in os.walk(run):
        for name in names:
            if LEFTOVER.search(name):
                _remove(os.path.join(folder, name))


def _remove(path, dry=False):
    if dry or not os.path.lexists(path):
        return
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _record(run, stage):
    return os.path.join(run, FOLDER, stage + ".json")


def _stages(run, folder):
    """The names of the stages that have a record, or a mark, in a folder of the run."""
    paths = glob.glob(os.path.join(glob.escape(run), folder, "*.json"))
    return {os.path.basename(path)[: -len(".json")] for path in paths if not LEFTOVER.search(path)}


def _read(path):
    """The record; None for one that is missing or damaged."""
    record = _json(path)
    is_record = isinstance(record, dict) and "mark" in record and all(map(_names, map(record.get, ("texts", "files"))))
    return record if is_record else None


def _names(part):
    """Whether it is a dict of texts by names of files, none of which leads out of the run's folder."""
    if not isinstance(part, dict) or not all(isinstance(value, str) for value in part.values()):
        return False
    return not any(os.path.isabs(name) or os.pardir in name.split(os.sep) for name in part)


def _json(path):
    try:
        return json.loads(read_text(path) or "")
    except (OSError, ValueError, RecursionError):
        return None


def _text(path):
    try:
        return read_text(path)
    except (OSError, ValueError):
        return None


def is_json(path):
    """Whether the file is there and holds JSON."""
    return _json(path) is not None


def is_whole(path):
    """Whether the file is there to its end, as far as its kind tells: PNG, JSON, caffemodel, solverstate."""
    try:
        if path.endswith(".json"):
            return is_json(path)
        with opened(path, "rb") as file:
            if path.endswith(".png"):
                file.seek(-8, os.SEEK_END)
                return file.read(4) == b"IEND"
            if path.endswith((".caffemodel", ".solverstate")):
                return is_message(file)
            return bool(file.read(1))
    except OSError:
        return False


def is_message(file):
    """Whether the file holds a message of protobuf, to its last field, and not nothing."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    while file.tell() < size:
        kind = _varint(file) & 7
        if kind == 0:
            _varint(file)
        elif kind == 2:
            file.seek(_varint(file), os.SEEK_CUR)
        elif kind in (1, 5):
            file.seek(8 if kind == 1 else 4, os.SEEK_CUR)
        else:
            return False
    return 0 < size == file.tell()


def _varint(file):
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise OSError("cut short")
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return value
