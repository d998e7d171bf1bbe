"""The last line of a terminal during a run: the current jobs, their progress and speed, and the time that is left.

One process draws the line. The output of the stages comes to it through a pipe, so that the two do not garble each
other. It reads the progress of the stages from the run's folder (aepsl.run.state).
"""

import atexit
import contextlib
import datetime
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from aepsl.graph.graph import Graph
from aepsl.run.state import UNKNOWN, State, state_of

PERIOD = 1  # seconds between two updates
ENOUGH = 60  # seconds: the time left follows the measured speed once more than this has passed, or was expected to
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
        self.seen: dict[str, tuple[float, int]] = {}  # {stage: (when it was seen first, how far it was then)}
        self.begun: Optional[tuple[float, float]] = None  # (when the line was drawn first, the expected time then)

    def text(self, state: dict[str, Any], width: int) -> str:
        """The line, `width` characters at most; state: see `begin`."""
        names, images = list(dict.fromkeys(stage for _, stage in list(state["jobs"].values()))), self.graph.run.images()
        states = {name: state_of(self.graph.stages[name], images) for name in names if name in self.expected}
        left = datetime.timedelta(seconds=round(self._left(states)))
        head = f"{state['done']}/{state['total']} jobs, {left} left"
        short = [f"{name} {states[name].counted}" if name in states else name for name in names]
        return fitted(head, [each + self._more(name, states) for each, name in zip(short, names)], short, width)

    def _more(self, name: str, states: Mapping[str, State]) -> str:
        """' images', ', loss 0.123, 4.5/s': what follows a stage's name and progress where there is room."""
        state = states.get(name, State())
        if state.done is None or state.done == UNKNOWN:
            return ""
        text = " images" if self.graph.stages[name].images else "" if state.loss is None else f", loss {state.loss:.3f}"
        when, done = self.seen.get(name, (0, state.done + 1))
        if state.done < done:  # at first, or after a snapshot was taken up
            self.seen[name] = time.monotonic(), state.done
            return text
        rate = (state.done - done) / (time.monotonic() - when)
        return text + (f", {rate:.1f}/s" if rate >= 1 else f", {1 / rate:.1f} s each" if rate else "")

    def _left(self, states: Mapping[str, State]) -> float:
        """Seconds until the end of the run: what is expected, times how much longer the work took so far."""
        expected, now = self._expected(states), time.monotonic()
        when, first = self.begun = self.begun or (now, expected)
        return expected * (now - when + ENOUGH) / (max(0, first - expected) + ENOUGH)

    def _expected(self, states: Mapping[str, State]) -> float:
        """Expected seconds of the work left over all lanes, or of its longest chain if that takes longer."""
        needed = {}
        for name, seconds in self.expected.items():
            done, total = states.get(name, State())[:2]
            left = 1 - done / total if done and total and 0 < done <= total else 1
            needed[name] = 0 if self.graph.is_done(name) else seconds * left
        alone = {name: each * (1 if self.graph.stages[name].images else self.lanes) for name, each in needed.items()}
        return max(sum(needed.values()), *self.graph.longest(alone).values())


def fitted(head: str, long: Sequence[str], short: Sequence[str], width: int) -> str:
    """The head and as many jobs as fit: in their long form, or in the short one, or only the first ones in that."""
    fewer = [[head, *short[:shown], f"+{len(short) - shown}"] for shown in range(len(short) - 1, 0, -1)]
    lines = map(" | ".join, [[head, *long], [head, *short], *fewer])
    return next((line for line in lines if len(line) <= width), head[:width])
