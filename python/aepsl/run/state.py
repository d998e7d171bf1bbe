"""The progress of a stage, also while it runs."""

import datetime
import os
import re
import time
from collections.abc import Mapping
from typing import NamedTuple, Optional

from aepsl.base.errors import InputError
from aepsl.base.files import read_text
from aepsl.graph.run_folder import DAMAGED
from aepsl.graph.stage import Stage
from aepsl.run import written

UNKNOWN = -1  # a number that is not known yet


class State(NamedTuple):
    """done, total: images or iterations; UNKNOWN for a number that is not known; None before the stage has begun."""

    done: Optional[int] = None
    total: Optional[int] = None
    loss: Optional[float] = None
    note: str = ""

    @property
    def counted(self) -> str:
        """'100/300', with ? for an unknown number; '' before the stage has begun."""
        return "" if self.done is None else f"{self.done}/{self.total}".replace(str(UNKNOWN), "?")


def state_of(stage: Stage, images: Mapping[str, int]) -> State:
    """The State of a stage; images: {list: how many}. Its note names a file that cannot be read or is invalid."""
    for _ in range(3):  # a running stage may replace a file between two reads
        try:
            return of_images(stage, images) if stage.images else of_training(stage)
        except DAMAGED as error:
            fault = str(error) if isinstance(error, InputError) else "its files cannot be read"
            time.sleep(0.1)
    return State(UNKNOWN, UNKNOWN, note=fault)


def of_training(stage: Stage) -> State:
    """The State of a training: from progress.json, or else from its newest snapshot."""
    solver = os.path.join(stage.out, "solver.prototxt")
    if not os.path.exists(solver):
        return State()
    total = int(re.findall(r"^max_iter: (\d+)", read_text(solver) or "", re.M)[0])
    if os.path.exists(stage.result):
        return State(total, total)
    path, now = (os.path.join(stage.out, name) for name in ("snapshot.json", "progress.json"))
    snapshot = written.read(path) if os.path.exists(path) else None
    age = f"snapshot {_ago(path)}" if snapshot else f"begun {_ago(solver)}; no snapshot yet"
    if os.path.exists(now):
        where = written.read(now)
        loss = where["loss"]
        return State(where["iteration"], total, loss, f"loss {loss:.3f} {_ago(now)}; {age}")
    if not snapshot:
        return State(UNKNOWN, total, note=age)
    losses = [sum(row[1:]) for row in snapshot["rows"][-20:]]
    loss = sum(losses) / len(losses)
    return State(snapshot["iteration"], total, loss, f"loss {loss:.3f}; {age}")


def of_images(stage: Stage, images: Mapping[str, int]) -> State:
    """The State of a stage that processes images: the number of its results."""
    if not os.path.isdir(stage.result):
        return State()
    done = sum(entry.name.endswith(".png") for entry in os.scandir(stage.result))
    return State(done, images.get(stage.images or "", UNKNOWN), note=f"newest {_ago(stage.result)}")


def _ago(path: str) -> str:
    return f"{datetime.timedelta(seconds=round(time.time() - os.stat(path).st_mtime))} ago"
