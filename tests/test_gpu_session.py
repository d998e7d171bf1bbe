"""The first session on a GPU: its steps, with stand-ins for them, and how the image comes from its slices."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time

import pytest

from aepsl.base.errors import InputError
from aepsl.gpu import agreement, gpu_session
from aepsl.graph import run_folder
from aepsl.nets import cuda
from aepsl.settings import experiments

SCRIPT = "scripts/gpu_session"
needs_gpu = pytest.mark.skipif(not cuda.count(), reason="no GPU is visible, or Caffe is built without CUDA")


def step(text, **environment):
    return [sys.executable, "-c", text], environment


FIGURES = """
import json
json.dump(dict(card="A card", rows=[["psl, images/s", "10.0", "8.5"]]), open({!r}, "w"))
"""


def test_each_step_ends_and_only_what_ended_well_is_not_run_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TF32_HERE", "0")
    monkeypatch.setenv("NO", "0")
    folder = str(tmp_path / "gpu")
    figures = FIGURES.format(f"{folder}/speed.json")
    steps = dict(
        check=step("print('first'); print('card 1')"),
        speed=step(
            figures + "import os; print('TF32', *map(os.environ.get, ('TF32_HERE', 'NO')))", TF32_HERE="1", NO=None
        ),
        tests=step("print('2 failed', flush=True); raise SystemExit(1)"),
        last=step("print('done')"),
    )
    assert not gpu_session.session(1, steps, folder)
    ended = json.loads((tmp_path / "gpu/summary.json").read_text())
    assert {name: (each["ended"], each["last"]) for name, each in ended.items()} == dict(
        check=("ok", "card 1"), speed=("ok", "TF32 1 None"), tests=("FAILED", "2 failed"), last=("ok", "done")
    )
    assert ended["speed"]["figures"] == dict(card="A card", rows=[["psl, images/s", "10.0", "8.5"]])
    assert [re.split("  +", line.strip()) for line in capsys.readouterr().out.splitlines()] == [
        ["step", "expected", "seen"],
        ["check", "0 s", "ok", "ok", "card 1"],
        ["speed", "psl, images/s", "10.0", "8.5"],
        ["speed", "0 s", "ok", "ok", "TF32 1 None"],
        ["tests", "0 s", "ok", "FAILED", "2 failed"],
        ["last", "0 s", "ok", "ok", "done"],
    ]
    steps["tests"] = step("print('all passed')")
    assert gpu_session.session(1, steps, folder)
    assert (tmp_path / "gpu/check.log").read_text() == "first\ncard 1\n"  # once
    assert (tmp_path / "gpu/tests.log").read_text() == "2 failed\nall passed\n"


def test_at_the_end_of_the_time_all_that_a_step_started_ends_and_the_rest_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_session, "GRACE", 0.2)
    child = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    endless = (
        "import subprocess, sys, time\n"
        f"process = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print(process.pid, flush=True); time.sleep(60)"
    )
    steps = dict(photos=step(endless), after=step("print('never')"))
    assert not gpu_session.session(0.04, steps, str(tmp_path))
    ended = json.loads((tmp_path / "summary.json").read_text())
    assert {name: each["ended"] for name, each in ended.items()} == dict(photos="cut short", after="not begun")
    assert ended["photos"]["seconds"] < 20
    assert gpu_session.session(0.04, dict(photos=step(endless)), str(tmp_path / "alone")), "as long as there is time"
    pid = int((tmp_path / "photos.log").read_text().split()[0])
    assert is_gone(pid)
    assert not (tmp_path / "after.log").exists()


def is_gone(pid, patience=5):
    """Whether a process ends, or has ended; a dead one may wait for its parent."""
    end = time.time() + patience
    while time.time() < end:
        try:
            with open(f"/proc/{pid}/status") as file:
                if "State:\tZ" in file.read():
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_the_steps_in_their_order_and_only_one_with_tf32():
    steps = gpu_session.steps_of("voc12")
    assert list(steps) == ["check-gpu", "agreement", "speed", "speed-tf32", "photos"]
    assert [name for name, (_, more) in steps.items() if more] == ["speed-tf32"]
    assert steps["speed-tf32"][1] == dict(TF32="1", NVIDIA_TF32_OVERRIDE=None)
    assert steps["photos"][0][-1] == "photos_full" and gpu_session.steps_of("demo")["photos"][0][-1] == "demo"


@pytest.fixture
def slices(tmp_path):
    """A folder as `make rootfs SLICES=` makes it: a root file system of two files in three slices."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in (("etc/aepsl.env", b"export A=1\n"), ("dev/null", b""), ("opt/large", os.urandom(3000))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    folder, whole = tmp_path / "the slices", stream.getvalue()
    folder.mkdir()
    lines = ""
    for k in range(3):
        name, content = f"rootfs.tar.gz.{k:03}", whole[k * len(whole) // 3 : (k + 1) * len(whole) // 3]
        (folder / name).write_bytes(content)
        lines += f"{hashlib.sha256(content).hexdigest()}  {name}\n"
    (folder / "SHA256SUMS").write_text(lines)
    return folder


def start(folder, root, **environment):
    environment = dict(os.environ, ROOTFS=str(root), DRIVER="/nowhere", **environment)
    done = subprocess.run([SCRIPT, str(folder)], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    return done.stderr


def test_slices_are_joined_and_stay_for_the_next_session(slices, tmp_path):
    """What comes after needs a machine that lets this test mount, and a driver: it ends with one line."""
    root = tmp_path / "the root"
    said = start(slices, root)
    assert "no libcuda.so.1" in said or "lets nobody mount" in said
    assert (root / "etc/aepsl.env").read_text() == "export A=1\n" and not (root / "dev").exists()
    assert (root / "opt/large").stat().st_size == 3000
    (root / "kept").touch()
    start(slices, root)
    assert (root / "kept").exists()

    (slices / "SHA256SUMS").write_text((slices / "SHA256SUMS").read_text() + "\n")
    assert "is not what these slices hold" in start(slices, root)
    assert (root / "kept").exists()


@pytest.mark.parametrize("fault", ["changed", "missing", "no sums"])
def test_a_damaged_slice_is_seen_before_anything_is_unpacked(slices, tmp_path, fault):
    path = slices / "rootfs.tar.gz.001"
    if fault == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    elif fault == "missing":
        path.unlink()
    else:
        (slices / "SHA256SUMS").unlink()
    said = start(slices, tmp_path / "root")
    assert said.splitlines()[-1].startswith(f"{slices}: ")
    assert not (tmp_path / "root").exists() and not (tmp_path / "root.part").exists()


@pytest.mark.skipif(cuda.count() > 0, reason="a GPU is visible")
@pytest.mark.parametrize("part", gpu_session.PARTS)
def test_without_a_gpu_a_part_ends_with_one_line(part):
    command = [sys.executable, "-m", "aepsl", "gpu-session", "--part", part]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("error: GPU 0: ") == 1 and "Traceback" not in done.stderr


def test_agreement_is_of_all_three_nets_and_ends_with_those_that_are_off(monkeypatch, tmp_path):
    """On the CPU alone, with the demo's nets: nothing differs, and less than nothing is allowed."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    monkeypatch.setattr(cuda, "name", lambda gpu: "A card")
    demo = experiments.load("demo")
    gpu_session.part("agreement", demo, gpu=None)
    found = json.loads((tmp_path / "gpu/demo/agreement.json").read_text())
    kinds = [("data", "at most 0.0001"), ("gradient", "at most 0.05")]
    expected = [[f"{task}, {kind}", most, "0.0e+00"] for task in experiments.TASKS for kind, most in kinds]
    assert found == dict(card="A card", rows=expected)
    monkeypatch.setitem(agreement.ALLOWED, "gradient", -1)
    with pytest.raises(InputError, match="^classification, gradient, segmentation, gradient, psl, gradient: further"):
        gpu_session.part("agreement", demo, gpu=None)
    assert "TOO MUCH" in (tmp_path / "gpu/demo/agreement.json").read_text()


@needs_gpu
def test_a_session_on_the_demos_nets(tmp_path, monkeypatch):
    """Its own parts: what is measured has its place beside what is expected."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    monkeypatch.setattr(gpu_session, "ITERATIONS", 1)
    for name in ("agreement", "speed"):
        gpu_session.part(name, experiments.load("demo"))
    rows = json.loads((tmp_path / "gpu/demo/speed.json").read_text())["rows"]
    assert rows[2][0].startswith("psl, images/s") and rows[3][0] == "classification, GiB"
    assert all(float(seen) > 0 for _, _, seen in rows)
