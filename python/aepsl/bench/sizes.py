"""Seconds and memory of the full-size nets, and memory of the stages that go through images."""

import glob
import os
import subprocess
import sys
import tempfile
import time

import caffe
import cv2
import numpy as np

from aepsl.base.files import write_text
from aepsl.bench.processes import in_a_process, peak_mib
from aepsl.data import synthetic
from aepsl.images.pictures import write_grey, write_mask
from aepsl.nets import device
from aepsl.paper import published
from aepsl.settings import experiments
from aepsl.training import stand_ins

COMMANDS = """\
saliency --data {0}/data --list train_aug --out {0}/maps
mine --experiment demo --data {0}/data --model {0}/classification.caffemodel --out {0}/mined
masks --experiment demo --data {0}/data --regions {0}/regions --saliency {0}/saliency --out {0}/S
segment --experiment demo --data {0}/data --list train_aug --model {0}/segmentation.caffemodel --out {0}/segmented
evaluate --pred {0}/segmented/crf --gt {0}/data/SegmentationClassAug --classes {0}/data/classes.txt \
--ids {0}/data/ImageSets/Segmentation/train_aug.txt --json {0}/out.json
evaluate-regions --experiment demo --data {0}/data --regions {0}/regions --out {0}/shares.json"""


def full_size(name=published.PAPERS_EXPERIMENT):
    """Of each net of the experiment `name`, on the CPU:

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


def memory(counts=(1000, 10582)):
    """[{'stage': ..., 'peak_mib_of_1000': ..., 'peak_mib_of_10582': ..., 'ratio': ...}]"""
    first, second = map(_peaks, counts)
    names = [f"peak_mib_of_{count}" for count in counts]
    return [
        {"stage": stage, names[0]: first[stage], names[1]: second[stage], "ratio": second[stage] / first[stage]}
        for stage in first
    ]


def _peaks(count):
    """{stage: peak MiB} of each of COMMANDS on `count` images of 24 x 24 pixels that are links to one."""
    with tempfile.TemporaryDirectory() as folder:
        _draw(folder, [f"image{k:05}" for k in range(count)])
        for task in ("classification", "segmentation"):
            net = caffe.Net(experiments.prototxt(experiments.load("demo"), task, "deploy"), caffe.TEST)
            net.save(f"{folder}/{task}.caffemodel")
        commands = [[word.format(folder) for word in line.split()] for line in COMMANDS.splitlines()]
        return {command[0]: _peak_of_command([sys.executable, "-m", "aepsl", *command]) for command in commands}


def _draw(folder, ids):
    """Data of the images `ids` in `folder`/data, and regions and saliency maps of them in `folder`."""
    root, first = os.path.join(folder, "data"), ids[0]
    synthetic.run(root, train=1, val=1, seed=1)
    image = cv2.resize(cv2.imread(f"{root}/JPEGImages/train_000001.jpg"), (24, 24))
    mask = np.zeros((24, 24), np.uint8)
    mask[4:9, 4:9] = 1
    cv2.imwrite(f"{root}/JPEGImages/{first}.jpg", image)
    write_mask(f"{root}/SegmentationClassAug/{first}.png", mask)
    write_grey(f"{folder}/regions/{first}.png", mask.astype(np.uint16))
    write_grey(f"{folder}/saliency/{first}.png", 255 - 255 * mask)
    for path in glob.glob(f"{glob.escape(folder)}/**/{first}.*", recursive=True):
        for image_id in ids[1:]:
            os.link(path, os.path.join(os.path.dirname(path), image_id + os.path.splitext(path)[1]))
    write_text(f"{root}/ImageSets/Segmentation/train_aug.txt", "\n".join(ids) + "\n")
    write_text(f"{root}/image_labels.txt", "".join(f"{image_id} {synthetic.CLASSES[0]}\n" for image_id in ids))


def _peak_of_command(arguments):
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return usage.ru_maxrss / 1024


PARTS = {  # part: title, what measures its rows
    "full-size": ("The full-size nets on the CPU, batch 2, crops of 321, seconds", full_size),
    "memory": ("Peak memory of the per-image stages, by the images that they go through", memory),
}
