"""Speed as a ratio against a bound, and the full-size nets' needs: `make bench`.

training   milliseconds of an iteration of training, images decoded and all, against `caffe time` of the same net
           and batch on data that is there already; measured in turns
crf        images a second of the CRF of training images, which takes only the image's own labels, on all cores,
           against all 21 channels in one process
full-size  seconds and memory of the voc12 nets at batch 2: forward, backward, and two iterations of the solver
memory     peak memory of the per-image stages for 1,000 and for 10,582 images
"""

import argparse
import copy
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

import caffe
import cv2
import numpy as np
from caffe import layers as L

from aepsl import experiments, paper
from aepsl.caffe_nets import build, device
from aepsl.data import synthetic
from aepsl.files import write_text
from aepsl.images import read_image, read_indexed, write_grey, write_mask
from aepsl.stages import crf, train

PHOTO = (500, 375)  # width and height of most of VOC's images


def training(repeats=5, iterations=5):
    print(f"\nA training iteration on the CPU, medians of {repeats} repeats of {iterations}")
    print(f"{'':12}{'training':>14}{'caffe time':>14}{'ratio':>8}")
    for name in ("demo", "rehearsal"):
        experiment = experiments.load(name)
        with tempfile.TemporaryDirectory() as folder:
            bound = os.path.join(folder, "bound.prototxt")
            write_text(bound, without_data(experiment))
            solver = solver_on_stand_ins(experiment, "classification", folder)
            solver.step(3)  # the processes that decode are ahead from here on
            ours, theirs = [], []
            for _ in range(repeats):
                start = time.time()
                solver.step(iterations)
                ours.append(1000 * (time.time() - start) / iterations)
                theirs.append(caffe_time(bound, iterations))
        ratio = np.median(np.array(ours) / theirs)
        print(f"{name:12}{np.median(ours):11.0f} ms{np.median(theirs):11.0f} ms{ratio:8.2f}", flush=True)


def solver_on_stand_ins(experiment, task, folder):
    """A solver on generated images, of the size of photos where the experiment's own are photos."""
    experiment = copy.deepcopy(experiment)
    data = os.path.join(folder, "data")
    synthetic.run(data, train=32, val=1, seed=1)
    if "synthetic" not in experiment:
        enlarge(data)
        experiment["classes"] = list(synthetic.CLASSES) + experiment["classes"][len(synthetic.CLASSES) :]
        write_text(os.path.join(data, "classes.txt"), "\n".join(experiment["classes"]) + "\n")
    experiment["folder"] = folder
    for path, text in build.committed(experiment).items():
        write_text(path, text)
    masks = None if task == "classification" else os.path.join(data, "SegmentationClassAug")
    train.write_prototxts(experiment, task, data, 32, os.path.join(folder, "run"), masks=masks)
    return caffe.get_solver(os.path.join(folder, "run", "solver.prototxt"))


def enlarge(data):
    """Give every image and mask of a synthetic data set the size of a photo."""
    for name in os.listdir(os.path.join(data, "JPEGImages")):
        path = os.path.join(data, "JPEGImages", name)
        cv2.imwrite(path, cv2.resize(read_image(path), PHOTO))
    for name in os.listdir(os.path.join(data, "SegmentationClassAug")):
        path = os.path.join(data, "SegmentationClassAug", name)
        write_mask(path, cv2.resize(read_indexed(path), PHOTO, interpolation=cv2.INTER_NEAREST))


def without_data(experiment):
    """The classification training net on batches that are there already."""
    shapes = build.batch_shapes(experiment, "classification", experiment["training"]["classification"]["batch"])

    def source(experiment, task):
        fillers = [dict(type="gaussian", std=60), dict(type="constant", value=1)]
        shape = [dict(dim=each) for each in shapes]
        return L.DummyData(ntop=2, dummy_data_param=dict(shape=shape, data_filler=fillers))

    return build.train_net(experiment, "classification", source)


def caffe_time(prototxt, iterations):
    """Milliseconds of forward and backward by `caffe time`."""
    arguments = ["caffe", "time", "-model", prototxt, "-iterations", str(iterations)]
    environment = dict(os.environ, GLOG_minloglevel="0", GLOG_logtostderr="1")
    report = subprocess.run(arguments, stderr=subprocess.PIPE, text=True, env=environment, check=True).stderr
    return float(re.search(r"Average Forward-Backward: ([\d.e+]+) ms", report).group(1))


def crf_of_training_images(images=8, repeats=3):
    settings = experiments.load(paper.PAPERS_EXPERIMENT)["crf"]
    random = np.random.RandomState(1)
    cores = multiprocessing.cpu_count()
    jobs = [_crf_job(random, settings, labels=1 + k % 3) for k in range(images)]
    alone, together = [], []
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        for _ in range(repeats):
            start = time.time()
            for image, everything, _ in jobs[:2]:
                crf.refined(image, everything, settings)
            alone.append(2 / (time.time() - start))
            start = time.time()
            pool.starmap(_refine, [(image, own, settings) for image, _, own in jobs], chunksize=1)
            together.append(images / (time.time() - start))
    ratio = np.median(np.array(together) / alone)
    print(f"\nThe CRF of training images, {PHOTO[0]} x {PHOTO[1]}, medians of {repeats}")
    print(f"21 channels, one process        {np.median(alone):6.2f} images/s")
    print(f"own labels, {cores} processes{'':10}{np.median(together):6.2f} images/s")
    print(f"ratio                           {ratio:6.2f}", flush=True)


def _refine(image, probabilities, settings):
    return crf.refined(image, probabilities, settings).sum()


def _crf_job(random, settings, labels):
    """An image, probabilities of 21 classes, and the same with all but background and `labels` of them zero."""
    image = cv2.resize(random.randint(0, 256, (12, 16, 3)).astype(np.uint8), PHOTO)
    everything = np.stack([cv2.resize(random.rand(12, 16).astype(np.float32), PHOTO) for _ in range(21)])
    own = everything * (np.arange(21) <= labels)[:, None, None]
    return image, everything / everything.sum(axis=0), (own / own.sum(axis=0)).astype(np.float32)


def full_size():
    print("\nThe full-size nets on the CPU, batch 2, crops of 321")
    print(f"{'':16}{'forward':>10}{'backward':>10}{'two iterations':>16}{'peak memory':>14}", flush=True)
    for task in experiments.TASKS:
        _in_a_process(_full_size, task)


def _full_size(task):
    experiment = experiments.load(paper.PAPERS_EXPERIMENT)
    experiment["training"][task] = dict(experiment["training"][task], batch=2)
    with tempfile.TemporaryDirectory() as folder:
        solver = solver_on_stand_ins(experiment, task, folder)
        marks = [time.time()]
        for pass_ in (solver.net.forward, solver.net.backward, lambda: solver.step(2)):
            pass_()
            marks.append(time.time())
    forward, backward, two = np.diff(marks)
    print(f"{task:16}{forward:8.1f} s{backward:8.1f} s{two:14.1f} s{_peak_mib():10.0f} MiB", flush=True)


def memory(counts=(1000, 10582)):
    print("\nPeak memory of the per-image stages, in MiB")
    stages = ("saliency", "mine", "masks", "segment", "evaluate", "evaluate-regions")
    print(f"{'images':12}" + "".join(f"{stage:>18}" for stage in stages), flush=True)
    peaks = np.array([_stages_on(count, stages) for count in counts])
    for count, row in zip(counts, peaks):
        print(f"{count:<12}" + "".join(f"{peak:18.0f}" for peak in row))
    print(f"{'ratio':12}" + "".join(f"{ratio:18.2f}" for ratio in peaks[1] / peaks[0]), flush=True)


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
            net = caffe.Net(experiments.prototxt(experiments.load("demo"), task, "deploy"), caffe.TEST)
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


def _peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_a_process(function, *arguments):
    """Run it in a fresh process, so that its memory is its own."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()


PARTS = {"training": training, "crf": crf_of_training_images, "full-size": full_size, "memory": memory}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without it")
    arguments = parser.parse_args(argv)
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]}; there are {', '.join(PARTS)}")
    device.use(None)
    for part in arguments.parts or PARTS:
        PARTS[part]()
