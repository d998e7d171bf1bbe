"""What a run survives: the short version of `make torture` (tests/torture.py)."""

import pytest

import torture

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run():
    """(the tree with its finished run, what it holds, its jobs)."""
    return torture.shared()


def test_killed_at_random_moments_it_ends_with_the_same_bytes(run):
    assert sum(torture.kills_at_random(*run, count=6, seed=2).values()) == 6


def test_killed_at_moments_chosen_on_purpose_too(run):
    tree, expected, _ = run
    names = ("the data are there, what they hold is not kept", "one of a snapshot's two files", "the archive")
    assert torture.kills_on_purpose(tree, expected, {name: torture.MOMENTS[name] for name in names}) == 3


def test_damaged_it_heals(run):
    tree, expected, _ = run
    tree.finish()
    torture.damages(tree, expected, count=10)


def test_interrupted_and_damaged_it_heals(run):
    tree, expected, _ = run
    torture.interrupt(tree)
    torture.damages(tree, expected, count=10)


def test_a_full_disk_is_one_line_and_with_room_it_goes_on(run):
    folder = torture.in_memory()
    if not folder:
        pytest.skip("/dev/shm is no small file system here, which a test may fill")
    with folder as root:
        assert len(torture.full_disks(torture.Tree(root).prepare(), run[1], (0.1, 0.35))) == 2
