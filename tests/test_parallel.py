"""Calls side by side."""

import pathlib
import re
import threading
import time

import pytest

from aepsl.base.errors import InputError
from aepsl.base.parallel import in_threads


def power(base, exponent):
    if exponent < 0:
        raise InputError(f"{exponent} is negative")
    return base**exponent


def test_results_are_in_the_order_of_the_calls():
    assert in_threads(power, ((base, 2) for base in range(40))) == [base**2 for base in range(40)]
    assert in_threads(power, []) == []
    with pytest.raises(InputError, match="^-2 is negative$"):
        in_threads(power, [(2, 1), (2, -2), (2, -3)])


def test_all_workers_work_at_once():
    barrier = threading.Barrier(5)
    assert len(in_threads(barrier.wait, [(20,)] * 5, workers=5)) == 5


def test_after_an_error_no_call_begins():
    begun = []

    def call(k):
        begun.append(k)
        time.sleep(0.01)
        power(2, -1)

    with pytest.raises(InputError):
        in_threads(call, [(k,) for k in range(1000)], workers=2)
    assert len(begun) < 20


def test_joblib_is_not_used():
    """That of Debian 11 can wait for ever, see aepsl.base.parallel."""
    ours = pathlib.Path(__file__).parent.parent / "python"
    users = [str(path) for path in ours.rglob("*.py") if re.search(r"^\s*(from|import) joblib", path.read_text(), re.M)]
    assert not users, "aepsl.base.parallel does the same"
