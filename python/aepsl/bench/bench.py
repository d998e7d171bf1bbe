"""Measures the speed of every stage against its bound, memory, and a run's use of its cores: `make bench`.

Prints tables and writes the same to runs/bench.json: {part: {"title": text, "host": {name: text}, "rows": [{...}]}}.
A part that is measured again replaces its last figures; the others stay. All data are generated. A stage and its bound
are measured in turns, with one thread, in one process and in two at once, as a run's shards are. On a GPU only one
process at a time is measured, so that the GPU's memory is its own.

A ratio is of images/s: 1 is as fast as the bound. The row of a stage has
    net, stage, bound       the experiment, the stage, and the bound that it is measured against
    images_per_second, bound_images_per_second, ratio, wanted (the ratio that is the aim, if any), peak_mib
    two_images_per_second, two_ratio, scaling      of two processes at once; scaling: two over one

training     an iteration, with decoding of the images, against `caffe time` on data in memory
mining       against the net's forward pass on the same pixels; segmentation: the same, to the mask without CRF
data         the data layer's batches in one process, against cv2.imread and Pillow of the same files
saliency     maps of photos, against the segmentation into regions alone by scikit-image
crf          of photos, against pydensecrf called directly on the same energies
evaluation   confusion matrices from files, against np.bincount of the pairs of decoded masks
full-size    seconds and memory of the voc12 nets at batch 2: forward, backward, and two iterations of the solver
memory       peak memory of the per-image stages for 1,000 and for 10,582 images
run NAME     of a finished run, --run NAME: the bounds of its stages' work against its cores and wall clock
"""

import argparse
import os
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Optional

from aepsl import cli
from aepsl.base import host
from aepsl.base.errors import InputError
from aepsl.base.files import read_json, write_json
from aepsl.base.table import Table
from aepsl.bench import cases, processes, run, sizes
from aepsl.graph import run_folder
from aepsl.paper import published
from aepsl.run import measured
from aepsl.settings import experiments

OUT = os.path.join(run_folder.ROOT, "bench.json")
PUBLISHED = 4.84  # images/s of training LargeFOV, as DeepLab's paper has it
HEADINGS = dict(
    images_per_second="images/s",
    bound_images_per_second="bound's",
    two_images_per_second="two at once",
    two_ratio="their ratio",
    peak_mib="peak MiB",
)


class Stage(NamedTuple):
    """A stage to measure; prepare(folder, *arguments), of aepsl.bench.cases, gives its Case."""

    net: str
    stage: str
    bound: str
    prepare: Callable
    arguments: tuple
    wanted: Optional[float] = None
    gpu: Optional[int] = None


def stages(gpu: Optional[int] = None) -> dict[str, list[Stage]]:
    """{part: [Stage, ...]}; gpu: None, or the number of a GPU; there voc12's nets are measured too."""
    batches = dict(demo=(None, 5), rehearsal=(4, 2), photos=(1, 1))  # images, and iterations of a turn
    counts = dict(demo=100, rehearsal=20, photos=2)  # images
    if gpu is not None:
        batches, counts = dict(batches, voc12=(None, 3)), dict(counts, voc12=20)
    return dict(
        training=[
            Stage(net, task, "caffe time", cases.training, (net, task, *size, gpu), gpu=gpu)
            for net, size in batches.items()
            for task in experiments.TASKS
        ],
        mining=[
            Stage(net, "mine", "forward pass", cases.mining, (net, n, gpu), 1 / 1.1, gpu) for net, n in counts.items()
        ],
        segmentation=[
            Stage(net, "segment, without CRF", "forward pass", cases.segmentation, (net, n, gpu), gpu=gpu)
            for net, n in counts.items()
        ],
        data=[
            Stage(net, stage, bound, cases.data_layer, (net, stage == "images and masks"), 0.7)
            for net in ("demo", "rehearsal", "voc12")
            for stage, bound in {"images": "imread", "images and masks": "imread, Pillow"}.items()
        ],
        saliency=[
            Stage("any", "drfi", "felzenszwalb", cases.saliency, ("drfi", 3)),
            Stage("any", "rbd", "slic", cases.saliency, ("rbd", 10)),
        ],
        crf=[
            Stage("voc12", "crf, 2 labels", "pydensecrf", cases.dense_crf, (2, 3)),
            Stage("voc12", "crf, 20 labels", "pydensecrf", cases.dense_crf, (20, 1)),
        ],
        evaluation=[Stage("any", "evaluate", "np.bincount", cases.evaluation, (30,))],
    )


TITLES = dict(
    training="A training iteration",
    mining="Mining",
    segmentation="Segmentation",
    data="The data layer, one process",
    saliency="Saliency of photos of 500 x 375",
    crf="The CRF of photos of 500 x 375",
    evaluation="Evaluation of masks of 500 x 375",
)


def row(stage: Stage, repeats: int = 3) -> dict:
    """Measure a Stage in one process, and in two at once: medians of `repeats`. The row is explained above."""
    ours, bound, peak = processes.measured(stage.prepare, stage.arguments, repeats)
    two, two_bound = None, None
    if stage.gpu is None and len(os.sched_getaffinity(0)) > 1:
        two, two_bound, _ = processes.measured(stage.prepare, stage.arguments, repeats, processes=2)
    return dict(
        net=stage.net,
        stage=stage.stage,
        bound=stage.bound,
        images_per_second=ours,
        bound_images_per_second=bound,
        ratio=ours / bound,
        wanted=stage.wanted,
        two_images_per_second=two,
        two_ratio=two / two_bound if two and two_bound else None,
        scaling=two and two / ours,
        peak_mib=peak,
    )


def rows_of(part: str, gpu: Optional[int]) -> Iterator[dict]:
    """The rows of a part of `stages`; with a GPU also those of the published speed and of gpu-session's."""
    for stage in stages(gpu)[part]:
        found = row(stage)
        yield found
        if part == "training" and stage.net == published.PAPERS_EXPERIMENT:
            others = {run.OTHERS[0]: PUBLISHED, run.OTHERS[1]: measured.images_per_second(gpu or 0).get(stage.stage)}
            for bound, rate in others.items():
                if rate:
                    ratio = found["images_per_second"] / rate
                    yield dict(found, bound=bound, bound_images_per_second=rate, ratio=ratio, two_ratio=None)


def table(title: str, rows: list[dict]) -> Table:
    """The rows as a Table: a column for each of their keys."""
    names = [HEADINGS.get(name, name.replace("_", " ")) for name in rows[0]]
    return Table(title, names, [list(map(text, each.values())) for each in rows])


def text(value: Any) -> str:
    """A figure with two decimals below 100, else without; '' for None."""
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
    return "" if value is None else str(value)


def kept(path: str = OUT) -> dict:
    """The content of the JSON file `path`; {} if it is missing."""
    return read_json(path) if os.path.exists(path) else {}


def keep(part: str, title: str, rows: list[dict], path: str = OUT) -> None:
    """Put a part into the JSON file `path`, with the machine that it was measured on."""
    write_json(path, {**kept(path), part: dict(title=title, host=dict(host.made_on(), **processes.blas()), rows=rows)})


def measure(part: str, gpu: Optional[int]) -> tuple[str, list[dict]]:
    """(title, rows) of a part."""
    if part in sizes.PARTS:
        title, rows = sizes.PARTS[part]
        return title, rows()
    title = TITLES[part] + (f", GPU {gpu}" if gpu is not None and part in ("training", "mining") else "")
    return title, list(rows_of(part, gpu))


def _publish(part, title, rows):
    keep(part, title, rows)
    print("\n" + table(title, rows).text(), flush=True)


def main(argv: Optional[list[str]] = None) -> None:
    parts = [*TITLES, *sizes.PARTS]
    parser = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(parts)} (all)")
    parser.add_argument("--run", metavar="NAME", help="a run in runs/ that is measured, alone or with PARTs")
    parser.add_argument("--gpu", default=os.environ.get("GPU") or "", help="the GPU's number (none: the CPU)")
    asked = parser.parse_args(argv)
    unknown = [part for part in asked.parts if part not in parts]
    if unknown:
        raise InputError(f"bench has no part {unknown[0]}; there are {', '.join(parts)}, and --run NAME")
    gpu = 0 if cli.count(asked.gpu) else None
    for part in asked.parts or ([] if asked.run else parts):
        _publish(part, *measure(part, gpu))
    if asked.run:
        _publish(f"run {asked.run}", run.TITLE.format(asked.run), run.rows(asked.run, kept()))
    print(f"\nAll of this is in {OUT}")
