"""The last line of a terminal during a run: the time that is left, the current jobs, their progress and speed.

One process draws the line, with tqdm. The output of the stages comes to it through a pipe, so that the two do not
garble each other. It reads the progress of the stages from the run's folder (aepsl.run.state).
"""

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from aepsl.graph.graph import Graph
from aepsl.run.state import UNKNOWN, State, state_of

PERIOD = 1  # seconds between two updates
FORMAT = "{percentage:3.0f}%|{bar:10}| {elapsed}<{remaining} | {desc}"  # of seconds of work, as they are expected


def begin(graph: Graph, state: dict[str, Any]) -> None:
    """Take over the terminal, until the end of this process.

    graph: its root is an absolute path; state: a dict that the caller updates: done and total, numbers of jobs; jobs,
    {id: (job, stage)}; interrupted.
    """
    atexit.register(Terminal(Line(graph, state)).close)


class Terminal:
    """Passes the output of this process and its children on to the terminal, above a last line."""

    def __init__(self, line: "Line") -> None:
        self.line, self.closed = line, threading.Event()
        self.streams = [stream for stream in (1, 2) if os.isatty(stream)]
        self.terminal = os.fdopen(os.dup(self.streams[-1]), "w", encoding="utf-8", errors="surrogateescape")
        seconds, text = line.update()
        shown: dict[str, Any] = dict(bar_format=FORMAT, dynamic_ncols=True, leave=False)
        self.bar = tqdm(desc=text, total=seconds, file=self.terminal, **shown)
        pipe, end = os.pipe()
        for stream in self.streams:
            os.dup2(end, stream)
        os.close(end)
        self.passing = threading.Thread(target=self._pass_on, args=[pipe], daemon=True)
        self.passing.start()
        threading.Thread(target=self._redraw, daemon=True).start()

    def close(self) -> None:
        """Clear the line and restore the terminal."""
        self.closed.set()
        with contextlib.suppress(OSError):  # the terminal was closed
            self.bar.close()
        for stream in self.streams:
            os.dup2(self.terminal.fileno(), stream)
        self.passing.join(PERIOD)  # until all is passed on; a child that still prints keeps the pipe open

    def _pass_on(self, pipe: int) -> None:
        with open(pipe, encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            for text in lines:
                with contextlib.suppress(OSError):  # the terminal was closed; the run continues
                    tqdm.write(text, self.terminal, end="")

    def _redraw(self) -> None:
        while not (self.closed.wait(PERIOD) or self.line.state["interrupted"]):
            try:
                seconds, text = self.line.update()
                self.bar.n = max(0, self.bar.total - seconds)
            except Exception as error:  # a fault of this line must not end the run
                text = f"{type(error).__name__}: {error}"
            with contextlib.suppress(OSError):
                self.bar.set_description_str(text)
        with contextlib.suppress(OSError):
            self.bar.close()


class Line:
    """What the line tells; graph, state: see `begin`."""

    def __init__(self, graph: Graph, state: dict[str, Any]) -> None:
        self.graph, self.state, self.expected = graph, state, graph.start.seconds
        # trainings at the same time
        self.lanes = graph.start.gpus or max(1, graph.start.cores // graph.experiment.threads)
        self.seen: dict[str, tuple[float, int]] = {}  # {stage: (when it was seen first, how far it was then)}

    def update(self) -> tuple[float, str]:
        """(seconds of the work that is left, as expected before; the current jobs)."""
        names = list(dict.fromkeys(stage for _, stage in list(self.state["jobs"].values())))
        images, stages = self.graph.run.images(), self.graph.stages
        states = {name: state_of(stages[name], images) for name in names if name in self.expected}
        jobs = [self._described(name, states.get(name, State())) for name in names]
        return self._left(states), " | ".join([f"{self.state['done']}/{self.state['total']} jobs", *jobs])

    def _described(self, name: str, state: State) -> str:
        """'classification.step1 31/400, loss 0.123, 4.5/s': the speed since the stage was seen first."""
        if state.done is None or state.done == UNKNOWN:
            return name
        text = f"{name} {state.counted}"
        text += (
            " images" if self.graph.stages[name].images else "" if state.loss is None else f", loss {state.loss:.3f}"
        )
        when, done = self.seen.get(name, (0, state.done + 1))
        if state.done < done:  # at first, or after a snapshot was taken up
            self.seen[name] = time.monotonic(), state.done
            return text
        rate = (state.done - done) / (time.monotonic() - when)
        return text + (f", {rate:.1f}/s" if rate >= 1 else f", {1 / rate:.1f} s each" if rate else "")

    def _left(self, states: Mapping[str, State]) -> float:
        """Expected seconds of the work left over all lanes, or of its longest chain if that takes longer."""
        needed = {}
        for name, seconds in self.expected.items():
            done, total = states.get(name, State())[:2]
            left = 1 - done / total if done and total and 0 < done <= total else 1
            needed[name] = 0 if self.graph.is_done(name) else seconds * left
        alone = {name: each * (1 if self.graph.stages[name].images else self.lanes) for name, each in needed.items()}
        return max(sum(needed.values()), *self.graph.longest(alone).values())
