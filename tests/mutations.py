"""Changes lines of the method one at a time, in a copy, and tells which no test sees: `python3 tests/mutations.py`.

By hand, in the image (`make shell`): a few minutes. A line that survives needs a test. NAME...: only those.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from conftest import copy_of_repository

A = "python/aepsl/"
MUTATIONS = {  # {the fault: (file, text, its replacement, the test files that should fail)}
    # Section 3.1: mining
    "CAM of the image before it was erased": (A + "stages/mine.py", "erased, image_id)", "None, image_id)", "method"),
    "maps of another class": (A + "nets/whole_image.py", ".data[classes]", ".data[classes * 0]", "method"),
    "CAM with the other sign": (A + "nets/whole_image.py", "data[0], axes=1)", "data[0], axes=1) * -1", "method"),
    "CAM after a ReLU": (
        A + "nets/whole_image.py",
        "return self.at_image_size(maps, place, image)",
        "return self.at_image_size(np.maximum(maps, 0), place, image)",
        "method",
    ),
    "maps grown by another stride": (
        A + "nets/whole_image.py",
        "- start) / stride",
        "- start) / 9",
        "mine",
    ),
    "a pixel at the threshold is mined": (A + "stages/mine.py", "(maps > bound)", "(maps >= bound)", "method"),
    "a map without evidence is mined": (A + "stages/mine.py", " & (highest > 0)", "", "mine"),
    "the largest pixels are the smallest": (A + "erasing/top_pixels.py", "1 - value, axis", "value, axis", "mine"),
    "the threshold comes before growing": (
        A + "nets/whole_image.py",
        "return self.at_image_size(maps, place, image)",
        "return self.at_image_size(maps * (maps > 0.3 * maps.max(axis=(1, 2), keepdims=True)), place, image)",
        "method",
    ),
    "regions of earlier steps are forgotten": (A + "stages/mine.py", "else regions | erased", "else regions", "method"),
    "erased pixels are black": (
        A + "images/pictures.py",
        "out[:, erased > 0] = 0",
        "out[:, erased > 0] = -100",
        "data_layer",
    ),
    "the mean is not subtracted": (
        A + "images/pictures.py",
        "np.subtract(plane, value, out",
        "np.subtract(plane, 0 * value, out",
        "data_layer",
    ),
    "the stop rule ends at its bound": (A + "stages/results.py", "loss > most", "loss >= most", "method"),
    # Section 3.1: masks
    "indoor only when every label is": (
        A + "stages/masks.py",
        "any(labels[indoor])",
        "all(labels[indoor]) and labels.sum() == 1",
        "method",
    ),
    "background wins where a region lies": (
        A + "stages/masks.py",
        "    S[F.any(axis=0) & B] = IGNORE\n",
        "    S[F.any(axis=0) & B] = 0\n",
        "masks",
    ),
    "the last of two labels wins": (A + "stages/masks.py", "    S[F.sum(axis=0) > 1] = IGNORE\n", "", "masks"),
    # The losses
    "twice the squared loss's gradient": (A + "layers/losses.py", "1 / len(z) * p", "2 / len(z) * p", "losses"),
    "the squared loss without its half": (A + "layers/losses.py", "/ (2 * len(z))", "/ len(z)", "losses"),
    "labels are not divided by their number": (
        A + "layers/losses.py",
        "y / y.sum(axis=1, keepdims=True)",
        "y",
        "losses",
    ),
    "J sums over pixels": (A + "layers/losses.py", "1 / counts[counts > 0]", "1 / counts.max()", "losses"),
    "J counts labels of other images": (
        A + "layers/losses.py",
        "(mask[:, None] == classes) & allowed",
        "(mask[:, None] == classes)",
        "losses",
    ),
    # Section 3.2: PSL
    "no gradient of S_hat": (
        A + "nets/build.py",
        "segmentation_loss(n, scores, n.mask_hat)",
        'segmentation_loss(n, scores, n.mask_hat); n.loss_psl.fn.params["propagate_down"] = [False] * 3',
        "psl",
    ),
    "S_hat counts five times": (
        A + "nets/build.py",
        "segmentation_loss(n, scores, n.mask_hat)",
        'segmentation_loss(n, scores, n.mask_hat); n.loss_psl.fn.params["loss_weight"] = 5',
        "psl",
    ),
    "S_hat keeps classes that are no labels": (A + "layers/psl.py", "winner, IGNORE)", "winner, winner)", "psl"),
    "background has the weight 0": (
        A + "layers/psl.py",
        "np.ones((*np.shape(v)[:-1], 1))",
        "np.zeros((*np.shape(v)[:-1], 1))",
        "psl",
    ),
    "p itself is prohibited": (A + "stages/segment.py", "v < prohibited", "v <= prohibited", "psl"),
    "what is prohibited becomes p": (
        A + "stages/segment.py",
        "v < prohibited, 0, v",
        "v < prohibited, prohibited, v",
        "psl",
    ),
    "v below r is counted the other way": (A + "training/psl_log.py", "(v < r[", "(v > r[", "psl_log"),
    "background counts as an object of S_hat": (
        A + "training/psl_log.py",
        "mask[:, 1:].sum()",
        "mask.sum()",
        "psl_log",
    ),
    "a collapse is never said": (A + "training/psl_log.py", "if not lost[-1] or", "if lost[-1] or", "psl_log"),
    "the logs are lost on resume": (A + "training/snapshots.py", "[log.name][:iteration]", "[log.name][:0]", "train"),
    "dropout goes on after a resume as it likes": (
        A + "training/snapshots.py",
        "[:iteration]\n                _seed(",
        "[:iteration]\n                (lambda *_: None)(",
        "train",
    ),
    "a resumed training begins with the first batch": (
        A + "training/snapshots.py",
        "layers[0].start(iteration)",
        "layers[0].start(0)",
        "train",
    ),
    "PSL's start is every net's": (
        A + "graph/segmentation.py",
        '(experiment.psl_start if net.task == "psl" else None)',
        "experiment.psl_start",
        "words",
    ),
    "a sweep's PSL forgets what it starts from": (A + "run/sweep.py", ", start=starts[1])", ")", "sweep"),
    # Words
    "an ablation's start is the others'": (
        A + "graph/segmentation.py",
        "experiments.changed(of.experiment, net.changes)",
        "of.experiment",
        "words",
    ),
    "any setting may be changed": (
        A + "graph/segmentation.py",
        "if not is_of(key, free)",
        "if is_of(key, free)",
        "words",
    ),
    "a net's changes are not its rows'": (
        A + "graph/segmentation.py",
        "{**of.nets[row.net].changes, **row.changes}",
        "row.changes",
        "words",
    ),
    "a row's changes are forgotten": (A + "graph/segmentation.py", ", **row.changes}", "}", "words"),
    "relabelling forgets the net's changes": (
        A + "graph/segmentation.py",
        'images="train",\n        changes=of.nets[name].changes,',
        'images="train",',
        "words",
    ),
    "a stage has the run's settings": (
        A + "run/job.py",
        "found.settings_of(stage)",
        "found.experiment",
        "words",
    ),
    "words are of the run's settings": (
        A + "graph/graph.py",
        "experiment = self.settings_of(stage)",
        "experiment = self.experiment",
        "words",
    ),
    "what needs a stage that is done again is kept": (
        A + "graph/graph.py",
        "None if found.keys() & stage.needs else ",
        "",
        "today",
    ),
    "trainings do not know their seed": (A + "graph/stage.py", '"seed.training", ', "", "words"),
    "images are drawn with the training's seed": (
        A + "run/start.py",
        "seed=experiment.seed.data",
        "seed=experiment.seed.training",
        "words",
    ),
    "one seed is the training's alone": (
        A + "settings/experiments.py",
        "fromkeys(SEEDS, one)",
        "fromkeys(SEEDS[1:2], one)",
        "experiments",
    ),
    "settings can be assigned": (
        A + "settings/typed.py",
        "frozen=True)\nclass Data(",
        "frozen=False)\nclass Data(",
        "graph",
    ),
    "a share by hand removes the others'": (
        A + "store/result.py",
        "if word or share is None or",
        "if True or",
        "saliency",
    ),
    "a share by hand keeps its own": (
        A + "store/result.py",
        "if word or share is None or",
        "if word or share is None and",
        "saliency",
    ),
    "a stage by hand goes on": (
        A + "store/result.py",
        "if word and known == dict(word=word)",
        "if known == dict(word=word)",
        "train",
    ),
    # The CRF, evaluation
    "five iterations": (A + "nets/crf.py", "inference(settings.iterations)", "inference(5)", "method"),
    "red and blue change places": (A + "nets/crf.py", "image[:, :, ::-1]", "image", "method"),
    "the crf folder is not refined": (
        A + "stages/segment.py",
        "refined(image, f, name=path) if with_crf else f",
        "f",
        "method",
    ),
    "a class that is never predicted is left out": (
        A + "evaluation/evaluate.py",
        "np.where(truth > 0, 100",
        "np.where(hits > 0, 100",
        "evaluate",
    ),
    "255 is no value of the truth": (A + "evaluation/evaluate.py", "[*values, IGNORE]", "values", "evaluate"),
    "rows and columns are exchanged": (
        A + "evaluation/evaluate.py",
        "256 * true.astype(np.int64) + predicted",
        "256 * predicted.astype(np.int64) + true",
        "evaluate",
    ),
    "what is no class is right": (
        A + "evaluation/evaluate.py",
        "pairs[np.ix_(values, others)].sum(axis=1)",
        "np.zeros(len(values), int)",
        "evaluate",
    ),
    # Comparisons
    "methods are drawn apart": (
        A + "evaluation/bootstrap.py",
        "values[:, 1:] - values[:, :1]",
        "values[:, 1:] - np.roll(values[:, :1], 1, axis=0)",
        "compare",
    ),
    "an interval of 80%": (A + "evaluation/bootstrap.py", "(100 - LEVEL) / 2, (100 + LEVEL) / 2", "10, 90", "compare"),
    "a draw's mIoU leaves classes out": (A + "evaluation/bootstrap.py", "    _complete(values)\n", "", "compare"),
    "an absent class counts 0": (
        A + "evaluation/bootstrap.py",
        "np.maximum(np.count_nonzero(~np.isnan(values), axis=-1), 1)",
        "values.shape[-1]",
        "compare",
    ),
    "the images that differ least": (A + "evaluation/by_image.py", "-np.abs(means[1]", "np.abs(means[1]", "compare"),
    "predictions without a class count": (A + "tools/compare.py", "if confusion[:, -1].any()", "if False", "compare"),
    "two files for an id": (A + "data/predictions.py", "if len(pngs or paths) > 1", "if False", "predictions"),
    "a kernel's middle is its first cell": (A + "nets/geometry.py", "(reach - 1) / 2", "(reach - 2) / 2", "geometry"),
    "a dilation is forgotten": (A + "nets/geometry.py", "return dilation * (side", "return 1 * (side", "geometry"),
    "a pad is forgotten": (A + "nets/geometry.py", "/ 2 - pad", "/ 2", "geometry"),
    "a deconvolution moves cells the other way": (
        A + "nets/geometry.py",
        "start - stride / step * middle",
        "start + stride / step * middle",
        "geometry",
    ),
    "a crop moves nothing": (A + "nets/geometry.py", "stride * offset(layer, axis)", "0", "geometry"),
    "columns have the top's area": (A + "nets/sizes.py", "many, few = few, many", "pass", "geometry"),
    "crops cut nothing off": (A + "legacy/translation.py", "math.floor(cells + 0.5)", "0", "legacy_reading"),
    "hole is forgotten": (A + "legacy/translation.py", '("dilation", hole', '("pad", hole', "legacy_reading"),
    "weights of a Deconvolution are ones": (
        A + "legacy/translation.py",
        "return 1 - np",
        "return 1 - 0 * np",
        "legacy_reading",
    ),
    "statistics of BN are left out": (A + "legacy/translation.py", "bias - mean * slope", "bias", "legacy_reading"),
    "a layer for training is kept": (A + "legacy/layers.py", "not _is_tested(value)", "False", "legacy_reading"),
    "a net's margin is not given": (
        A + "nets/whole_image.py",
        "(top, top), (left, left)",
        "(0, top), (0, left)",
        "legacy_reading",
    ),
    "softmax of a softmax": (A + "legacy/net.py", '== "Softmax"', '== ""', "legacy"),
    "keys from 1": (A + "tools/export.py", "[classes + 1] - 1", "[classes + 1]", "export"),
    "maps of the whole image": (A + "tools/export.py", "if step > 1 else []", "if step > 9 else []", "export"),
    "maps share a maximum": (A + "tools/export.py", "maps.max(axis=(1, 2), keepdims=True)", "maps.max()", "export"),
    # Training
    "nothing is mirrored": (
        A + "layers/data.py",
        "step = -1 if self.mirror and random.randint(2) else 1",
        "step = 1",
        "method",
    ),
    "the last crop offset is never taken": (
        A + "layers/data.py",
        "side - self.crop) + 1)",
        "side - self.crop - 1) + 1)",
        "method",
    ),
    "labels shrink from the second pixel": (
        A + "layers/data.py",
        "[:: self.mask_stride, :: self.mask_stride]",
        "[1 :: self.mask_stride, 1 :: self.mask_stride]",
        "data_layer",
    ),
    "initial weights do not reach the net": (
        A + "training/solve.py",
        "for path in initial:",
        "for path in ():",
        "method",
    ),
    "regions do not reach the net": (
        A + "nets/build.py",
        "root=data, **folders)",
        "root=data, **{**folders, 'regions': None})",
        "method",
    ),
    "the converged loss is of two epochs": (
        A + "training/solve.py",
        "losses.mean(epoch), constant",
        "losses.mean(2 * epoch), constant",
        "method",
    ),
    # Initial weights
    "drawn filters keep the size that they have": (
        A + "stages/surgery.py",
        "weights.data[...] /= deviation[:, None, None, None]",
        "pass",
        "surgery",
    ),
    "drawn filters have no biases": (
        A + "stages/surgery.py",
        "bias.data[...] = -mean / deviation",
        "pass",
        "surgery",
    ),
    "drawn layers are the same for every seed": (
        A + "stages/surgery.py",
        "RandomState(experiment.seed.training)",
        "RandomState(1)",
        "surgery",
    ),
    # voc12
    "another crop": ("prototxt/voc12/experiment.yaml", "crop: 321", "crop: 313", "method"),
    "another threshold": (
        "prototxt/voc12/experiment.yaml",
        "threshold: {of_max: 0.2}",
        "threshold: {of_max: 0.3}",
        "method",
    ),
    "another merge": ("prototxt/voc12/experiment.yaml", "merge: 3", "merge: 2", "method"),
    "another background": ("prototxt/voc12/experiment.yaml", "  threshold: 0.12", "  threshold: 0.1", "method"),
    "another prohibited": ("prototxt/voc12/experiment.yaml", "prohibited: 0.1", "prohibited: 0.2", "method"),
    "another CRF": ("prototxt/voc12/experiment.yaml", "rgb: 5}", "rgb: 3}", "method"),
    # Other authors' nets
    "softmax of cells comes after growing": (A + "baselines/protocol.py", '== "cells"', '== "none"', "protocols"),
    "softmax of each size comes last": (A + "baselines/protocol.py", '== "input"', '== "none"', "protocols"),
    "no mean": (A + "baselines/protocol.py", " - mean)", ")", "protocols"),
    "cells to the other side": (
        A + "baselines/protocol.py",
        "each - profile.offset",
        "each + profile.offset",
        "protocols",
    ),
    "tiles a pixel apart": (A + "baselines/protocol.py", "min(k * tiles.step,", "min(k * tiles.step + k,", "protocols"),
    "tiles are added": (A + "baselines/protocol.py", "(total / times)", "total", "protocols"),
    "mirrored and not mirrored back": (A + "baselines/protocol.py", "name)[:, :, ::-1]", "name)", "protocols"),
    "a constant border": (
        A + "baselines/protocol.py",
        '(border, border)), mode="reflect"',
        '(border, border)), mode="constant"',
        "protocols",
    ),
    "linear for cubic": (A + "baselines/protocol.py", "cubic=cv2.INTER_CUBIC", "cubic=cv2.INTER_LINEAR", "protocols"),
    "corners are not corners": (A + "baselines/protocol.py", "(to - 1) / max(1, side - 1)", "to / side", "protocols"),
    "the maximum is a sum": (A + "baselines/protocol.py", "else np.maximum)", "else np.add)", "baselines"),
    "red is blue": (A + "baselines/protocol.py", "else data[::-1]", "else data", "baselines"),
    "channels in the order of classes.txt": (
        A + "baselines/profile.py",
        "[known[name] for name in names]",
        "sorted(known[name] for name in names)",
        "baselines",
    ),
    "the CRF of another normalisation": (
        A + "nets/crf.py",
        "=densecrf.NORMALIZE_AFTER",
        "=densecrf.NORMALIZE_SYMMETRIC",
        "crf",
    ),
    "scores that are not cropped": (
        A + "data/masks_of_arrays.py",
        "transpose(2, 1, 0)",
        "transpose(2, 0, 1)",
        "predictions",
    ),
    "a pickle may name anything": (
        A + "data/masks_of_arrays.py",
        "not PARTS_OF_ARRAYS.fullmatch",
        "not str",
        "predictions",
    ),
    "psl++ from the masks of psl": (
        A + "paper/recipes.py",
        '"psl++": Net("psl", "psl"',
        '"psl++": Net("psl", "merged"',
        "paper",
    ),
}


def survives(tree, file, old, new, tests):
    """Whether the tests pass with `new` in place of `old`, the first time that it occurs in `file`."""
    path = os.path.join(tree, file)
    with open(path) as opened:
        text = opened.read()
    if old not in text:
        raise SystemExit(f"{file}: holds no {old!r} any more; correct MUTATIONS")
    try:
        with open(path, "w") as opened:
            opened.write(text.replace(old, new, 1))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        command += [f"tests/test_{name}.py" for name in tests.split()]
        environment = dict(os.environ, PYTHONPATH=os.path.join(tree, "python"))
        return subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL).returncode == 0
    finally:
        with open(path, "w") as opened:
            opened.write(text)


def main():
    chosen = sys.argv[1:] or list(MUTATIONS)
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_of_repository(pathlib.Path(folder) / "tree")
        shutil.copytree(os.path.dirname(os.path.abspath(__file__)), tree / "tests")
        survivors = []
        for name in chosen:
            if survives(tree, *MUTATIONS[name]):
                survivors.append(name)
            print(f"{'SURVIVES' if name in survivors else 'seen':10}{name}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} changes are seen")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
