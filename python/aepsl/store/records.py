"""The record of a job, RUN/made/JOB.json, and its mark, RUN/done/JOB.json.

A job is a stage, or a share of a stage's images. Its mark says that it is done, its time and memory, and its value. Its
record holds the word, which identifies what the result was made of, the mark, the SHA-256 of every file, and the text
of small files. Each start checks all records before any job begins. A text that is damaged or missing is restored from
the record. Any other such file is deleted, and its job makes it again, from the same inputs and so with the same bytes.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from typing import Any, Optional

from aepsl.base.files import LEFTOVER, flush_all, read_text, write_json, write_text
from aepsl.store import digests
from aepsl.store.result import RECORD, Made, read

TEXTS = (".json", ".csv", ".prototxt", ".txt")
MOST_TEXT = 1 << 22  # bytes
NOTED = dict(word=str, mark=dict, results=list, texts=dict, files=dict)  # the keys of a record and their types
Record = dict[str, Any]


def path_of(run: str, job: str) -> str:
    return os.path.join(run, "made", job + ".json")


def mark_of(run: str, job: str) -> str:
    return os.path.join(run, "done", job + ".json")


def done(run: str, job: str, word: str, make: Callable[[], tuple[Made, dict[str, Any]]]) -> bool:
    """Have a job done by make(), which returns (Made, what it took); not if its record has the same word.

    Returns whether make() was called.
    """
    before = read_record(run, job)
    is_current = before is None or before["word"] == word  # else another share may have begun to replace the result
    if is_current and heal(run, job) == word:
        return False
    made, took = make()
    flush_all(run)  # the files are on the disk before the record names them
    keep(run, job, word, made, took, before)
    return True


def keep(run: str, job: str, word: str, made: Made, took: dict[str, Any], before: Optional[Record] = None) -> None:
    """Write record and mark. before: the last record. If the job made the same result, its mark of then is kept."""
    paths = [*made.results, *made.beside]
    names = [os.path.relpath(path, run) for path in paths]
    texts = {
        name: read_text(path)
        for name, path in zip(names, paths)
        if path.endswith(TEXTS) and os.path.getsize(path) < MOST_TEXT
    }
    results, files = names[: len(made.results)], dict(zip(names, digests.of(paths)))
    if before and before["word"] == word and all(before["files"].get(name) == files[name] for name in results):
        took = before["mark"]
    mark = dict(took, value=made.value)
    write_json(path_of(run, job), dict(word=word, mark=mark, results=results, texts=texts, files=files))
    write_json(mark_of(run, job), mark)


def contents(run: str, jobs: Iterable[str]) -> Optional[str]:
    """One SHA-256 of the results of several jobs, for any number of shares; None if a job has no record."""
    found: dict[str, str] = {}
    for record in (read_record(run, job) for job in jobs):
        if record is None:
            return None
        found.update({name: record["files"][name] for name in record["results"]})
    return digests.of_value(sorted(found.items()))


def read_record(run: str, job: str) -> Optional[Record]:
    """The record of a job; None if it is missing or damaged, or names files outside the run's folder."""
    record = read(path_of(run, job))
    if not isinstance(record, dict) or not all(isinstance(record.get(key), kind) for key, kind in NOTED.items()):
        return None
    named, strings = [*record["results"], *record["texts"]], [*record["files"].values(), *record["texts"].values()]
    is_known = all(isinstance(name, str) and name in record["files"] for name in named)
    is_inside = not any(os.path.isabs(name) or os.pardir in name.split(os.sep) for name in record["files"])
    is_ours = "value" in record["mark"] and all(isinstance(each, str) for each in strings)  # else of an earlier version
    return record if is_known and is_inside and is_ours else None


def word_of(run: str, job: str) -> Optional[str]:
    """The word of a job's record; None without a record. Whether its files are still there is not looked at."""
    record = read_record(run, job)
    return record["word"] if record else None


def read_mark(run: str, job: str) -> dict[str, Any]:
    """The mark of a job, as recorded; without a record, as its file has it. {} if that is missing or damaged."""
    record = read_record(run, job)
    mark = record["mark"] if record else read(mark_of(run, job))
    return mark if isinstance(mark, dict) else {}


def heal(run: str, job: str, dry: bool = False) -> Optional[str]:
    """Restore the texts of a job that are damaged or missing, delete its other damaged files, print a line for each.

    dry: print the lines alone. Returns the record's word; None where the result is not complete.
    """
    path, mark = path_of(run, job), mark_of(run, job)
    record = read_record(run, job)
    if record is None:
        if os.path.lexists(path) or os.path.lexists(mark):
            _say(f"{path}: is damaged or missing; its stage looks again whether all is there")
        _remove(path, dry)
        _remove(mark, dry)
        return None
    if _is_being_replaced(run, record):
        return None
    others = differing(run, record, record["files"])
    texts = [name for name in others if name in record["texts"]]
    faulty = [name for name in others if name not in record["texts"]]
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


def unmark(run: str, job: str) -> None:
    """Remove a job's mark: its result is not up to date."""
    _remove(mark_of(run, job))


def _is_being_replaced(run: str, record: Record) -> bool:
    """Whether a stage has begun to make the job's files for another word. Its new files must not be deleted."""
    names = [os.path.join(run, name) for name in record["texts"] if os.path.basename(name) == RECORD]
    known = [each for each in map(read, names) if isinstance(each, dict) and "word" in each]
    return any(each["word"] != record["word"] for each in known)


def differing(run: str, record: Record, names: Iterable[str]) -> list[str]:
    """Those of a record's files `names` whose SHA-256 is not the recorded one."""
    found = digests.of([os.path.join(run, name) for name in names])
    return [name for name, now in zip(names, found) if record["files"][name] != now]


def _told(run: str, names: list[str]) -> str:
    """'runs/x/masks/ae_step1: 3 files are damaged or missing', or the name of a single file."""
    if len(names) == 1:
        return f"{run}/{names[0]}: is damaged or missing"
    common = os.path.commonpath([os.path.dirname(name) for name in names])
    return f"{os.path.join(run, common).rstrip(os.sep)}: {len(names)} files are damaged or missing"


def remove_leftovers(run: str) -> None:
    """Remove the unfinished files of killed processes."""
    for folder, _, names in os.walk(run):
        for name in filter(LEFTOVER.search, names):
            _remove(os.path.join(folder, name))


def _remove(path: str, dry: bool = False) -> None:
    if dry or not os.path.lexists(path):
        return
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
