"""What a run will cost, stage by stage, before it begins: `make reproduce-dry`. See aepsl.run.costs."""

import os
from typing import Optional

from aepsl import cli
from aepsl.base.table import Table, number
from aepsl.data import source_table
from aepsl.graph.graph import Graph
from aepsl.paper import published
from aepsl.run import costs, new_experiment, rows, start
from aepsl.settings.experiments import TASKS
from aepsl.settings.typed import Experiment

SEVERAL = (2, 4, 8)  # GPUs


def report(experiment: Experiment, gpus: int = 0, cores: int = 1, data: Optional[str] = None) -> str:
    """Hours and disk that the stages of the experiment are expected to take, as text.

    gpus: 0 for the CPU alone; data: the folder of a data set, whose images are counted.
    """
    graph = Graph(experiment)
    took = {name: each for name, each in graph.run.seconds().items() if name in graph.stages and graph.is_done(name)}
    images = costs.images_of(graph, data)
    told = f"{images['train']} training and {images['val']} validation images. {costs.speed(gpus, cores)[1]}"
    factor, count = costs.learned(graph, took, gpus, cores, images)
    if count:
        told += f". The {count} trainings of this run took {factor:.2f} times that long, which is counted in"
    seconds = costs.expected(graph, gpus, cores, factor, images)
    hours = {name: took.get(name, each) / 3600 for name, each in seconds.items()}
    disk = {stage.name: costs.disk_of(graph, stage, images) for stage in graph.shown()}
    lines = [_row(name, hours[name], disk[name], "as it was" * (name in took)) for name in disk]
    downloaded = {name: size / 1e9 for name, size in downloads(experiment).items()}
    lines += [_row(name, None, size, "downloaded") for name, size in downloaded.items()]
    total, size = sum(hours.values()), sum(disk.values()) + sum(downloaded.values())
    lines.append(_row("all, on one GPU" if gpus else "one after the other", total, size))
    for several in sorted({*SEVERAL, gpus} - {1}) if gpus else ():
        lines.append(_row(f"on {several} GPUs, at best", max(*graph.longest(hours).values(), total / several)))
    memory = [[task, f"{number(costs.memory_of_training(experiment, task) / 2**30)} GiB"] for task in TASKS]
    caption = "Memory of a training on a GPU, computed"
    tables = Table("", ["stage", "hours", "disk", ""], lines, told + "."), Table(caption, ["net", "memory"], memory)
    return "\n\n".join(table.text() for table in tables)


def _row(name: str, hours: Optional[float], disk: Optional[float] = None, note: str = "") -> list[str]:
    return [name, number(hours, 2), "" if disk is None else f"{number(disk, 2)} GB", note]


def downloads(experiment: Experiment) -> dict[str, int]:
    """{file: bytes} of all files that `make reproduce` downloads if the user has none of them."""
    files = source_table.load()["files"]
    wanted = [experiment.initial_weights] + [name for name in files if experiment.name == published.PAPERS_EXPERIMENT]
    sizes = {name: files[name].get("size", 0) for name in wanted if name in files}
    return {name: size for name, size in sizes.items() if size and (name == wanted[0] or "unpack" in files[name])}


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, given=["data", "gpu", "row", "cores"])
    parser.add_argument("name", help="the experiment, or a new name for the data of --data")
    asked = parser.parse_args(argv)
    experiment = new_experiment.settings(asked.name, asked.data)
    if asked.row:
        experiment = rows.only(Graph(experiment), asked.row.split(","))
    cores = start.cores_of(asked.cores) or len(os.sched_getaffinity(0))
    has_own = not experiment.synthetic and experiment.name != published.PAPERS_EXPERIMENT
    print(report(experiment, cli.count(asked.gpu or ""), cores, asked.data if has_own else None))
