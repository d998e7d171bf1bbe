"""How a command ends: with one line, whatever happens."""

import errno
import importlib
import inspect
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from aepsl import cli
from aepsl.base import commit, files
from aepsl.base.errors import InputError
from aepsl.graph import run_folder
from aepsl.graph.graph import Graph
from aepsl.images import decoding
from aepsl.run import checked, job
from aepsl.settings import experiments
from aepsl.stages import evaluate_regions
from aepsl.store import records
from aepsl.store.result import Made, begin

ENDS = "import sys; from aepsl import cli\ndef main():\n    {}\ncli.command(main)"


def ended(statement, **options):
    return subprocess.run(
        [sys.executable, "-c", ENDS.format(statement)], capture_output=True, text=True, timeout=60, **options
    )


@pytest.mark.parametrize(
    "statement, complaint",
    [
        ("raise ValueError('no\\nsuch thing')", "a fault of ours: ValueError: no such thing; the traceback is in "),
        ("raise OSError('of no file')", "a fault of ours: OSError: of no file; the traceback is in "),
        (
            f"raise OSError({errno.ENOSPC}, 'No space left on device')",
            "No space left on device for a result, or for what is",
        ),
        (f"raise OSError({errno.EIO}, 'Input/output error')", "Input/output error; look at the disk"),
        ("open('/no/such/folder', 'w')", "/no/such/folder: No such file or directory"),
        ("import nothing_of_that_name", "a library cannot be loaded: No module named"),
        ("raise MemoryError", "there is not enough memory"),
    ],
)
def test_whatever_is_raised_becomes_one_line(tmp_path, statement, complaint):
    (tmp_path / "runs").mkdir()
    done = ended(statement, cwd=tmp_path, env=dict(os.environ, PYTHONPATH=os.path.abspath("python")))
    assert done.returncode == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert complaint in done.stderr
    faults = list((tmp_path / "runs").iterdir())
    assert len(faults) == ("a fault of ours" in complaint)
    for path in faults:
        assert f"runs/{path.name}" in done.stderr and "Traceback" in path.read_text()


@pytest.mark.parametrize("under, line", [(False, "interrupted; type the same command again to continue\n"), (True, "")])
def test_an_interruption_is_one_line_of_whoever_was_started(under, line):
    environment = dict(os.environ, AEPSL_START="runs/x" * under)
    done = ended(f"import os; os.kill(os.getpid(), {signal.SIGINT:d})", env=environment)
    assert done.returncode == 130 and done.stderr == line


def test_a_closed_or_narrow_output_is_no_fault():
    for output, environment in (("stdout", {}), ("stdout", dict(PYTHONIOENCODING="ascii")), ("stderr", {})):
        close = "" if environment else f"import os; os.close({1 + (output == 'stderr')}); "
        code = f"import sys; sys.{output} = None" if close else "print(chr(0xDCFF), chr(0x732B))"
        done = ended(f"{close}{code}", env=dict(os.environ, **environment))
        assert done.returncode == 0 and done.stderr == ""


PLACES = {
    "a file": ("file", None),
    "new": ("new", None),
    "in a new folder": ("x/y/new", None),
    "a link to a file": ("link", None),
    "a folder": ("folder", "folder: cannot be a file"),
    "a folder's name": ("new/", "new/: cannot be a file"),
    "here": (".", "cannot be a file"),
    "below a file": ("file/x", "file/x: cannot be a file"),
    "a device": ("/dev/null", "/dev/null: cannot be a file"),
    "what a shell redirects": ("/dev/stdout", "/dev/stdout: cannot be a file"),
    "a pipe": ("pipe", "pipe: cannot be a file"),
    "not ours": ("shut/x/y", "shut/x/y: cannot be written"),
    "too long": ("x" * 300, "File name too long"),
    "too deep": ("x/" * 3000 + "x", "File name too long"),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_place_for_a_result_is_looked_at_before_the_work(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "shut").mkdir(0o500)
    os.mkfifo("pipe")
    path, complaint = PLACES[case]
    before = sorted(os.listdir())
    if complaint is None:
        files.check_place(path)
        files.write_text(path, "new")
        assert files.read_text(path) == "new"
        return
    stage = lambda path: evaluate_regions.run(None, "no data", path, regions="none")  # noqa: E731
    for call in (files.check_place, lambda path: files.write_text(path, "new"), stage):
        with pytest.raises((InputError, OSError)) as error:
            call(path)
        assert complaint in (str(error.value) if isinstance(error.value, InputError) else error_line(error.value))
    assert sorted(os.listdir()) == before and files.read_text("file") == "old"


@pytest.mark.parametrize("stage", ["evaluate_regions", "evaluate_background", "surgery", "submission"])
def test_a_stage_that_writes_a_file_looks_at_its_place_before_the_work(tmp_path, stage):
    run = importlib.import_module(f"aepsl.stages.{stage}").run
    needed = [p for p in inspect.signature(run).parameters.values() if p.default is p.empty]
    with pytest.raises(InputError, match="cannot be a file"):
        run(**dict({p.name: "nothing" for p in needed}, out=str(tmp_path)))


def test_the_command_knows_the_remedy(tmp_path, monkeypatch):
    """What low floors say is wrong, and the files that a run makes anew."""
    monkeypatch.chdir(tmp_path)
    user, run, stage = (decoding.unreadable(f"{folder}/a.png") for folder in ("data", "runs/demo/data", "runs/maps"))
    assert str(run) == "runs/demo/data/a.png: no such file; there is no folder runs/demo/data either; name another"
    for folder in ("data", "runs/demo/data", "runs/maps"):
        os.makedirs(folder)
    user, run, stage = (decoding.unreadable(f"{folder}/a.png") for folder in ("data", "runs/demo/data", "runs/maps"))
    for each in (run, stage):  # a folder of the user's in runs/
        assert cli.remedied(each).endswith("no such file; check the list of ids and the data folder")
    os.makedirs("runs/demo/made")
    files.write_text("runs/maps/made_of.json", "{}")
    again = "type the run's command again, which makes it anew"
    assert cli.remedied(stage) == f"runs/maps/a.png: no such file; {again}"
    assert cli.remedied(user) == "data/a.png: no such file; check the list of ids and the data folder"
    assert cli.remedied(run) == f"runs/demo/data/a.png: no such file; {again}"
    assert cli.remedied(pickle.loads(pickle.dumps(run))) == cli.remedied(run)  # it comes from other processes
    line = cli.remedied(files.no_room(".", 2e6))
    assert "2 MB are needed next and" in line and line.endswith(
        "MB are free; make room (`make reproduce-dry` says how much a run takes) and type the same command again"
    )
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    with pytest.raises(InputError) as error:
        files.check_place("x")
    line = "x: cannot be written; name a file in runs/, or mount its folder with WRITABLE="
    assert cli.remedied(error.value) == line


def test_a_stage_notes_the_commit_that_it_began_with(tmp_path, monkeypatch):
    code = iter(["before", "after"])
    monkeypatch.setattr(commit, "of_code", lambda: next(code))
    run = str(tmp_path)
    records.done(run, "check", "word", lambda: job._measured(lambda: Made([], value=dict(train=1))))
    took = records.read_mark(run, "check")
    assert took["commit"] == "before" and took["seconds"] >= 0
    assert took["value"] == dict(train=1)


def test_files_that_may_not_be_so_large_are_said_before_caffe_aborts(tmp_path, monkeypatch):
    files.check_room(str(tmp_path), 2000)
    monkeypatch.setattr(files.resource, "getrlimit", lambda what: (1000, 1000))
    files.check_room(str(tmp_path), 1000)
    with pytest.raises(InputError, match="`ulimit -f` allows"):
        files.check_room(str(tmp_path), 2000)


def test_too_long_a_name_of_a_folder_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call in (lambda path: begin(path, "word", ["*.png"]), lambda path: files.folder_whole(path).__enter__()):
        with pytest.raises(OSError, match="File name too long"):
            call("x/" * 3000)
    assert os.listdir() == []


def error_line(error):
    return f"{error.filename}: {error.strerror}"


OPTIONS = {
    "a folder": ("--out=", "argument --out: is empty"),
    "one of several": ("--out x a ''", "argument paths: is empty"),
    "a GPU": ("--out x a --gpu x", "GPU=x: give nvidia-smi's numbers"),
    "no worker": ("--out x a --workers 0", "'0' must be a whole number from 1 to 256"),
    "part of a worker": ("--out x a --workers 1.5", "'1.5' must be a whole number from 1 to 256"),
    "a worker of another script": ("--out x a --workers \u0663", "must be a whole number from 1 to 256"),
    "too many workers": ("--out x a --workers 257", "must be a whole number from 1 to 256"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_are_what_they_must_be(case, capsys):
    typed, complaint = OPTIONS[case]
    parser = cli.parser("Does something.", "gpu")
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--out", required=True)
    parser.add_argument("--workers", type=cli.number(1, 256), default=1)
    with pytest.raises((InputError, SystemExit)) as error:
        parser.parse_args(shlex.split(typed))
    assert complaint in (str(error.value) if isinstance(error.value, InputError) else capsys.readouterr().err)
    assert parser.parse_args(["--out", "x", "--gpu", "0,1", "--workers", "2"]).gpu == [0, 1]


def test_a_reader_who_has_seen_enough_is_no_fault():
    command = f'{sys.executable} -c "{ENDS.format("[print(k) for k in range(100000)]")}" | head -n 1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "0\n" and done.stderr == ""
    command = f"{sys.executable} -m aepsl --help > /dev/full"
    environment = dict(os.environ, PYTHONPATH=os.path.abspath("python"))
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 1 and done.stderr.startswith("error: No space left") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("free, outcome", [(1000e9, "nothing"), (3e9, "warned"), (0.1e9, "refused")])
def test_a_disk_that_is_too_small_is_said_before_the_run(tmp_path, monkeypatch, capsys, free, outcome):
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**13, 0, int(free)))
    monkeypatch.setattr(checked.costs, "disk_of", lambda graph, stage, images: 0.2)
    found = Graph(experiments.load("voc12"))
    os.makedirs(found.run.path)
    if outcome == "refused":
        with pytest.raises(InputError, match=r"what is left to make takes about [\d.]+ GB, and 0.10 GB"):
            checked.disk(found, ["results"])
    else:
        checked.disk(found, ["results"])
    assert ("warning: " in capsys.readouterr().err) == (outcome == "warned")
    if outcome == "warned":  # for all; there is room enough for what a smaller target needs
        checked.disk(found, ["segment.val.calibration"])
        assert capsys.readouterr().err == ""


def test_caffe_comes_without_what_it_reads_images_with_until_that_is_used(tmp_path):
    cv2.imwrite(str(tmp_path / "image.png"), np.full((2, 3, 3), 51, np.uint8))
    code = "import sys, aepsl, caffe; print('matplotlib' in sys.modules)\n"
    code += f"print(caffe.io.skimage.io.imread({str(tmp_path / 'image.png')!r}).mean())\nimport skimage.io\n"
    code += "skimage.io.imread"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "51.0"], done.stderr


def test_what_is_printed_reaches_a_pipe_where_output_is_buffered():
    """A command that has loaded Caffe ends its process at once, argparse's own endings included."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "aepsl", "train", "--help"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    assert done.stdout.startswith(b"usage: aepsl train")
