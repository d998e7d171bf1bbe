"""The progress of a stage, also while it runs."""

import datetime
import os
import re
import time
from collections.abc import Mapping
from typing import NamedTuple, Optional

from aepsl.base.files import read_json, read_text
from aepsl.graph.run_folder import DAMAGED
from aepsl.graph.stage import Stage

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
    """The State of a stage; images: {list: how many}. Its note names the folder if a file in it cannot be read."""
    for _ in range(3):  # a running stage may replace a file between two reads
        try:
            return of_images(stage, images) if stage.images else of_training(stage)
        except DAMAGED:
            time.sleep(0.1)
    return State(UNKNOWN, UNKNOWN, note=f"{stage.out}: a file in it is damaged; the run's next start makes it anew")


def of_training(stage: Stage) -> State:
    """The State of a training: from progress.json, or else from its newest snapshot."""
    solver = os.path.join(stage.out, "solver.prototxt")
    if not os.path.exists(solver):
        return State()
    total = int(re.findall(r"^max_iter: (\d+)", read_text(solver) or "", re.M)[0])
    if os.path.exists(stage.result):
        return State(total, total)
    path, now = (os.path.join(stage.out, name) for name in ("snapshot.json", "progress.json"))
    age = f"snapshot {_ago(path)}" if os.path.exists(path) else f"begun {_ago(solver)}; no snapshot yet"
    if os.path.exists(now):
        where = read_json(now)
        loss = float(where["loss"])
        return State(int(where["iteration"]), total, loss, f"loss {loss:.3f} {_ago(now)}; {age}")
    if not os.path.exists(path):
        return State(UNKNOWN, total, note=age)
    snapshot = read_json(path)
    losses = [sum(row[1:]) for row in snapshot["rows"][-20:]]
    loss = sum(losses) / len(losses)
    return State(int(snapshot["iteration"]), total, loss, f"loss {loss:.3f}; {age}")


def of_images(stage: Stage, images: Mapping[str, int]) -> State:
    """The State of a stage that processes images: the number of its results."""
    if not os.path.isdir(stage.result):
        return State()
    done = sum(entry.name.endswith(".png") for entry in os.scandir(stage.result))
    return State(done, images.get(stage.images or "", UNKNOWN), note=f"newest {_ago(stage.result)}")


def _ago(path: str) -> str:
    return f"{datetime.timedelta(seconds=round(time.time() - os.stat(path).st_mtime))} ago"
