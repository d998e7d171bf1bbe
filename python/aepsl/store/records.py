"""What a job has made, file by file: RUN/made/JOB.json, and its mark, RUN/done/JOB.json.

A job is a stage, or a share of the images of one. Its mark says that it is done, what it took, and which value it gave.
Its record holds the word of what its result was made of, the mark, the SHA-256 of every file, and the text of small
ones. A start looks at all records before any job begins: a text that is damaged or missing is put back; any other such
file goes, and its job makes it again, of the same and so with the same bytes.
"""

import os
import shutil
import sys

from aepsl.base.files import LEFTOVER, flush_all, read_text, write_json, write_text
from aepsl.store import digests
from aepsl.store.result import RECORD, read

TEXTS = (".json", ".csv", ".prototxt", ".txt")
MOST_TEXT = 1 << 22  # bytes
NOTED = dict(word=str, mark=dict, results=list, texts=dict, files=dict)  # what a record holds


def path_of(run, job):
    return os.path.join(run, "made", job + ".json")


def mark_of(run, job):
    return os.path.join(run, "done", job + ".json")


def done(run, job, word, make):
    """Have a job done, by make() -> (Made, what it took), unless its record says that it was, of the same word.

    Returns whether there was something to do.
    """
    before = read_record(run, job)
    is_of_today = before is None or before["word"] == word  # else another share may have begun to replace what is there
    if is_of_today and heal(run, job) == word:
        return False
    made, took = make()
    flush_all(run)  # what was made is on the disk before anything says so
    keep(run, job, word, made, took, before)
    return True


def keep(run, job, word, made, took, before=None):
    """Write record and mark. before: the last record; what took its job stays where this one has only mended."""
    paths = [*made.results, *made.beside]
    names = [os.path.relpath(path, run) for path in paths]
    texts = {
        name: read_text(path)
        for name, path in zip(names, paths)
        if path.endswith(TEXTS) and os.path.getsize(path) < MOST_TEXT
    }
    results, files = names[: len(made.results)], dict(zip(names, digests.of(paths)))
    is_mended = before and before["word"] == word and all(before["files"].get(name) == files[name] for name in results)
    mark = dict(before["mark"] if is_mended else took, value=made.value)
    write_json(path_of(run, job), dict(word=word, mark=mark, results=results, texts=texts, files=files))
    write_json(mark_of(run, job), mark)


def contents(run, jobs):
    """One SHA-256 of the results of several jobs, however their images were shared; None if one has no record."""
    found = {}
    for record in (read_record(run, job) for job in jobs):
        if record is None:
            return None
        found.update({name: record["files"][name] for name in record["results"]})
    return digests.of_value(sorted(found.items()))


def read_record(run, job):
    """The record of a job; None for one that is missing or damaged, or names files that are not the run's."""
    record = read(path_of(run, job))
    if not isinstance(record, dict) or not all(isinstance(record.get(key), kind) for key, kind in NOTED.items()):
        return None
    named, strings = [*record["results"], *record["texts"]], [*record["files"].values(), *record["texts"].values()]
    is_known = all(isinstance(name, str) and name in record["files"] for name in named)
    is_inside = not any(os.path.isabs(name) or os.pardir in name.split(os.sep) for name in record["files"])
    is_ours = "value" in record["mark"] and all(isinstance(each, str) for each in strings)  # else of an earlier version
    return record if is_known and is_inside and is_ours else None


def read_mark(run, job):
    """What the mark of a job holds; {} for one that is missing or damaged."""
    mark = read(mark_of(run, job))
    return mark if isinstance(mark, dict) else {}


def heal(run, job, dry=False):
    """Put right what is damaged or missing of what a job has made, with a line for each fault; dry: the lines alone.

    Returns the word of what is there, None where some of it is missing now.
    """
    path, mark = path_of(run, job), mark_of(run, job)
    record = read_record(run, job)
    if record is None:
        if os.path.lexists(path) or os.path.lexists(mark):
            _say(f"{path}: is damaged or missing; its stage looks again whether all is there")
        _remove(path, dry)
        _remove(mark, dry)
        return None
    if _is_of_something_else(run, record):
        return None
    differing = _differing(run, record)
    texts = [name for name in differing if name in record["texts"]]
    faulty = [name for name in differing if name not in record["texts"]]
    if not faulty and read(mark) != record["mark"]:
        if os.path.lexists(mark):
            _say(f"{mark}: is damaged or missing; put back")
        _remove(mark, dry)
        if not dry:
            write_json(mark, record["mark"])
    for names, what in ((texts, "put back"), (faulty, "made again")):
        if names:
            _say(f"{_told(run, names)}; {what}")
        for name in names:
            _remove(os.path.join(run, name), dry)
    for name in texts if not dry else ():
        write_text(os.path.join(run, name), record["texts"][name])
    return None if faulty else record["word"]


def unmark(run, job):
    """Remove a job's mark: its result is not of what is there today."""
    _remove(mark_of(run, job))


def _is_of_something_else(run, record):
    """Whether a stage has begun to make the job's files of another word; what it has made so far stays."""
    names = [os.path.join(run, name) for name in record["texts"] if os.path.basename(name) == RECORD]
    known = [each for each in map(read, names) if isinstance(each, dict) and "word" in each]
    return any(each["word"] != record["word"] for each in known)


def differing(run, job):
    """The files that a job has made and that are not as its record says; none without a record."""
    record = read_record(run, job)
    return _differing(run, record) if record else []


def _differing(run, record):
    """The files of a record that are not as it says."""
    found = digests.of([os.path.join(run, name) for name in record["files"]])
    return [name for (name, value), now in zip(record["files"].items(), found) if value != now]


def _told(run, names):
    """'runs/x/masks/ae_step1: 3 files are damaged or missing', or the file's own name if it is one."""
    if len(names) == 1:
        return f"{run}/{names[0]}: is damaged or missing"
    common = os.path.commonpath([os.path.dirname(name) for name in names])
    return f"{os.path.join(run, common).rstrip(os.sep)}: {len(names)} files are damaged or missing"


def remove_leftovers(run):
    """Remove what killed processes had begun to write."""
    for folder, _, names in os.walk(run):
        for name in filter(LEFTOVER.search, names):
            _remove(os.path.join(folder, name))


def _remove(path, dry=False):
    if dry or not os.path.lexists(path):
        return
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _say(line):
    print(line, file=sys.stderr, flush=True)
