"""Many calls of a function at once; the first error ends them.

Not joblib's Parallel: that of Debian 11 (0.17) can wait for ever, where the last call ends while the first is being
handed out.
"""

import collections
import concurrent.futures
import multiprocessing
import os
import signal

from tqdm import tqdm


def in_threads(function, calls, workers=None, what=None):
    """[function(*arguments) for arguments in calls], in this order, in `workers` threads, without it one for each core.

    Each call has one argument at least. what: shown on a terminal with the share that is done.
    """
    calls = list(calls)
    with concurrent.futures.ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as executor:
        results = executor.map(function, *zip(*calls))
        return list(tqdm(results, what, len(calls), disable=None if what else True))


def in_processes(function, calls, count):
    """function(*each) for each of `calls`, in `count` processes, or in this one if that is 1.

    The processes come from a server that has never seen CUDA. No more calls wait than keep them busy, so that memory
    does not grow.
    """
    if count == 1:
        for each in calls:
            function(*each)
        return
    waiting, context = collections.deque(), multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(count, context, leave_interruption) as executor:
        for each in calls:
            waiting.append(executor.submit(function, *each))
            if len(waiting) > 2 * count:
                waiting.popleft().result()
        for each in waiting:
            each.result()


def leave_interruption():
    """In a process that another waits for: leave Ctrl-C to that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
