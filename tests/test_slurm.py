"""profiles/slurm with stand-ins for SLURM's commands; tests/engines/slurm has a real one."""

import os
import re
import subprocess
import sys
import types

import pytest

import standins
from aepsl.base.errors import InputError
from aepsl.run import job, queue
from conftest import copy_of_repository
from test_reproduce import made, make, tree  # noqa: F401 (made and tree are fixtures)

# Each job runs while it is submitted: the queue is empty behind it.
SBATCH = """
import os, re, subprocess, sys
root = os.path.dirname(os.path.abspath(__file__))
words = sys.argv[1:]
script = next(k for k, word in enumerate(words) if word.endswith("slurm/job"))
options = dict(zip(words[:script], words[1:script]))
number = str(len(os.listdir(root + "/states")) + 1)
before = [open(f"{root}/states/{each}").read() for each in options.get("--dependency", "afterok").split(":")[1:]]
state = "COMPLETED" if set(before) <= {"COMPLETED"} else "CANCELLED"
last = int(options.get("--array", "0-0")[2:])
output = [words[k + 1] for k in range(script) if words[k] == "--output"][-1]
for task in range(last + 1) if state == "COMPLETED" else ():
    more = dict(SLURM_ARRAY_TASK_ID=str(task), SLURM_ARRAY_TASK_COUNT=str(last + 1)) if last else {}
    more.update(SLURM_JOB_GPUS="7") if "--gres" in options else None
    with open(output.replace("%A", number).replace("%a", str(task)), "a") as log:
        command = ["bash", words[script], *words[script + 1 :]]
        if subprocess.run(command, stdout=log, stderr=log, env={**os.environ, **more}).returncode:
            state = "FAILED"
with open(f"{root}/states/{number}", "w") as file:
    file.write(state)
with open(root + "/asked", "a") as file:
    file.write(" ".join(words) + "\\n")
print(number)
"""
STAND_INS = {
    "sbatch": f"#!{sys.executable}{SBATCH}",
    "squeue": "#!/bin/sh\n",
    "scancel": "#!/bin/sh\n",
    "scontrol": """#!/bin/sh
if [ "$2" = config ]; then cat "$(dirname "$0")/config"; exit; fi
for id; do :; done
echo "JobId=$id JobState=$(cat "$(dirname "$0")/states/$id")"
""",
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The folder of the stand-ins, which are found first."""
    folder = tmp_path / "slurm"
    (folder / "states").mkdir(parents=True)
    (folder / "config").write_text("GresTypes               = gpu\n")
    for name, text in STAND_INS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def asked(slurm):
    """{stage: the words that sbatch was given}."""
    lines = (slurm / "asked").read_text().splitlines()
    return {re.search(r"--job-name aepsl\.(\S+)", line)[1]: line for line in lines}


def test_slurm_runs_the_jobs_and_tells_of_those_that_fail(tree, made, small_set, slurm):  # noqa: F811
    weights = f"{made.folder}/{standins.VGG}"
    # That GPU 0 is asked for, and none visible, is the fault that is told.
    environment = dict(EXPERIMENT="flock", DATA=str(small_set), WEIGHTS=weights, GPU="0", CUDA_VISIBLE_DEVICES="")
    process = make(tree, "reproduce", "PROFILE=profiles/slurm", "CORES=2", "ROW=ae_step1", **environment)
    output = process.communicate()[0]
    assert process.returncode != 0 and "Traceback" not in output
    words = asked(slurm)
    assert "--cpus-per-task 1 " in words["surgery"] and "--gres" not in words["surgery"]
    assert "--cpus-per-task 2 " in words["saliency"]  # two shards beside each other
    assert "--gres gpu:1 --dependency afterok:" in words["classification.step1"]
    assert {path.name for path in (tree / "runs/flock/done").iterdir()} >= {"surgery.json", "saliency.1-2.json"}
    lines = output.splitlines()
    stopped = [line for line in lines if line.startswith("stopped at ")]
    assert len(stopped) == 1 and stopped[0].startswith("stopped at classification.step1 (FAILED, runs/flock/slurm/cl")
    assert lines[lines.index(stopped[0]) - 1].startswith("error: GPU 0: ")
    assert not (tree / "runs/flock/queue").exists()


PLAN = ["one 3 1 0 - one", "many 3 1 0 one " + ",".join(f"many.{k}-256" for k in range(1, 257))]
PLAN += ["net 3 2 1 many " + ",".join(f"net.{k}-16" for k in range(1, 17))]
# In place of docker/run: writes the plan once; of a job it notes GPU, image and words.
IMAGE = """#!/bin/bash
cd "$(dirname "$0")/.."
if [ "$1" != sh ]; then [ -e jobs ] || cp plan runs/x/queue; exit; fi
echo "$GPU|$AEPSL_TARGET|$PROFILE|${*:5}" >>jobs
"""


@pytest.fixture
def submitted(tmp_path, slurm):
    """submitted(**environment): the process of `submit` with PLAN, which has ended; its pauses are short."""
    copy = copy_of_repository(tmp_path / "tree")
    (copy / "runs/x").mkdir(parents=True)
    (copy / "plan").write_text("".join(line + "\n" for line in PLAN))
    (copy / "docker/run").write_text(IMAGE)
    stand_in(slurm, "sleep", "exec /bin/sleep 0.01")

    def run(**environment):
        command = [copy / "profiles/slurm/submit", "x", "prepare"]
        clean = {key: value for key, value in os.environ.items() if key not in ("GPU", "AEPSL_TARGET", "CORES")}
        return subprocess.run(command, env={**clean, **environment}, cwd="/", capture_output=True, text=True)

    return run


def stand_in(slurm, name, *lines):
    """Write a stand-in of bash, in which $d is its folder."""
    (slurm / name).write_text("\n".join(["#!/bin/bash", 'd=$(dirname "$0")', *lines, ""]))
    (slurm / name).chmod(0o755)


@pytest.fixture
def planned(tmp_path, slurm, submitted):
    """planned(**environment): the stages that sbatch was given of PLAN, and what their jobs noted, by stage."""
    copy = tmp_path / "tree"

    def run(**environment):
        done = submitted(**environment)
        assert done.returncode == 0, done.stderr
        notes = {}
        for line in (copy / "jobs").read_text().splitlines():
            gpu, image, profile, words = line.split("|")
            assert profile == ""
            threads, folder, cores, beside, *jobs = words.split()
            assert threads == "3" and folder == "runs/x"
            notes.setdefault(jobs[0].split(".")[0], []).append((gpu, image, cores, beside, jobs))
        return asked(slurm), notes

    return run


def test_many_small_jobs_are_few_of_slurms(planned):
    """256 shards are 8 jobs of SLURM, in each 6 at a time on its 6 cores; each shard is done once."""
    words, notes = planned(CORES="6")
    assert len(notes["many"]) == 8 and {each[2:4] for each in notes["many"]} == {("1", "6")}
    jobs = sum((each[4] for each in notes["many"]), [])
    assert sorted(jobs) == sorted(f"many.{k}-256" for k in range(1, 257))
    assert "--array 0-7" in words["many"] and "--cpus-per-task 6 " in words["many"]
    assert "--array" not in words["one"] and "--dependency afterok:1 " in words["many"]
    assert not any("--gres" in each or "--exclusive" in each for each in (words["one"], words["many"]))


@pytest.mark.parametrize(
    "gpu, config, option, net, other",
    [
        ("0", "GresTypes = craynetwork,gpu", "--gres gpu:1", ("7", ""), ("", "cuda")),
        ("0,1", "GresTypes = (null)", "--exclusive", ("0", ""), ("", "cuda")),
        ("fake", "GresTypes = (null)", "", ("fake", ""), ("", "fake")),
    ],
)
def test_a_job_has_the_gpu_that_slurm_gave(planned, slurm, gpu, config, option, net, other):
    (slurm / "config").write_text(config + "\n")
    words, notes = planned(GPU=gpu, CUDA_VISIBLE_DEVICES="")
    assert ("--gres" in words["net"] or "--exclusive" in words["net"]) == bool(option) and option in words["net"]
    assert {each[:2] for each in notes["net"]} == {net} and {each[:2] for each in notes["many"]} == {other}
    assert {each[3] for each in notes["net"]} == {"1"}  # one after the other on its GPU


def test_a_kind_of_gpu_may_be_asked_for(planned):
    words, _ = planned(GPU="0", SBATCH_GRES="gpu:a100:1", SBATCH_MEM_PER_CPU="9G")
    assert "--gres gpu:a100:1" in words["net"] and "--mem-per-cpu 9G" in words["net"]


PRINTED = ["Welcome: 12 hours are left\n%s", "%s\nbudget: 5 hours", "Submitted batch job %s", "%s;big", "\n%s"]


@pytest.mark.parametrize("text", PRINTED)
def test_a_sites_own_sbatch_may_print_more_than_the_jobs_number(planned, slurm, text):
    path = slurm / "sbatch"
    path.write_text(path.read_text().replace("print(number)", f"print({text!r} % number)"))
    words, notes = planned()
    assert "--dependency afterok:1 " in words["many"] and "--dependency afterok:2 " in words["net"]
    assert set(notes) == {"one", "many", "net"}


def test_an_sbatch_that_prints_no_number_is_one_line(submitted, slurm):
    stand_in(slurm, "sbatch", "echo 'your request is queued'")
    done = submitted()
    line = "error: sbatch answers 'your request is queued' for one, which has no job's number; no job is left in"
    assert done.returncode == 1 and done.stderr == f"{line} the queue\n"


FORGOTTEN = "slurm_load_jobs error: Invalid job id specified"
ACCOUNTING = {  # what sacct prints, and the exit code
    "disabled": ("SLURM accounting storage is disabled", 0),
    "disabled, as an error": ("SLURM accounting storage is disabled", 1),
    "its database is down": ("sacct: error: Problem talking to the database: Connection refused", 0),
    "nothing": ("", 0),
    "an array": ("COMPLETED\nCOMPLETED\nCOMPLETED", 0),
}


@pytest.mark.parametrize("case", ACCOUNTING)
def test_jobs_that_slurm_has_forgotten_are_looked_for_in_accounting(submitted, slurm, case):
    """Where it does not know them either, the results tell."""
    text, code = ACCOUNTING[case]
    stand_in(slurm, "scontrol", f'[ "$2" = config ] || {{ echo "{FORGOTTEN}" >&2; exit 1; }}')
    stand_in(slurm, "sacct", f"printf '%s\\n' '{text}'", f"exit {code}")
    done = submitted()
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED"])
def test_a_job_that_goes_on_has_not_failed_because_the_queue_lacks_it(submitted, slurm, state):
    """As after a restart of SLURM's controller."""
    stand_in(
        slurm,
        "scontrol",
        '[ "$2" != config ] || exit 0',
        'echo >>"$d/calls"',
        f'if [ "$(wc -l <"$d/calls")" -gt 3 ]; then s=COMPLETED; else s={state}; fi',
        'echo "JobId=1 JobState=$s Reason=None"',
    )
    done = submitted()
    assert done.returncode == 0 and done.stderr == ""


ENDS = {
    "OUT_OF_MEMORY": "its memory did not suffice; SBATCH_MEM_PER_CPU=8G gives it more",
    "TIMEOUT": "its time was over; SBATCH_TIMELIMIT=HOURS:00:00 gives it more",
    "NODE_FAIL": "its node went away",
    "BOOT_FAIL": "its node did not start",
    "PREEMPTED": "a job of higher priority took its place",
    "DEADLINE": "its deadline was over",
    "CANCELLED": "it was taken out of the queue",
    "REVOKED": "its log has no line that says why",
}


@pytest.mark.parametrize("state", ENDS)
def test_each_end_of_a_job_has_its_line(submitted, slurm, state):
    stand_in(slurm, "scontrol", '[ "$2" != config ] || exit 0', f'echo "JobId=1 JobState={state} Reason=None"')
    stopped = submitted().stderr.splitlines()[-1]
    assert stopped.startswith(f"stopped at one ({state}, runs/x/slurm/one-1*.log); {ENDS[state]}. Typed again")


@pytest.mark.parametrize(
    "reason", ["PartitionDown", "JobHeldAdmin", "ReqNodeNotAvail, UnavailableNodes:n1", "Priority"]
)
def test_a_job_that_waits_for_more_than_its_turn_is_told_once(submitted, slurm, tmp_path, reason):
    line = f"1|PENDING|aepsl.one|{reason}|{tmp_path}/tree/runs/x"
    stand_in(
        slurm,
        "squeue",
        '[ -e "$d/asked" ] || exit 0',
        'echo >>"$d/calls"',
        f'[ "$(wc -l <"$d/calls")" -gt 3 ] || echo "{line}"',
    )
    done = submitted()
    waits = [line for line in done.stderr.splitlines() if "one waits: " in line]
    assert done.returncode == 0 and len(waits) == (reason != "Priority")
    assert all(line.endswith(f"one waits: {reason} (job 1)") for line in waits)


USERS = {
    "SQUEUE_STATES": "RUNNING",
    "SQUEUE_FORMAT": "%i",
    "SQUEUE_PARTITION": "gpu",
    "SQUEUE_USERS": "root",
    "SLURM_ARRAY_TASK_ID": "5",
}


@pytest.mark.parametrize("name", USERS)
def test_the_users_own_variables_of_slurm_do_not_hide_jobs(planned, slurm, name):
    stand_in(slurm, "squeue", "! env | grep ^SQUEUE_ || exit 1")
    _, notes = planned(**{name: USERS[name], "SLURM_ARRAY_TASK_COUNT": "9"})
    assert [each[4] for each in notes["one"]] == [["one"]]


@pytest.mark.parametrize("name", ["squeue", "scontrol"])
def test_a_controller_that_does_not_answer_is_one_line(submitted, slurm, name):
    stand_in(slurm, name, "echo 'error: Unable to contact slurm controller' >&2", "exit 1")
    done = submitted()
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("error: SLURM does not answer; ")


def test_where_slurm_does_not_answer_a_line_says_so(planned, slurm, tmp_path):
    (slurm / "squeue").unlink()
    command = [tmp_path / "tree/profiles/slurm/submit", "x", "prepare"]
    done = subprocess.run(command, env=dict(os.environ, PATH=f"{slurm}:/usr/bin:/bin"), capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == (
        "error: squeue: not found; type this where SLURM answers (docs/cluster.md)\n"
    )


def test_a_start_here_leaves_the_queues_jobs_alone(tmp_path):
    with pytest.raises(InputError, match="its jobs are in the queue of a cluster.* delete .*/queue"):
        (tmp_path / "queue").write_text("")
        queue.hold(str(tmp_path))


def test_snakemakes_options_have_no_meaning_there(tmp_path):
    asked = types.SimpleNamespace(gpu="0,1", profile="profiles/slurm")
    with pytest.raises(InputError, match="--until: is an option of snakemake"):
        queue.gpus(asked, ["--until", "saliency"])
    assert queue.gpus(asked, []) == 1
    (tmp_path / "config.yaml").write_text("cores: 2")
    for profile in (None, str(tmp_path)):
        assert queue.gpus(types.SimpleNamespace(gpu="0,1", profile=profile), ["-k"]) == 2


def test_the_exported_image_is_started_by_what_the_user_names(tmp_path):
    """In place of an engine; matplotlib's folder in it can often not be written."""
    (tmp_path / "start").write_text('#!/bin/sh\nexport AEPSL_IMAGE=cpu\necho "$1 $AEPSL_EXEC"\nshift\nexec "$@"\n')
    (tmp_path / "start").chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key not in ("AEPSL_IMAGE", "GPU")}
    environment.update(AEPSL_EXEC=f"{tmp_path}/start image", MPLCONFIGDIR="/no/such/folder")
    command = ["docker/run", "sh", "-c", "echo $AEPSL_IMAGE $MPLCONFIGDIR"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == f"image \ncpu /tmp/matplotlib-{os.getuid()}\n" and done.returncode == 0, done.stderr


def test_a_job_waits_for_what_a_network_disk_shows_late(monkeypatch):
    words, begun = [None, None, None, "word"], []
    stage = types.SimpleNamespace(name="a", needs=["b"])
    found = types.SimpleNamespace(stages={"a": stage}, jobs=lambda name: [name], run=types.SimpleNamespace(path="x"))
    found.word = lambda stage: words.pop(0)
    monkeypatch.setattr(job.graph, "read", lambda folder: found)
    monkeypatch.setattr(job.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(job.records, "done", lambda run, name, word, make: begun.append(word) or True)
    with pytest.raises(InputError, match="a: needs b, which are not done"):
        job.run("x", "a")
    job.run("x", "a", patience=60)
    assert begun == ["word"] and not words
