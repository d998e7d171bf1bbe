"""What a result is made of: the only rule for whether it is still valid.

A stage names everything that its result depends on: settings, and the contents of its inputs. That stands in
made_of.json beside the result. Asked again for a result of the same, a stage keeps what is there and makes what is
missing; what was made of anything else goes first. Neither paths nor times count.

The Snakefile gives the same settings and contents to snakemake as `params`, so that it starts only stages that have
something to do, and depends on marks: small files that hold what a stage has made, compared by content. aepsl.healing
keeps beside each mark what every single file held, and sees at the next start that they still do.
"""

import contextlib
import fcntl
import glob
import json
import os
import sys
from typing import Any, NamedTuple

from aepsl import digests, healing, run_folder
from aepsl.errors import InputError
from aepsl.files import check_place, flush_all, make_folder, read_text, write_json, write_text

RECORD = "made_of.json"

# The settings of experiment.yaml that a kind of stage depends on, beside its net.
_IMAGES = ("data.scale", "data.mean")
_TRAINING = ("seed", "threads", "data.crop", *_IMAGES)
_THRESHOLDS = ("background.threshold", "background.indoor_threshold", "background.indoor_classes")
SETTINGS = {
    "check": (),
    "maps": (),
    "saliency": ("background.detector",),
    "surgery": (),
    "fc6_fc7": _TRAINING,
    "classification": (*_TRAINING, "training.classification"),
    "segmentation": (*_TRAINING, "training.segmentation"),
    "psl": (*_TRAINING, "training.psl"),
    "mine": (*_IMAGES, "mining.threshold"),
    "shares": (),
    "thresholds": (*_IMAGES, "mining.sensitivity"),
    "masks": _THRESHOLDS,
    "background": _THRESHOLDS,
    "segment": (*_IMAGES, "psl.prohibited", "crf"),
    "results": ("seed", "rows", "mining.steps", "mining.merge", "mining.max_converged_loss"),
}


def settings_of(experiment, kind):
    """{key: value} of the experiment's settings that the results of a kind of stage depend on."""
    settings = {}
    for key in SETTINGS[kind]:
        settings[key] = experiment
        for part in key.split("."):
            settings[key] = settings[key][part]
    return settings


class Figures(NamedTuple):
    """What a stage leaves in its mark itself, a JSON value, and the files that it wrote."""

    contents: Any
    files: list


class Result:
    """The folder `path`, or the file of that name, as a stage makes it of `made_of`.

    made_of: a JSON value; files: patterns of what the stage writes into the folder; is_locked: whether the caller keeps
    others out of it. Raises InputError for a folder with
    such files that has no record of what they were made of: they are not ours to remove.
    """

    def __init__(self, path, made_of, files=(), is_locked=False):
        self.path = path
        self.files, self.others = [], []
        self.made = 0
        self.made_of = json.dumps(made_of, indent=1, sort_keys=True) + "\n"
        self.folder = path if files else os.path.dirname(path) or "."
        self.record = os.path.join(path, RECORD) if files else f"{os.path.splitext(path)[0]}.{RECORD}"
        patterns = [os.path.join(glob.escape(path), each) for each in files] or [glob.escape(path)]
        if not files:
            check_place(path)
        make_folder(self.folder)
        # Shards of one folder begin at the same time; a file has none, and the folder around it may be the run's, which
        # `aepsl run` holds.
        with _locked(self.folder) if files and not is_locked else contextlib.nullcontext():
            known = read_text(self.record)
            if known != self.made_of:
                self._clear(patterns, known)
                write_text(self.record, self.made_of)

    def _clear(self, patterns, known):
        old = [path for pattern in patterns for path in glob.glob(pattern) if path != self.record]
        models = [path for path in old if os.path.basename(path) == run_folder.MODEL]
        if old and known is None and (models or not run_folder.is_in_a_run(self.path)):
            raise InputError(
                f"{(models or old)[0]}: nothing says what it was made of ({self.record} is missing); remove it, "
                "or name another folder"
            )
        if old and not healing.is_json(self.record):
            _say(f"{self.path}: nothing says what it was made of; made again")
        for path in old:
            os.unlink(path)

    def has(self, *names):
        """Whether all of these files of the result are there, whole; in any case they belong to it from here on."""
        paths = [os.path.join(self.path, name) for name in names] or [self.path]
        self.files += paths
        return self._are_there(paths)

    def has_beside(self, *names):
        """`has` for files that lie with the result and do not count as its contents: paths may stand in them."""
        paths = [os.path.join(self.path, name) for name in names]
        self.others += paths
        return self._are_there(paths)

    def _are_there(self, paths):
        faults = [path for path in paths if not healing.is_whole(path)]
        for path in filter(os.path.exists, faults):
            _say(f"{path}: is damaged; made again")
        self.made += bool(faults)
        return not faults

    def contents(self):
        """What was made, for a mark: {"files": how many, "sha256": of all}."""
        names = [os.path.relpath(path, self.path) for path in self.files]
        return dict(files=len(names), sha256=digests.together(self.files, names))


def mark(path, contents, took):
    """Write the mark `path` of a stage that is done, and what it took, unless it had nothing to do.

    contents: a Result, or Figures; took: {"seconds": ..., "commit": ...}, see cli.run_stage. What was made is on the
    disk before anything says so.
    """
    had_nothing_to_do = isinstance(contents, Result) and not contents.made
    run = os.path.dirname(os.path.dirname(path))
    costs = os.path.join(run, "seconds", os.path.basename(path))
    if isinstance(contents, Result):
        flush_all(contents.folder)
        value, files = contents.contents(), [contents.record, *contents.files, *contents.others]
    else:
        value, files = contents
    if had_nothing_to_do:
        print(f"{contents.path}: is there already, made of the same")
    stage = os.path.basename(path)[: -len(".json")]
    if not (had_nothing_to_do or healing.vouches(run, stage, value)) or not os.path.exists(costs):
        write_json(costs, took)
    healing.vouch(run, stage, value, [*files, costs])
    write_json(path, value)


def _say(line):
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _locked(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
