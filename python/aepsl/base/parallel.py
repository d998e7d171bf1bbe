"""Many calls of a function at once, their results in order; the first error ends them.

Not joblib's Parallel: that of Debian 11 (0.17) can wait for ever, where the last call ends while the first is being
handed out.
"""

import concurrent.futures
import os
import signal

from tqdm import tqdm


def in_threads(function, calls, workers=None, what=None):
    """[function(*arguments) for arguments in calls], in `workers` threads, without it one for each core.

    Each call has one argument at least. what: shown on a terminal with the share that is done.
    """
    return _results(concurrent.futures.ThreadPoolExecutor(workers or _cores()), function, calls, what)


def in_processes(function, calls, what=None):
    """As in_threads, in a process for each core; function, arguments and results can be pickled."""
    executor = concurrent.futures.ProcessPoolExecutor(_cores(), initializer=leave_interruption)
    return _results(executor, function, calls, what)


def leave_interruption():
    """Leave Ctrl-C to the process that waits for this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _results(executor, function, calls, what):
    calls = list(calls)
    with executor:
        results = executor.map(function, *zip(*calls))
        return list(tqdm(results, what, len(calls), disable=None if what else True))


def _cores():
    return len(os.sched_getaffinity(0))
