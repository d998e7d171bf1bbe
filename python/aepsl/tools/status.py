"""Where a run is; also while it runs."""

import datetime
import os
import time

from caffe.proto import caffe_pb2

from aepsl import cli, experiments
from aepsl.caffe_nets import caffemodel
from aepsl.errors import InputError
from aepsl.files import read_json
from aepsl.run_folder import DAMAGED, RunFolder


def report(experiment):
    """What is done of each stage of a run, of how much, how long it took, and what is under way, as text."""
    run = RunFolder(experiment)
    if not os.path.isdir(run.path) or not os.listdir(run.path):
        raise InputError(f"{run.path}: is no run that has begun; `make reproduce` begins one, `make demo` another")
    seconds, images = run.seconds(), run.images()
    lines = [f"{run.path:26}{'done':>14}{'time':>18}"]
    for stage in run.stages():
        is_done = run.is_done(stage.name)
        done, note = state_of(stage, images)
        took = seconds.get(stage.name)
        clock = str(datetime.timedelta(seconds=round(took))) if is_done and took is not None else ""
        lines.append(f"{stage.name:26}{done:>14}{clock:>18}  {note * (not is_done)}".rstrip())
    finished = os.path.exists(run.results)
    lines.append("Finished; `make report` prints its tables." if finished else "Not finished.")
    return "\n".join(lines)


def state_of(stage, images):
    """(how much is done and of how much, a note), each '' where there is nothing yet."""
    for _ in range(3):  # while it runs, files come and go between two looks at them
        try:
            return of_images(stage, images) if stage.images else of_training(stage)
        except DAMAGED:
            time.sleep(0.1)
    return "?", "its files cannot be read"


def of_training(stage):
    """(iterations done and to do, the loss and the snapshot's age)."""
    solver = os.path.join(stage.folder, "solver.prototxt")
    if not os.path.exists(solver):
        return "", ""
    total = caffemodel.read_prototxt(solver, caffe_pb2.SolverParameter()).max_iter
    if os.path.exists(RunFolder.model(stage.folder)):
        return f"{total}/{total}", ""
    path = os.path.join(stage.folder, "snapshot.json")
    if not os.path.exists(path):
        return f"?/{total}", f"begun {_ago(solver)}; no snapshot yet"
    snapshot = read_json(path)
    losses = [sum(row[1:]) for row in snapshot["rows"][-20:]]
    note = f"loss {sum(losses) / len(losses):.3f}; snapshot {_ago(path)}"
    return f"{snapshot['iteration']}/{total}", note


def of_images(stage, images):
    """(images done and to do, the newest one's age)."""
    results = os.path.join(stage.folder, "crf") if stage.kind in ("segment", "relabel") else stage.folder
    if not os.path.isdir(results):
        return "", ""
    done = sum(entry.name.endswith(".png") for entry in os.scandir(results))
    return f"{done}/{images.get(stage.images, '?')}", f"newest {_ago(results)}"


def _ago(path):
    return f"{datetime.timedelta(seconds=round(time.time() - os.stat(path).st_mtime))} ago"


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("experiment", type=experiments.load, help="whose run")
    print(report(parser.parse_args(argv).experiment))
