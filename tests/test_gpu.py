"""One GPU for each job."""

import os
import select
import subprocess
import sys

import pytest

CLAIM = "import sys; from aepsl.nets import device; print(device.claimed([0, 1]), flush=True); sys.stdin.read()"


@pytest.fixture
def job(tmp_path):
    """job(): a process that claims one of the GPUs 0 and 1, tells it, and holds it."""
    jobs = []

    def start():
        environment = dict(os.environ, TMPDIR=str(tmp_path))
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        jobs.append(subprocess.Popen([sys.executable, "-c", CLAIM], env=environment, **pipes))
        return jobs[-1]

    yield start
    for each in jobs:
        each.kill()
        each.communicate()


def test_no_two_jobs_have_the_same_gpu_and_a_killed_one_gives_its_own_back(job):
    first, second = job(), job()
    claimed = {first.stdout.readline(), second.stdout.readline()}
    assert claimed == {"0\n", "1\n"}
    third = job()
    assert not select.select([third.stdout], [], [], 2)[0]  # it waits
    first.kill()
    assert third.stdout.readline() in claimed
    assert second.poll() is None
