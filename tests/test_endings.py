"""How a command ends: with one line, whatever happens."""

import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest

from aepsl import experiments, run_folder
from aepsl.errors import InputError
from aepsl.tools import run as run_tool

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
        (f"raise OSError({errno.ENOSPC}, 'No space left on device')", ": the disk is full: "),
        ("open('/no/such/folder', 'w')", "/no/such/folder: No such file or directory"),
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


@pytest.mark.parametrize(
    "under, line", [(False, "interrupted; typed again, the command goes on from there\n"), (True, "")]
)
def test_an_interruption_is_one_line_of_whoever_was_started(under, line):
    environment = dict(os.environ, **(dict(AEPSL_RUN="{}") if under else {}))
    done = ended(f"import os; os.kill(os.getpid(), {signal.SIGINT:d})", env=environment)
    assert done.returncode == 130 and done.stderr == line


def test_a_reader_who_has_seen_enough_is_no_fault():
    command = f'{sys.executable} -c "{ENDS.format("[print(k) for k in range(100000)]")}" | head -n 1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "0\n" and done.stderr == ""


@pytest.mark.parametrize("free, outcome", [(1000e9, "nothing"), (3e9, "warned"), (0.1e9, "refused")])
def test_a_disk_that_is_too_small_is_said_before_the_run(tmp_path, monkeypatch, capsys, free, outcome):
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**13, 0, int(free)))
    monkeypatch.setattr(run_tool.plan, "disk_of", lambda experiment, stage, images: 0.2)
    experiment = experiments.load("voc12")
    folder = run_folder.RunFolder(experiment)
    os.makedirs(folder.path)
    if outcome == "refused":
        with pytest.raises(InputError, match=r"what is left to make takes about [\d.]+ GB, and 0.10 GB"):
            run_tool._check_disk(experiment, folder)
    else:
        run_tool._check_disk(experiment, folder)
    assert ("warning: " in capsys.readouterr().err) == (outcome == "warned")
