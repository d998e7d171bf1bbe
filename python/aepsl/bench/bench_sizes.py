"""Seconds and memory of the full-size nets, and memory of the stages that go through images."""

import os
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np

from aepsl.base.files import write_text
from aepsl.bench.bench_processes import in_a_process, peak_mib
from aepsl.data import synthetic
from aepsl.images.pictures import write_grey, write_mask
from aepsl.nets import build, caffemodel, device
from aepsl.paper import published
from aepsl.settings import experiments
from aepsl.training import stand_ins


def full_size(name=published.PAPERS_EXPERIMENT):
    """Of each net of the experiment `name`, on the CPU:

    [{'net': name, 'stage': task, 'forward_s': ..., 'backward_s': ..., 'two_iterations_s': ..., 'peak_mib': ...}]
    """
    return [in_a_process(_full_size, name, task) for task in experiments.TASKS]


def _full_size(name, task):
    device.use(None)
    experiment = experiments.load(name)
    experiment["training"][task] = dict(experiment["training"][task], batch=2)
    with tempfile.TemporaryDirectory() as folder:
        solver = stand_ins.solver(experiment, task, folder)
        marks = [time.time()]
        for pass_ in (solver.net.forward, solver.net.backward, lambda: solver.step(2)):
            pass_()
            marks.append(time.time())
    forward, backward, two = map(float, np.diff(marks))
    return dict(
        net=experiment["name"],
        stage=task,
        forward_s=forward,
        backward_s=backward,
        two_iterations_s=two,
        peak_mib=peak_mib(),
    )


def memory(counts=(1000, 10582)):
    """[{'stage': ..., 'peak_mib_of_1000': ..., 'peak_mib_of_10582': ..., 'ratio': ...}]"""
    stages = ("saliency", "mine", "masks", "segment", "evaluate", "evaluate-regions")
    peaks = zip(*(_stages_on(count, stages) for count in counts))
    return [
        dict(stage=stage, **{f"peak_mib_of_{n}": peak for n, peak in zip(counts, own)}, ratio=own[1] / own[0])
        for stage, own in zip(stages, peaks)
    ]


def _stages_on(count, stages):
    """Peak MiB of each stage, run as a command on `count` images of 24 x 24 pixels that are links to one."""
    with tempfile.TemporaryDirectory() as folder:
        ids = [f"image{k:05}" for k in range(count)]
        root = os.path.join(folder, "data")
        synthetic.run(root, train=1, val=1, seed=1)
        first = "train_000001"
        image = cv2.resize(cv2.imread(f"{root}/JPEGImages/{first}.jpg"), (24, 24))
        mask = np.zeros((24, 24), np.uint8)
        mask[4:9, 4:9] = 1
        cv2.imwrite(f"{root}/JPEGImages/{first}.jpg", image)
        write_mask(f"{root}/SegmentationClassAug/{first}.png", mask)
        write_grey(f"{folder}/regions/{first}.png", mask.astype(np.uint16))
        write_grey(f"{folder}/saliency/{first}.png", 255 - 255 * mask)
        for place in (f"{root}/JPEGImages", f"{root}/SegmentationClassAug", f"{folder}/regions", f"{folder}/saliency"):
            extension = ".jpg" if place.endswith("Images") else ".png"
            for image_id in ids:
                os.link(f"{place}/{first}{extension}", f"{place}/{image_id}{extension}")
        write_text(f"{root}/ImageSets/Segmentation/train_aug.txt", "\n".join(ids) + "\n")
        write_text(f"{root}/image_labels.txt", "".join(f"{i} {synthetic.CLASSES[0]}\n" for i in ids))
        for task in ("classification", "segmentation"):
            net = caffemodel.net_of(build.deploy_net(experiments.load("demo"), task))
            net.save(f"{folder}/{task}.caffemodel")
        common = ["--experiment", "demo", "--data", root]
        arguments = dict(
            saliency=["--data", root, "--list", "train_aug", "--out", f"{folder}/maps"],
            mine=[*common, "--model", f"{folder}/classification.caffemodel", "--out", f"{folder}/mined"],
            masks=[
                *common,
                "--regions",
                f"{folder}/regions",
                "--saliency",
                f"{folder}/saliency",
                "--out",
                f"{folder}/S",
            ],
            segment=[*common, "--list", "train_aug", "--model", f"{folder}/segmentation.caffemodel"]
            + ["--out", f"{folder}/segmented"],
            evaluate=["--pred", f"{folder}/segmented/crf", "--gt", f"{root}/SegmentationClassAug"]
            + ["--ids", f"{root}/ImageSets/Segmentation/train_aug.txt", "--classes", f"{root}/classes.txt"]
            + ["--json", f"{folder}/out.json"],
            **{"evaluate-regions": [*common, "--regions", f"{folder}/regions", "--out", f"{folder}/shares.json"]},
        )
        return [_peak_of_command([sys.executable, "-m", "aepsl", stage, *arguments[stage]]) for stage in stages]


def _peak_of_command(arguments):
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return usage.ru_maxrss / 1024


PARTS = {"full-size": full_size, "memory": memory}
TITLES = {
    "full-size": "The full-size nets on the CPU, batch 2, crops of 321, seconds",
    "memory": "Peak memory of the per-image stages, by the images that they go through",
}
