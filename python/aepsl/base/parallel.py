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
    calls = list(calls)
    with concurrent.futures.ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as executor:
        results = executor.map(function, *zip(*calls))
        return list(tqdm(results, what, len(calls), disable=None if what else True))


def leave_interruption():
    """In a process that another waits for: leave Ctrl-C to that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
