"""The last line of a terminal during a run: the current jobs, their progress and speed, and the time that is left.

One process draws the line. The output of the stages comes to it through a pipe, so that the two do not garble each
other. It reads the progress of the stages from the run's folder (aepsl.run.state).
"""

import atexit
import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from aepsl.graph.graph import Graph
from aepsl.graph.stage import Stage
from aepsl.run.state import UNKNOWN, State, state_of
from aepsl.settings.experiments import TASKS

PERIOD = 1  # seconds between two updates
ENOUGH = 10  # seconds after which the measured speed of a running stage is used
CLEAR = b"\r\x1b[K"


def begin(graph: Graph, state: dict[str, Any]) -> None:
    """Take over the terminal, until the end of this process.

    graph: its root is an absolute path; state: a dict that the caller updates: done and total, numbers of jobs; jobs,
    {id: (job, stage)}; interrupted.
    """
    line = Line(graph)
    terminal = Terminal(lambda width: "" if state["interrupted"] else line.text(state, width))
    atexit.register(terminal.close)


class Terminal:
    """Passes the output of this process and its children on to the terminal, above a last line, `line(width)`."""

    def __init__(self, line: Callable[[int], str]) -> None:
        self.line, self.drawn = line, b""
        self.lock, self.closed = threading.Lock(), threading.Event()
        self.streams = [stream for stream in (1, 2) if os.isatty(stream)]
        self.terminal = os.dup(self.streams[-1])
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
        self._write(b"")
        for stream in self.streams:
            os.dup2(self.terminal, stream)
        self.passing.join(PERIOD)  # until all is passed on; a child that still prints keeps the pipe open

    def _pass_on(self, pipe: int) -> None:
        with open(pipe, "rb") as lines:
            for text in lines:
                self._write(text)

    def _redraw(self) -> None:
        while not self.closed.wait(PERIOD):
            self.drawn = self._line()
            self._write(b"")

    def _line(self) -> bytes:
        with contextlib.suppress(OSError):
            width = os.get_terminal_size(self.terminal).columns or 80
            try:
                return self.line(width - 1).encode()
            except Exception as error:  # a fault of this line must not end the run
                return f"{type(error).__name__}: {error}"[: width - 1].encode()
        return b""

    def _write(self, text: bytes) -> None:
        with self.lock, contextlib.suppress(OSError):  # the terminal was closed; the run continues
            text = CLEAR + text + (b"" if self.closed.is_set() else self.drawn)
            while text:
                text = text[os.write(self.terminal, text) :]


class Line:
    """The text of the line. graph: of the run."""

    def __init__(self, graph: Graph) -> None:
        start, self.graph, self.expected = graph.start, graph, graph.start.seconds
        self.lanes = start.gpus or max(1, start.cores // graph.experiment.threads)  # trainings at the same time
        self.stages = {name: stage for name, stage in graph.stages.items() if stage.is_training or stage.images}
        self.begun: dict[str, tuple[float, int]] = {}  # {stage: (when it was seen first, how far it was then)}
        self.jobs_done = None

    def text(self, state: dict[str, Any], width: int) -> str:
        """The line, `width` characters at most; state: see `begin`."""
        if self.jobs_done != state["done"]:
            self._look_at_what_is_done(state["done"])
        names = list(dict.fromkeys(stage for _, stage in list(state["jobs"].values())))
        states = {name: state_of(self.stages[name], self.images) for name in names if name in self.stages}
        rates = {name: self._rate(name, each) for name, each in states.items()}
        self.begun = {name: self.begun[name] for name in states if name in self.begun}
        head = f"{state['done']}/{state['total']} jobs"
        left = self._left(states, rates) if self.expected else None
        if left:
            head += f", {duration(left)} left"
        long = [described(name, states.get(name), rates.get(name), self.stages.get(name)) for name in names]
        return fitted(head, long, [described(name, states.get(name)) for name in names], width)

    def _look_at_what_is_done(self, count: Any) -> None:
        self.jobs_done, self.images = count, self.graph.run.images()
        self.to_do = [name for name in self.expected if not self.graph.is_done(name)]
        took = self.graph.run.seconds()
        self.measured: dict[str, list[float]] = {}  # {kind: measured / expected time of each of its stages}
        for name in self.expected:
            if name in took and name not in self.to_do:
                factor = took[name] / self.lanes / self.expected[name]
                self.measured.setdefault(self.stages[name].kind, []).append(factor)

    def _rate(self, name: str, state: State) -> Optional[float]:
        """Images or iterations a second since the stage was seen first; None before the second update."""
        if state.done is None or state.done == UNKNOWN:
            return None
        when, done = self.begun.get(name, (0, state.done + 1))
        if state.done < done:
            self.begun[name] = time.monotonic(), state.done
            return None
        return (state.done - done) / (time.monotonic() - when) or None

    def _left(self, states: Mapping[str, State], rates: Mapping[str, Optional[float]]) -> float:
        """Seconds until the end of the run: the work left over all lanes, or the longest chain if that takes longer."""
        factors = {kind: statistics.median(found) for kind, found in self.measured.items()}
        for name, rate in rates.items():
            stage = self.stages[name]
            is_new = name in self.expected and stage.kind not in factors
            if is_new and rate and time.monotonic() - self.begun[name][0] > ENOUGH:
                lanes = 1 if stage.images else self.lanes  # shards of a stage run at the same time
                factors[stage.kind] = (states[name].total or 0) / rate / lanes / self.expected[name]
        trained = [factors[kind] for kind in TASKS if kind in factors]
        needed = {}
        for name in self.to_do:
            kind, state = self.stages[name].kind, states.get(name, State())
            like = statistics.median(trained) if trained and kind in TASKS else 1
            done, total = state.done or 0, state.total or 0
            left = 1 - done / total if 0 < done <= total else 1
            needed[name] = self.expected[name] * factors.get(kind, like) * left
        alone = {name: each * (1 if self.stages[name].images else self.lanes) for name, each in needed.items()}
        return max(sum(needed.values()), *self.graph.longest(alone).values())


def described(name: str, state: Optional[State], rate: Optional[float] = None, stage: Optional[Stage] = None) -> str:
    """'classification.step1 31/400, loss 0.123, 4.5/s'; without a stage only name and progress."""
    if state is None or state.done in (None, UNKNOWN):
        return name
    text = f"{name} {state.counted}"
    if stage:
        text += " images" if stage.images else "" if state.loss is None else f", loss {state.loss:.3f}"
    if rate:
        text += f", {rate:.1f}/s" if rate >= 1 else f", {1 / rate:.1f} s each"
    return text


def fitted(head: str, long: Sequence[str], short: Sequence[str], width: int) -> str:
    """The head and as many jobs as fit: all in long form, only the first ones in long form, or only the first ones."""
    count = len(long)
    choices = [[head, *long[:full], *short[full:]] for full in range(count, 0, -1)]
    for first in (long, short):
        choices += [[head, first[0], *short[1:shown], f"+{count - shown}"] for shown in range(count - 1, 0, -1)]
    lines = map(" | ".join, choices or [[head]])
    return next((line for line in lines if len(line) <= width), head[:width])


def duration(seconds: float) -> str:
    """'2 d 3 h', '5 h 20 min', '12 min', 'under a minute'."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute"
    parts = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    first = next(k for k, (value, _) in enumerate(parts) if value)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value)
