"""Speed as a ratio against a bound: `make bench`.

Training: the milliseconds of an iteration of `aepsl.train`, images decoded and all, against `caffe time` of the same
net and batch on data that is there already. Both are measured in turns, several times; medians are printed.
"""

import argparse
import copy
import os
import re
import subprocess
import tempfile
import time

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl import caffe_io, nets, synthetic, train
from aepsl import experiment as experiments
from aepsl.errors import command
from aepsl.files import write_text

SYNTHETIC_SIZE = (500, 375)  # of the images that stand in for photos, before `scale`


def training(experiment, repeats, iterations):
    """Milliseconds of an iteration, ours and Caffe's alone: two lists of `repeats` numbers."""
    caffe_io.use(None)
    with tempfile.TemporaryDirectory() as folder:
        bound = os.path.join(folder, "bound.prototxt")
        write_text(bound, without_data(experiment))
        solver = solver_of(experiment, folder)
        solver.step(3)  # the processes that decode are ahead from here on
        ours, theirs = [], []
        for _ in range(repeats):
            start = time.time()
            solver.step(iterations)
            ours.append(1000 * (time.time() - start) / iterations)
            theirs.append(caffe_time(bound, iterations))
    return ours, theirs


def solver_of(experiment, folder):
    """A classification solver on stand-ins for the experiment's images, at their size."""
    experiment = copy.deepcopy(experiment)
    data = os.path.join(folder, "data")
    synthetic.run(data, train=32, val=1, seed=1)
    experiment["classes"] = list(synthetic.CLASSES)
    if "synthetic" not in experiment:
        enlarge(data)
    experiment["folder"] = folder
    for path, text in nets.committed(experiment).items():
        write_text(path, text)
    train.write_prototxts(experiment, "classification", data, 32, os.path.join(folder, "run"))
    return caffe.get_solver(os.path.join(folder, "run", "solver.prototxt"))


def enlarge(data):
    """Give every JPEG of a synthetic data set the size of a photo."""
    import cv2

    folder = os.path.join(data, "JPEGImages")
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        cv2.imwrite(path, cv2.resize(cv2.imread(path), SYNTHETIC_SIZE))


def without_data(experiment):
    """The classification training net with DummyData in place of the data layer."""
    net = text_format.Merge(nets.train_net(experiment, "classification"), caffe_pb2.NetParameter())
    settings = experiment["training"]["classification"]
    shapes = [
        [settings["batch"], 3, experiment["data"]["crop"], experiment["data"]["crop"]],
        [settings["batch"], len(experiment["classes"])],
    ]
    layer = net.layer[0]
    layer.type = "DummyData"
    layer.ClearField("python_param")
    for shape, filler in zip(shapes, (dict(type="gaussian", std=60), dict(type="constant", value=1))):
        layer.dummy_data_param.shape.add(dim=shape)
        layer.dummy_data_param.data_filler.add(**filler)
    return text_format.MessageToString(net)


def caffe_time(prototxt, iterations):
    """Milliseconds of forward and backward by `caffe time`."""
    arguments = ["caffe", "time", "-model", prototxt, "-iterations", str(iterations)]
    environment = dict(os.environ, GLOG_minloglevel="0", GLOG_logtostderr="1")
    report = subprocess.run(arguments, stderr=subprocess.PIPE, text=True, env=environment, check=True).stderr
    return float(re.search(r"Average Forward-Backward: ([\d.e+]+) ms", report).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", default=["demo", "rehearsal"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=5, help="in each repeat")
    arguments = parser.parse_args()
    print(f"A training iteration, median of {arguments.repeats} repeats of {arguments.iterations}:")
    print(f"{'':12}{'aepsl.train':>14}{'caffe time':>14}{'ratio':>8}")
    for name in arguments.experiments:
        ours, theirs = training(experiments.load(name), arguments.repeats, arguments.iterations)
        ratio = np.median(np.array(ours) / theirs)
        print(f"{name:12}{np.median(ours):11.0f} ms{np.median(theirs):11.0f} ms{ratio:8.2f}")


if __name__ == "__main__":
    command(main)
