"""Measures seconds and memory of the full-size nets, and memory of the per-image stages."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from aepsl.base.files import write_text
from aepsl.bench.processes import in_a_process, peak_mib
from aepsl.data import synthetic
from aepsl.images.pictures import write_mask
from aepsl.nets import device
from aepsl.paper import published
from aepsl.settings import experiments
from aepsl.training import stand_ins

COMMANDS = """\
saliency --data {0}/data --list train_aug --out {0}/maps
mine --experiment demo --data {0}/data --model {0}/classification.caffemodel --out {0}/mined
masks --experiment demo --data {0}/data --regions {0}/mined --saliency {0}/maps --out {0}/S
segment --experiment demo --data {0}/data --list train_aug --model {0}/segmentation.caffemodel --out {0}/segmented
evaluate --pred {0}/segmented/crf --gt {0}/data/SegmentationClassAug --classes {0}/data/classes.txt \
--ids {0}/data/ImageSets/Segmentation/train_aug.txt --json {0}/out.json
evaluate-regions --experiment demo --data {0}/data --regions {0}/mined --out {0}/shares.json"""


def full_size(name: str = published.PAPERS_EXPERIMENT) -> list[dict]:
    """The rows of each net of the experiment `name`, on the CPU:

    [{'net': name, 'stage': task, 'forward_s': ..., 'backward_s': ..., 'two_iterations_s': ..., 'peak_mib': ...}]
    """
    return [in_a_process(_full_size, name, task) for task in experiments.TASKS]


def _full_size(name, task):
    device.use(None)
    with tempfile.TemporaryDirectory() as folder:
        solver = stand_ins.solver(experiments.load(name), task, folder, batch=2)
        marks = [time.time()]
        for pass_ in (solver.net.forward, solver.net.backward, lambda: solver.step(2)):
            pass_()
            marks.append(time.time())
    seconds = dict(zip(("forward_s", "backward_s", "two_iterations_s"), map(float, np.diff(marks))))
    return dict(net=name, stage=task, **seconds, peak_mib=peak_mib())


def memory(counts: Sequence[int] = (1000, 10582)) -> list[dict]:
    """[{'stage': ..., 'peak_mib_of_1000': ..., 'peak_mib_of_10582': ..., 'ratio': ...}]"""
    first, second = map(_peaks, counts)
    names = [f"peak_mib_of_{count}" for count in counts]
    return [
        {"stage": stage, names[0]: first[stage], names[1]: second[stage], "ratio": second[stage] / first[stage]}
        for stage in first
    ]


def _peaks(count):
    """{stage: peak MiB} of each of COMMANDS on `count` images of 24 x 24 pixels, all links to one file."""
    with tempfile.TemporaryDirectory() as folder:
        _draw(os.path.join(folder, "data"), [f"image{k:05}" for k in range(count)])
        for task in ("classification", "segmentation"):
            stand_ins.model(experiments.load("demo"), task, folder)
        commands = [[word.format(folder) for word in line.split()] for line in COMMANDS.splitlines()]
        return {command[0]: _peak_of_command([sys.executable, "-m", "aepsl", *command]) for command in commands}


def _draw(root, ids):
    """A data set of the images `ids` in `root`."""
    synthetic.run(root, train=1, val=1, seed=1)
    image, mask = cv2.imread(f"{root}/JPEGImages/train_000001.jpg"), np.zeros((24, 24), np.uint8)
    mask[4:9, 4:9] = 1
    cv2.imwrite(f"{root}/JPEGImages/{ids[0]}.jpg", cv2.resize(image, mask.shape))
    write_mask(f"{root}/SegmentationClassAug/{ids[0]}.png", mask)
    for image_id in ids[1:]:
        for name in ("JPEGImages/{}.jpg", "SegmentationClassAug/{}.png"):
            os.link(os.path.join(root, name.format(ids[0])), os.path.join(root, name.format(image_id)))
    write_text(f"{root}/ImageSets/Segmentation/train_aug.txt", "\n".join(ids) + "\n")
    write_text(f"{root}/image_labels.txt", "".join(f"{image_id} {synthetic.CLASSES[0]}\n" for image_id in ids))


def _peak_of_command(arguments):
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return usage.ru_maxrss / 1024


PARTS: dict[str, tuple[str, Callable]] = {  # {part: (title, function that returns its rows)}
    "full-size": ("The full-size nets on the CPU, batch 2, crops of 321, seconds", full_size),
    "memory": ("Peak memory of the per-image stages, by the images that they go through", memory),
}
