"""Many calls of a function at once; the first error ends them.

Not joblib's Parallel: Debian 11's (0.17) can hang if the last call ends while the first is being handed out.
"""

import collections
import concurrent.futures
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Optional, TypeVar

from tqdm import tqdm

Result = TypeVar("Result")


def in_threads(
    function: Callable[..., Result],
    calls: Iterable[Sequence[Any]],
    workers: Optional[int] = None,
    what: Optional[str] = None,
) -> list[Result]:
    """[function(*arguments) for arguments in calls], in this order, in `workers` threads; None: one for each core.

    Each call has one argument at least. what: the label of a progress bar on a terminal; None: no bar.
    """
    calls = list(calls)
    with concurrent.futures.ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as executor:
        results = executor.map(function, *zip(*calls))
        return list(tqdm(results, what, len(calls), disable=None if what else True))


def in_processes(function: Callable[..., object], calls: Iterable[Sequence[Any]], count: int) -> None:
    """function(*each) for each of `calls`, in `count` processes, or in this one if that is 1.

    The processes come from multiprocessing's fork server, which never loads CUDA. At most 2 * count calls wait, so that
    memory does not grow.
    """
    if count == 1:
        for each in calls:
            function(*each)
        return
    waiting: collections.deque[concurrent.futures.Future[object]] = collections.deque()
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(count, context, leave_interruption) as executor:
        for each in calls:
            waiting.append(executor.submit(function, *each))
            if len(waiting) > 2 * count:
                waiting.popleft().result()
        for future in waiting:
            future.result()


def leave_interruption() -> None:
    """Ignore Ctrl-C in a worker process: its parent handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
