"""What a terminal shows while a run goes on."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios

import pytest

from aepsl.base.files import write_json, write_text
from aepsl.graph import graph
from aepsl.run import progress_line
from aepsl.settings import experiments
from aepsl.store import records

HANDLER = f"""
import atexit, os, signal, subprocess, time
atexit.register(lambda: print('the very end'))  # after what is registered later
from importlib.machinery import SourceFileLoader
def sh(text):
    subprocess.run(text, shell=True)
tell = SourceFileLoader("log", {os.path.abspath("python/aepsl/run/progress.py")!r}).load_module().log_handler
tell(dict(level="run_info", msg="jobs\\ntotal 3"))
tell(dict(level="job_info", jobid=7, name="classification.step1", wildcards=dict()))
time.sleep(1.5)
"""


def screen(written):
    """The rows of a terminal that got these bytes: line ends and \\r are all that moves anything."""
    rows, column = [""], 0
    for part in re.findall("\r|\n|[^\r\n]+", written.decode(errors="ignore")):
        if part == "\n":
            rows, column = [*rows, ""], 0
        elif part == "\r":
            column = 0
        else:
            rows[-1] = rows[-1][:column] + part + rows[-1][column + len(part) :]
            column += len(part)
    return [row.rstrip() for row in rows]


def in_terminal(code, columns=80, **environment):
    """(every screen that a terminal shows while Python runs the code, its exit code)."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = dict(os.environ, PYTHONPATH=os.path.abspath("python"), **environment)
    child = subprocess.Popen([sys.executable, "-c", code], stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    written, screens = b"", []
    while True:
        assert select.select([mine], [], [], 30)[0], screens[-1:]
        try:
            written += os.read(mine, 4096)
        except OSError:  # the end, as Linux says it
            os.close(mine)
            return screens, child.wait()
        screens.append(screen(written))


@pytest.fixture
def demo(tmp_path):
    """The graph of the demo's run in two shards, half done."""
    found = graph.Graph(experiments.load("demo"), root=str(tmp_path / "runs"))
    run = found.run
    write_json(records.mark_of(run.path, "check"), dict(value=dict(train=320, val=80)))
    for name, seconds in {"saliency.1-2": 30, "saliency.2-2": 30, "classification.step1": 90}.items():
        write_json(records.mark_of(run.path, name), dict(seconds=seconds))
    write_json(f"{run.classification(1)}/train.json", dict(converged_loss=0.0625))
    for folder in (run.classification(2), run.segmentation("ae_step1")):
        write_text(f"{folder}/solver.prototxt", "max_iter: 400")
    expected = {stage.name: 10.0 if stage.is_training else 4.0 for stage in found.shown()}
    found.start = graph.Start(cores=2, seconds=expected)
    return found


def advance(run, iteration, images):
    write_json(f"{run.classification(2)}/progress.json", dict(iteration=iteration, loss=0.25))
    for k in range(images):
        write_text(f"{run.regions(1)}/{k}.png", "")


def line_of(found, *names):
    return progress_line.Line(found, dict(done=5, total=60, jobs={name: ("", name) for name in names}))


def test_the_line_tells_how_far_and_how_fast_each_stage_is(demo, monkeypatch):
    found, run, clock = demo, demo.run, [100.0]
    monkeypatch.setattr(progress_line.time, "monotonic", lambda: clock[0])
    line = line_of(found, "classification.step2", "mine.step1", "results")
    advance(run, 100, images=10)
    line.update()
    clock[0] += 20
    advance(run, 150, images=15)
    assert line.update()[1].split(" | ") == [
        "5/60 jobs",
        "classification.step2 150/400, loss 0.250, 2.5/s",
        "mine.step1 15/320 images, 4.0 s each",
        "results",
    ]
    advance(run, 50, images=15)  # from a snapshot: the speed is measured anew
    clock[0] += 20
    assert "50/400, loss 0.250 |" in line.update()[1]


def test_the_work_that_is_left_is_what_was_expected_of_what_is_not_done(demo):
    """In two lanes, of which each does half of the work, or one after the other if that takes longer."""
    found, run = demo, demo.run
    line = line_of(found, "classification.step2")
    todo = [stage for stage in found.shown() if not found.is_done(stage.name)]
    assert "saliency" not in [stage.name for stage in todo] and len(line.expected) - len(todo) == 2
    advance(run, 100, images=0)
    assert line.update()[0] == pytest.approx(sum(10 if stage.is_training else 4 for stage in todo) - 2.5)
    for stage in todo:
        if stage.name not in ("relabel.psl", "segmentation.psl++", "segment.val.psl++"):
            for job in found.jobs(stage.name):
                write_json(records.mark_of(run.path, job), {})
    line.state["jobs"].clear()
    assert line.update()[0] == 4 + 2 * 10 + 4  # in a training half of the cores do nothing


LINE = r" +\d+%\|.{10}\| [\d:]+<[\d:?]+ \| 0/[3?] jobs( \| classif.*)?"
PRINTS = """printf 'half '; sleep 1.5; echo a text; echo a warning >&2; test -t 2 || echo no terminal; sleep 1.5"""


@pytest.mark.parametrize(
    "end, said",
    [
        ("tell(dict(level='job_finished', jobid=7))", "classification.step1: loss 0.062"),
        ("os.kill(os.getpid(), signal.SIGINT)", "interrupted; type the same command again to continue"),
    ],
)
def test_the_line_and_what_stages_print_do_not_garble_each_other(demo, tmp_path, end, said):
    """And at the end, however it comes, the line is gone and the terminal as it was."""
    code = f"import os; os.chdir({str(tmp_path)!r}); os.mkdir('elsewhere')\n{HANDLER}os.chdir('elsewhere')\n"
    code += f"sh({PRINTS!r})\ntry:\n    {end}\nexcept KeyboardInterrupt:\n    sh({PRINTS!r})\n"
    code += "print('the end', flush=True)\n" + "time.sleep(1.5)\n" * ("loss" in said)  # the line is drawn once more
    graph.write(demo)
    screens, exit_code = in_terminal(code, 50, AEPSL_START=demo.run.path)
    assert exit_code == 0
    job, *rows = screens[-1]
    assert job.endswith("s    0/3  classification.step1") and re.fullmatch(
        rf"( +\d+ s +0/3  )?{re.escape(said)}", rows[3]
    )
    assert rows[:3] == ["half a text", "a warning", "no terminal"] and rows[-3:] == ["the end", "the very end", ""]
    for *above, last in screens:
        assert all(row in (job, *rows) for row in above)
        assert last in ("", *rows) or re.fullmatch(LINE, last) and len(last) <= 50
        if "interrupted" in said and len(above) > 5:  # a second after that was said
            assert " jobs" not in last
    assert max(len(above) for *above, last in screens if last) >= 4  # it is there below the first job's texts


def test_without_a_terminal_there_are_only_lines(demo, tmp_path):
    code = f"import os; os.chdir({str(tmp_path)!r})\n{HANDLER}tell(dict(level='job_finished', jobid=7))\n"
    demo.start = graph.Start()
    graph.write(demo)
    environment = dict(os.environ, PYTHONPATH=os.path.abspath("python"), AEPSL_START=demo.run.path)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    line = r" +\d+ s +0/3  classification.step1"
    assert done.stdout == "the very end\n" and re.fullmatch(rf"{line}\n{line}: loss 0.062\n", done.stderr)


def test_a_run_goes_on_when_its_terminal_is_closed(demo, tmp_path):
    """What its stages print is still taken from them: a closed pipe would end them."""
    code = f"import os; os.chdir({str(tmp_path)!r})\n{HANDLER}sh('seq 100000 && touch ended')\nos._exit(0)\n"
    graph.write(demo)
    mine, its = pty.openpty()
    environment = dict(os.environ, PYTHONPATH=os.path.abspath("python"), AEPSL_START=demo.run.path)
    child = subprocess.Popen([sys.executable, "-c", code], stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    assert os.read(mine, 10)
    os.close(mine)
    assert child.wait(60) == 0 and (tmp_path / "ended").exists()
