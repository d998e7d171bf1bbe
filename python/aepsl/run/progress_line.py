"""The last line of a terminal while a run goes on: what goes on, how far and how fast, and how long the rest will take.

One process draws. Stages know nothing of it: what they print goes through a pipe, so that no text and no line garble
each other, and how far they are stands in the run's folder (aepsl.run.status).
"""

import atexit
import contextlib
import os
import statistics
import threading
import time

from aepsl.run import state as status
from aepsl.settings.experiments import TASKS

PERIOD = 1  # seconds between two looks
ENOUGH = 10  # seconds after which the speed of a stage under way says something
CLEAR = b"\r\x1b[K"


def begin(graph, asked, state):
    """Take over the terminal, until the end of this process.

    graph: with a root that holds wherever the process works; asked: its Start; state: a
    dict that others keep up to date: done and total jobs; jobs, {anything: (its name, that of its stage)}; interrupted.
    """
    line = Line(graph, asked)
    terminal = Terminal(lambda width: "" if state["interrupted"] else line.text(state, width))
    atexit.register(terminal.close)


class Terminal:
    """Passes on what this process and all that it starts print to the terminal, above a last line, `line(width)`."""

    def __init__(self, line):
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

    def close(self):
        """Clear the line and give the terminal back."""
        self.closed.set()
        self._write(b"")
        for stream in self.streams:
            os.dup2(self.terminal, stream)
        self.passing.join(PERIOD)  # until all is passed on; whoever still prints keeps the pipe open

    def _pass_on(self, pipe):
        with open(pipe, "rb") as lines:
            for text in lines:
                self._write(text)

    def _redraw(self):
        while not self.closed.wait(PERIOD):
            self.drawn = self._line()
            self._write(b"")

    def _line(self):
        with contextlib.suppress(OSError):
            width = os.get_terminal_size(self.terminal).columns or 80
            try:
                return self.line(width - 1).encode()
            except Exception as error:  # no line is worth a run
                return f"{type(error).__name__}: {error}"[: width - 1].encode()
        return b""

    def _write(self, text):
        with self.lock, contextlib.suppress(OSError):  # the terminal is gone; the run goes on
            text = CLEAR + text + (b"" if self.closed.is_set() else self.drawn)
            while text:
                text = text[os.write(self.terminal, text) :]


class Line:
    """The text of the line. graph: of the run; asked: its Start."""

    def __init__(self, graph, asked):
        self.graph, self.expected = graph, asked.seconds
        self.lanes = asked.gpus or max(1, asked.cores // graph.experiment.threads)  # trainings side by side
        self.stages = {stage.name: stage for stage in graph.shown()}
        self.known = {name: stage for name, stage in graph.stages.items() if stage.is_training or stage.images}
        self.begun = {}  # {stage: (when it was seen first, how far it was then)}
        self.jobs_done = None

    def text(self, state, width):
        """The line, `width` characters at most; state: see `begin`."""
        if self.jobs_done != state["done"]:
            self._look_at_what_is_done(state["done"])
        names = list(dict.fromkeys(stage for _, stage in list(state["jobs"].values())))
        states = {name: status.state_of(self.known[name], self.images) for name in names if name in self.known}
        rates = {name: self._rate(name, each) for name, each in states.items()}
        self.begun = {name: self.begun[name] for name in states if name in self.begun}
        head = f"{state['done']}/{state['total']} jobs"
        left = self._left(states, rates) if self.expected else None
        if left:
            head += f", {duration(left)} left"
        long = [described(name, states.get(name), rates.get(name), self.known.get(name)) for name in names]
        return fitted(head, long, [described(name, states.get(name)) for name in names], width)

    def _look_at_what_is_done(self, count):
        self.jobs_done, self.images = count, self.graph.run.images()
        self.to_do = [name for name in self.stages if not self.graph.is_done(name)]
        took = self.graph.run.seconds()
        self.measured = {}  # {kind: how many times as long as expected its stages took}
        for name in self.expected:
            if name in took and name not in self.to_do:
                factor = took[name] / self.lanes / self.expected[name]
                self.measured.setdefault(self.stages[name].kind, []).append(factor)

    def _rate(self, name, state):
        """Images or iterations a second since the stage was seen first; None before it can be told."""
        if state.done in (None, status.UNKNOWN):
            return None
        when, done = self.begun.get(name, (0, state.done + 1))
        if state.done < done:
            self.begun[name] = time.monotonic(), state.done
            return None
        return (state.done - done) / (time.monotonic() - when) or None

    def _left(self, states, rates):
        """Seconds that the run will still take: what is not done, in as many lanes as there are, or the chain alone."""
        factors = {kind: statistics.median(found) for kind, found in self.measured.items()}
        for name, rate in rates.items():
            stage = self.stages.get(name)
            if stage and stage.kind not in factors and rate and time.monotonic() - self.begun[name][0] > ENOUGH:
                lanes = 1 if stage.images else self.lanes  # parts of a stage with images go on side by side
                factors[stage.kind] = states[name].total / rate / lanes / self.expected[name]
        trained = [factors[kind] for kind in TASKS if kind in factors]
        needed = {}
        for name in self.to_do:
            kind, state = self.stages[name].kind, states.get(name, status.State())
            like = statistics.median(trained) if trained and kind in TASKS else 1
            left = 1 - state.done / state.total if state.done and 0 < state.done <= state.total else 1
            needed[name] = self.expected[name] * factors.get(kind, like) * left
        alone = {name: each * (1 if self.stages[name].images else self.lanes) for name, each in needed.items()}
        return max(sum(needed.values()), *self.graph.longest(alone).values())


def described(name, state, rate=None, stage=None):
    """'classification.step1 31/400, loss 0.123, 4.5/s'; without a stage only how far it is."""
    if state is None or state.done in (None, status.UNKNOWN):
        return name
    text = f"{name} {state.counted}"
    if stage:
        text += " images" if stage.images else "" if state.loss is None else f", loss {state.loss:.3f}"
    if rate:
        text += f", {rate:.1f}/s" if rate >= 1 else f", {1 / rate:.1f} s each"
    return text


def fitted(head, long, short, width):
    """The head and as much of the jobs as has room: all of it, the first ones at length, or only the first ones."""
    count = len(long)
    choices = [[head, *long[:full], *short[full:]] for full in range(count, 0, -1)]
    for first in (long, short):
        choices += [[head, first[0], *short[1:shown], f"+{count - shown}"] for shown in range(count - 1, 0, -1)]
    lines = map(" | ".join, choices or [[head]])
    return next((line for line in lines if len(line) <= width), head[:width])


def duration(seconds):
    """'2 d 3 h', '5 h 20 min', '12 min', 'under a minute'."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute"
    parts = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    first = next(k for k, (value, _) in enumerate(parts) if value)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value)
