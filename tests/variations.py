"""Bad inputs by the thousand, made by varying the tables of the tests: each is a result or one line, nothing else.

Each function returns (how many there were, how many of them ended in a line). What is neither raises.
"""

import contextlib
import copy
import itertools
import os
import pathlib
import random
import shutil
import tempfile
import warnings

import numpy as np
from caffe.proto import caffe_pb2

import test_bad_nets
import test_data_check
from aepsl.base.errors import InputError
from aepsl.data import check, lists
from aepsl.data.dataset import Dataset
from aepsl.graph.graph import Graph
from aepsl.images.pictures import read_image, read_indexed, read_picture, write_mask
from aepsl.nets import build, caffemodel
from aepsl.settings import experiments
from conftest import tiny_experiment
from test_names import leaves


def tried(calls):
    """(how many calls there were, how many of them ended in one line)."""
    count = said = 0
    with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):  # thousands of warnings
        for call in calls:
            count += 1
            try:
                call()
            except InputError as error:
                assert "\n" not in str(error)
                said += 1
    return count, said


def folder():
    return pathlib.Path(tempfile.mkdtemp())


def pairs_of_texts():
    """Lists, labels and class names of which one half is as in a case, the other as in another."""
    path = folder()
    tables = (
        ("list.txt", [content for content, _ in test_data_check.LISTS.values() if len(content) < 10**5]),
        ("image_labels.txt", [text.encode() for text, _ in test_data_check.LABELS.values()]),
        ("classes.txt", [content for content, _ in test_data_check.CLASSES.values()]),
    )
    (path / "classes.txt").write_text("\n".join(test_data_check.NAMES))

    def one(name, content):
        (path / name).write_bytes(content)
        if name == "list.txt":
            lists.read_list(str(path / name))
        elif name == "classes.txt":
            lists.read_classes(str(path / name))
        else:
            Dataset(str(path)).labels(["a"])

    return tried(
        lambda name=name, pair=pair: one(name, b"".join(pair))
        for name, contents in tables
        for pair in itertools.product(contents, repeat=2)
    )


def endless(path):
    """Whether it is a pipe or a device, which a second fault would read for ever."""
    return path.exists() and not (path.is_file() or path.is_dir())


def pairs_of_faults(count=400, seed=1):
    """Data sets with two of the faults of the table at once."""
    rng, top = random.Random(seed), folder()
    original = small_original(top)

    def one(names):
        shutil.copytree(original, top / "data")
        try:
            for name in names:
                if any(map(endless, (top / "data").rglob("*"))):
                    break
                try:
                    test_data_check.SETS[name][0](top / "data")
                except (OSError, InputError, TypeError):  # the first has taken away what the second changes
                    return
            check.run(test_data_check.EXPERIMENT, str(top / "data"))
        finally:
            for path in (top / "data", *(path for path in (top / "data").iterdir() if path.is_dir())):
                path.chmod(0o755)
            shutil.rmtree(top / "data")

    names = list(test_data_check.SETS)
    return tried(lambda: one(rng.sample(names, 2)) for _ in range(count))


def small_original(top):
    """The data set of test_data_check."""

    class Factory:
        def mktemp(self, name):
            (top / name).mkdir()
            return top / name

    return test_data_check.original.__pytest_wrapped__.obj(Factory())


def changed(rng, content):
    """The bytes with some changed, cut out, doubled, or cut off behind."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(content) or 1), rng.choice((1, 1, 2, 8, 100))
        kind = rng.randrange(5)
        if kind == 0:
            content[at : at + length] = bytes(rng.randrange(256) for _ in range(length))
        elif kind == 1:
            del content[at : at + length]
        elif kind == 2:
            content[at:at] = content[at : at + length]
        elif kind == 3:
            content[at : at + length] = rng.choice((b"\0", b"\xff", b"\x7f")) * length
        elif rng.random() < 0.3:
            del content[at:]
    return bytes(content)


def changed_pictures(count=2000, seed=1):
    """Pictures of every kind with changed bytes, by each way to read one."""
    rng, path = random.Random(seed), folder()
    image = np.random.RandomState(1).randint(0, 256, (24, 30, 3)).astype(np.uint8)
    for name in ("a.jpg", "a.png", "a.gif", "a.webp", "a.tif", "a.bmp", "a.ppm"):
        test_data_check.photo(path / name, image, 6 if name in ("a.jpg", "a.png") else None)
    write_mask(str(path / "mask.png"), image[:, :, 0])
    test_data_check.cmyk(path / "cmyk.jpg")
    kinds = [(file.name, file.read_bytes()) for file in sorted(path.iterdir())]

    def one(name, content, read):
        (path / name).write_bytes(changed(rng, content))
        read(str(path / name))

    reads = (read_picture, read_image, read_indexed)
    return tried(lambda k=k: one(*kinds[k % len(kinds)], reads[k // len(kinds) % 3]) for k in range(count))


def changed_weights(count=1000, seed=1):
    """Caffemodels with changed bytes, and with two faults of the table at once."""
    rng, path = random.Random(seed), folder()
    tiny = tiny_experiment()
    model = str(path / "w.caffemodel")
    good = pathlib.Path(test_bad_nets.saved(tiny, "classification", model)).read_bytes()
    prototxt = build.deploy_net(tiny, "classification")

    def one(content):
        pathlib.Path(model).write_bytes(content)
        caffemodel.load_weights(caffemodel.net_of(prototxt), model)

    def two():
        message = caffe_pb2.NetParameter.FromString(good)
        for change, _ in rng.sample(list(test_bad_nets.WEIGHTS.values()), 2):
            try:
                change(message)
            except (IndexError, StopIteration):  # the first has taken away what the second changes
                break
        one(message.SerializeToString())

    return tried(two if k % 3 == 0 else lambda: one(changed(rng, good)) for k in range(count))


HOSTILE = [None, True, False, 0, -1, 1, 0.5, -0.0, 1e-300, 1e300, float("nan"), float("inf"), 2**31, 2**64, 10**400]
HOSTILE += ["", " ", "1", "1e-3", ".", "..", "/", "a b", "$(x)", "%s", "\n", "é", [], [1], [[]], {}, {"a": 1}, [None]]


def hostile_settings():
    """Every setting of voc12 with every value that a setting should not have; what passes becomes nets."""
    plain = experiments.load("voc12").settings()

    def one(keys, value):
        *above, last = keys
        changes = {last: value}
        for key in reversed(above):
            changes = {key: changes}
        experiment = experiments.of_settings(experiments.laid_over(plain, changes), "experiment.yaml", "x")
        Graph(experiment)
        build.files(experiment)

    keys = [keys for keys, _ in leaves(plain)]
    return tried(lambda k=k, value=value: one(k, copy.deepcopy(value)) for k in keys for value in HOSTILE)


def changed_settings(count=1000, seed=1):
    """experiment.yaml with changed bytes."""
    rng, top = random.Random(seed), folder()
    before, experiments.FOLDER = experiments.FOLDER, str(top)
    texts = []
    for name in ("voc12", "demo", "rehearsal"):
        shutil.copytree(os.path.join(before, name), top / name)
        texts.append((top / name / "experiment.yaml").read_bytes())
    (top / "x").mkdir()

    def one():
        (top / "x/experiment.yaml").write_bytes(changed(rng, rng.choice(texts)))
        experiments.load("x")

    try:
        return tried(one for _ in range(count))
    finally:
        experiments.FOLDER = before


def changed_prototxts(count=300, seed=1):
    """Prototxts with changed bytes, none of which may pass."""
    rng = random.Random(seed)
    tiny = tiny_experiment()
    before, experiments.FOLDER = experiments.FOLDER, str(folder())
    paths = sorted(map(pathlib.Path, build.files(tiny)))
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(build.files(tiny)[str(path)])
    good = [path.read_bytes() for path in paths]

    def one():
        k = rng.randrange(len(paths))
        content = changed(rng, good[k])
        paths[k].write_bytes(content)
        try:
            build.check(tiny)
            assert content == good[k], paths[k]
        finally:
            paths[k].write_bytes(good[k])

    try:
        return tried(one for _ in range(count))
    finally:
        experiments.FOLDER = before


ALL = (
    pairs_of_texts,
    pairs_of_faults,
    changed_pictures,
    changed_weights,
    hostile_settings,
    changed_settings,
    changed_prototxts,
)


def main():
    warnings.simplefilter("ignore")
    for vary in ALL:
        print(vary.__name__, *vary(), flush=True)


if __name__ == "__main__":
    main()
