"""v by number of labels, as `aepsl confidence` prints it."""

import numpy as np
import pytest

from aepsl.base.errors import InputError
from aepsl.nets import build, caffemodel
from aepsl.settings import experiments
from aepsl.tools import confidence
from conftest import tiny_experiment


def test_the_table_is_its_formulas():
    """Two images of one label, and one of two equally sure ones, which halve each other under softmax alone."""
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])  # the last shows no object
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.45, 0.45, 0.1], [0.5, 0.3, 0.2]])
    one, two = confidence.table(labels, probabilities).rows
    f = lambda *v: f"{np.mean([1 / (1 + each) for each in v]):.2f}"  # noqa: E731
    assert one == ["1", "2", "0.55", f(0.8, 0.3), "0.75", f(1, 0.5)]
    assert two == ["2", "1", "0.45", f(0.45), "1.00", "0.50"]


def test_images_without_labels_have_no_v(small_set):
    """An empty table would say nothing."""
    (small_set / "image_labels.txt").write_text("".join(f"image{k}\n" for k in range(6)))
    experiment = experiments.changed(experiments.load("demo"), {"classes": ["cat", "dog"]})
    with pytest.raises(InputError, match="image_labels.txt: no image of val has a label; name another list"):
        confidence.run(experiment, str(small_set), "val", "no model is read")


def test_v_is_that_of_the_net(data, tmp_path, capsys):
    """Also of a net with PSL, whose classification branch it takes; a net without one is refused."""
    experiment, lines = tiny_experiment(), []
    for task in ("psl", "classification", "segmentation"):
        net = caffemodel.net_of(build.deploy_net(experiment, task))
        path = str(tmp_path / f"{task}.caffemodel")
        if task == "psl":
            net.params["fc8_cls"][0].data[...] = 0
            net.params["fc8_cls"][1].data[...] = np.log([1, 2, 3, 4])  # of any image
        net.save(path)
        if task == "segmentation":
            with pytest.raises(InputError, match="has no layer fc8_cls"):
                confidence.run(experiment, data, "train_aug", path)
        else:
            lines.append(confidence.run(experiment, data, "train_aug", path).rows)
    counts = [int(row[1]) for row in lines[0]]
    assert sum(counts) == 24 and all(0.1 <= float(row[2]) <= 0.4 and float(row[4]) >= float(row[2]) for row in lines[0])
    assert lines[0] != lines[1]
