"""How far a stage of a run is, also while it runs."""

import datetime
import os
import re
import time
from typing import NamedTuple, Optional

from aepsl.base.errors import InputError
from aepsl.base.files import read_text
from aepsl.graph.run_folder import DAMAGED, RunFolder
from aepsl.run import written

UNKNOWN = -1  # a number that is not known yet


class State(NamedTuple):
    """How far a stage is: images or iterations done, and of how many; UNKNOWN, or None where it has not begun."""

    done: Optional[int] = None
    total: Optional[int] = None
    loss: Optional[float] = None
    note: str = ""

    @property
    def counted(self):
        """'100/300', with ? for what is not known; '' before it has begun."""
        return "" if self.done is None else f"{self.done}/{self.total}".replace(str(UNKNOWN), "?")


def state_of(stage, images):
    """The State of a stage; images: {list: how many}. A file that cannot be read, or does not fit, is the note."""
    for _ in range(3):  # while it runs, files come and go between two looks at them
        try:
            return of_images(stage, images) if stage.images else of_training(stage)
        except DAMAGED as error:
            fault = str(error) if isinstance(error, InputError) else "its files cannot be read"
            time.sleep(0.1)
    return State(UNKNOWN, UNKNOWN, note=fault)


def of_training(stage):
    """The State of a training: where it says that it is, or else its newest snapshot."""
    solver = os.path.join(stage.out, "solver.prototxt")
    if not os.path.exists(solver):
        return State()
    total = int(re.search(r"^max_iter: (\d+)", read_text(solver) or "", re.M)[1])
    if os.path.exists(RunFolder.model(stage.out)):
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


def of_images(stage, images):
    """The State of a stage that goes through images, by its results."""
    results = os.path.join(stage.out, "crf") if stage.kind in ("segment", "relabel") else stage.out
    if not os.path.isdir(results):
        return State()
    done = sum(entry.name.endswith(".png") for entry in os.scandir(results))
    return State(done, images.get(stage.images, UNKNOWN), note=f"newest {_ago(results)}")


def _ago(path):
    return f"{datetime.timedelta(seconds=round(time.time() - os.stat(path).st_mtime))} ago"
