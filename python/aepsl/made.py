"""What a result is made of: the only rule for whether it is still valid.

A stage names everything that its result depends on: settings, and the contents of its inputs. That stands in
made_of.json beside the result. Asked again for a result of the same, a stage keeps what is there and makes what is
missing; what was made of anything else goes first. Neither paths nor times count.

The Snakefile gives the same settings and contents to snakemake as `params`, so that it starts only stages that have
something to do, and depends on marks: small files that hold what a stage has made, compared by content.
"""

import contextlib
import fcntl
import glob
import json
import os

from aepsl import digests
from aepsl.errors import InputError
from aepsl.files import read_text, write_json, write_text

RECORD = "made_of.json"

# The settings of experiment.yaml that a kind of stage depends on, beside its net.
_IMAGES = ("data.scale", "data.mean")
_TRAINING = ("seed", "threads", "data.crop", *_IMAGES)
SETTINGS = {
    "check": (),
    "saliency": (),
    "surgery": (),
    "classification": (*_TRAINING, "training.classification"),
    "segmentation": (*_TRAINING, "training.segmentation"),
    "psl": (*_TRAINING, "training.psl"),
    "mine": (*_IMAGES, "mining.threshold"),
    "shares": (),
    "thresholds": (*_IMAGES, "mining.sensitivity"),
    "masks": ("background",),
    "segment": (*_IMAGES, "psl.prohibited", "crf"),
    "results": ("rows", "mining.steps", "mining.max_converged_loss"),
}


def settings_of(experiment, kind):
    """{key: value} of the experiment's settings that the results of a kind of stage depend on."""
    settings = {}
    for key in SETTINGS[kind]:
        settings[key] = experiment
        for part in key.split("."):
            settings[key] = settings[key][part]
    return settings


class Result:
    """The folder `path`, or the file of that name, as a stage makes it of `made_of`.

    made_of: a JSON value; files: patterns of what the stage writes into the folder. Raises InputError for a folder with
    such files that has no record of what they were made of: they are not ours to remove.
    """

    def __init__(self, path, made_of, files=()):
        self.path = path
        self.files = []
        self.made = 0
        self.made_of = json.dumps(made_of, indent=1, sort_keys=True) + "\n"
        folder = path if files else os.path.dirname(path)
        record = os.path.join(path, RECORD) if files else f"{os.path.splitext(path)[0]}.{RECORD}"
        patterns = [os.path.join(glob.escape(path), each) for each in files] or [glob.escape(path)]
        os.makedirs(folder, exist_ok=True)
        with _locked(folder):  # shards of one folder begin at the same time
            if read_text(record) != self.made_of:
                self._clear(patterns, record)
                write_text(record, self.made_of)

    def _clear(self, patterns, record):
        old = [path for pattern in patterns for path in glob.glob(pattern) if path != record]
        if old and not os.path.exists(record):
            raise InputError(
                f"{old[0]}: nothing says what it was made of ({record} is missing); remove it, or name another folder"
            )
        for path in old:
            os.unlink(path)

    def has(self, *names):
        """Whether all of these files of the result are there, whole; in any case they belong to it from here on."""
        paths = [os.path.join(self.path, name) for name in names] or [self.path]
        self.files += paths
        is_there = all(map(_is_whole, paths))
        self.made += not is_there
        return is_there

    def contents(self):
        """What was made, for a mark: {"files": how many, "sha256": of all}."""
        names = [os.path.relpath(path, self.path) for path in self.files]
        return dict(files=len(names), sha256=digests.together(self.files, names))


def mark(path, contents, seconds, peak_mib):
    """Write the mark `path` of a stage that is done, and what it took, unless it had nothing to do.

    contents: a Result, or a JSON value that a stage leaves in its mark itself.
    """
    had_nothing_to_do = isinstance(contents, Result) and not contents.made
    took = os.path.join(os.path.dirname(os.path.dirname(path)), "seconds", os.path.basename(path))
    if had_nothing_to_do:
        print(f"{contents.path}: is there already, made of the same")
    if not (had_nothing_to_do and os.path.exists(took)):
        write_json(took, dict(seconds=round(seconds, 1), peak_mib=round(peak_mib)))
    write_json(path, contents.contents() if isinstance(contents, Result) else contents)


def _is_whole(path):
    """Is the file there, a PNG to its last chunk? After a power cut, a renamed file can still be short."""
    try:
        with open(path, "rb") as file:
            if not path.endswith(".png"):
                return bool(file.read(1))
            file.seek(-8, os.SEEK_END)
            return file.read(4) == b"IEND"
    except OSError:
        return False


@contextlib.contextmanager
def _locked(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
