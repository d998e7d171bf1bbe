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
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple, Optional

from threadpoolctl import threadpool_info

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


class Part(NamedTuple):
    """Stages that are measured alike; prepare(folder, *arguments), of aepsl.bench.cases, gives the Case of one.

    stages: {(net, stage, bound): arguments}; wanted: the ratio that is the aim; gpu: the GPU's number.
    """

    title: str
    prepare: Callable
    stages: dict[tuple[str, str, str], tuple]
    wanted: Optional[float] = None
    gpu: Optional[int] = None


def parts(gpu: Optional[int] = None) -> dict[str, Part]:
    """{name: Part}; gpu: None, or the number of a GPU; there voc12's nets are measured too."""
    nets = dict(demo=(None, 5, 100), rehearsal=(4, 2, 20), photos=(1, 1, 2))  # batch, iterations of a turn; images
    if gpu is not None:
        nets["voc12"] = (None, 3, 20)
    trained = {
        (net, task, "caffe time"): (net, task, batch, iterations, gpu)
        for net, (batch, iterations, _) in nets.items()
        for task in experiments.TASKS
    }
    whole = {(net, "forward pass"): (net, count, gpu) for net, (_, _, count) in nets.items()}
    mined = {(net, "mine", bound): each for (net, bound), each in whole.items()}
    segmented = {(net, "segment, without CRF", bound): each for (net, bound), each in whole.items()}
    loaded = {
        (net, *names): (net, with_masks)
        for net in ("demo", "rehearsal", "voc12")
        for names, with_masks in {("images", "imread"): False, ("images and masks", "imread, Pillow"): True}.items()
    }
    detected = {("any", "drfi", "felzenszwalb"): ("drfi", 3), ("any", "rbd", "slic"): ("rbd", 10)}
    refined = {("voc12", f"crf, {labels} labels", "pydensecrf"): (labels, count) for labels, count in ((2, 3), (20, 1))}
    counted = {("any", "evaluate", "np.bincount"): (30,)}
    where = "" if gpu is None else f", GPU {gpu}"
    return dict(
        training=Part(f"A training iteration{where}", cases.training, trained, gpu=gpu),
        mining=Part(f"Mining{where}", cases.mining, mined, 1 / 1.1, gpu),
        segmentation=Part(f"Segmentation{where}", cases.segmentation, segmented, gpu=gpu),
        data=Part("The data layer, one process", cases.data_layer, loaded, 0.7),
        saliency=Part("Saliency of photos of 500 x 375", cases.saliency, detected),
        crf=Part("The CRF of photos of 500 x 375", cases.dense_crf, refined),
        evaluation=Part("Evaluation of masks of 500 x 375", cases.evaluation, counted),
    )


def row(part: Part, names: tuple[str, str, str], repeats: int = 3) -> dict:
    """Measure a stage of a Part in one process, and in two at once: medians of `repeats`. The row: see above."""
    work = part.prepare, part.stages[names], repeats
    ours, bound, peak = processes.measured(*work)
    two, two_bound = None, None
    if part.gpu is None and len(os.sched_getaffinity(0)) > 1:
        two, two_bound, _ = processes.measured(*work, processes=2)
    return dict(
        zip(("net", "stage", "bound"), names),
        images_per_second=ours,
        bound_images_per_second=bound,
        ratio=ours / bound,
        wanted=part.wanted,
        two_images_per_second=two,
        two_ratio=two / two_bound if two and two_bound else None,
        scaling=two and two / ours,
        peak_mib=peak,
    )


def rows_of(part: Part) -> Iterator[dict]:
    """The rows of a Part; with a GPU also those of the published speed and of gpu-session's."""
    for names in part.stages:
        found = row(part, names)
        yield found
        if names[0] == published.PAPERS_EXPERIMENT and names[2] == "caffe time":
            theirs = measured.images_per_second(part.gpu or 0).get(names[1])
            for bound, rate in zip(run.OTHERS, (PUBLISHED, theirs)):
                if rate:
                    ratio = found["images_per_second"] / rate
                    yield dict(found, bound=bound, bound_images_per_second=rate, ratio=ratio, two_ratio=None)


def table(title: str, rows: Sequence[dict]) -> Table:
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


def publish(part: str, title: str, rows: Sequence[dict], path: str = OUT) -> None:
    """Print a part, and put it into the JSON file `path`, with the machine that it was measured on."""
    blas = ", ".join(os.path.basename(each["filepath"]) for each in threadpool_info() if each["user_api"] == "blas")
    write_json(path, {**kept(path), part: dict(title=title, host=dict(host.made_on(), blas=blas), rows=rows)})
    print("\n" + table(title, rows).text(), flush=True)


def main(argv: Optional[list[str]] = None) -> None:
    names = [*parts(), *sizes.PARTS]
    parser = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(names)} (all)")
    parser.add_argument("--run", metavar="NAME", help="a run in runs/ that is measured, alone or with PARTs")
    parser.add_argument("--gpu", default=os.environ.get("GPU") or "", help="the GPU's number (none: the CPU)")
    asked = parser.parse_args(argv)
    unknown = [part for part in asked.parts if part not in names]
    if unknown:
        raise InputError(f"bench has no part {unknown[0]}; there are {', '.join(names)}, and --run NAME")
    known = parts(0 if cli.count(asked.gpu) else None)
    for name in asked.parts or ([] if asked.run else names):
        if name in known:
            publish(name, known[name].title, list(rows_of(known[name])))
        else:
            title, rows = sizes.PARTS[name]
            publish(name, title, rows())
    if asked.run:
        publish(f"run {asked.run}", run.TITLE.format(asked.run), run.rows(asked.run, kept()))
    print(f"\nAll of this is in {OUT}")
