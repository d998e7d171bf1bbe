"""Where a run is. Reads the run's folder alone, also while it runs."""

import argparse
import datetime
import glob
import os
import time

from caffe.proto import caffe_pb2

from aepsl.caffe_nets import caffemodel
from aepsl.errors import InputError
from aepsl.files import read_json
from aepsl.stages.results import seconds_of_stages


def report(run):
    """What is done of each stage of the run's folder, of how much, how long it took, and what is under way, as text."""
    path = os.path.join(run, "settings", "stages.json")
    if not os.path.exists(path):
        raise InputError(f"{run}: is no run that has begun; `make reproduce` begins one, `make demo` another")
    seconds = seconds_of_stages(os.path.join(run, "seconds"))
    lines = [f"{run:26}{'done':>14}{'time':>18}"]
    for stage in read_json(path):
        progress = of_images if stage["images"] else of_training
        done, is_whole, note = progress(run, stage)
        took = seconds.get(stage["name"])
        clock = str(datetime.timedelta(seconds=round(took))) if is_whole and took is not None else ""
        lines.append(f"{stage['name']:26}{done:>14}{clock:>18}  {note}".rstrip())
    finished = os.path.exists(os.path.join(run, "results.json"))
    lines.append("Finished; `make report` prints its tables." if finished else "Not finished.")
    return "\n".join(lines)


def of_training(run, stage):
    """(iterations done and to do, whether that is all, the loss and the snapshot's age while it trains)."""
    folder = os.path.join(run, stage["folder"])
    solver = os.path.join(folder, "solver.prototxt")
    if not os.path.exists(solver):
        return "", False, ""
    total = caffemodel.read_prototxt(solver, caffe_pb2.SolverParameter()).max_iter
    if os.path.exists(os.path.join(folder, "final.caffemodel")):
        return f"{total}/{total}", True, ""
    path = os.path.join(folder, "snapshot.json")
    if not os.path.exists(path):
        return f"?/{total}", False, f"begun {_ago(solver)}; no snapshot yet"
    snapshot = read_json(path)
    losses = [sum(row[1:]) for row in snapshot["rows"][-20:]]
    note = f"loss {sum(losses) / len(losses):.3f}; snapshot {_ago(path)}"
    return f"{snapshot['iteration']}/{total}", False, note


def of_images(run, stage):
    """(images done and to do, whether that is all, the newest one's age while it goes on)."""
    folder = os.path.join(run, stage["folder"])
    marks = glob.glob(glob.escape(folder) + ".done/*") if os.path.isdir(folder + ".done") else [folder + ".done"]
    shards = {os.path.basename(mark).partition("-")[2] for mark in marks}
    is_whole = any(sum(mark.endswith(f"-{n}") for mark in marks) == int(n) for n in shards if n)
    is_whole = is_whole or os.path.isfile(folder + ".done")
    results = os.path.join(folder, "crf") if stage["kind"] in ("segment", "relabel") else folder
    if not os.path.isdir(results):
        return "", False, ""
    done = sum(entry.name.endswith(".png") for entry in os.scandir(results))
    total = _images(run).get(stage["images"], "?")
    return f"{done}/{total}", is_whole, "" if is_whole else f"newest {_ago(results)}"


def _images(run):
    path = os.path.join(run, "checked")
    return read_json(path) if os.path.exists(path) and os.path.getsize(path) else {}


def _ago(path):
    return f"{datetime.timedelta(seconds=round(time.time() - os.stat(path).st_mtime))} ago"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="folder of a run")
    print(report(parser.parse_args(argv).run))
