"""What is noted of S_hat while PSL trains, against counting pixel by pixel."""

import os

import numpy as np
import pytest

from aepsl.stages import train
from aepsl.training import psl_log
from conftest import tiny_experiment, watched_steps


def stated(S, S_hat, v, labels):
    """The sums of a batch, a pixel and a label at a time."""
    images, r_sum, present, v_sum, below = 0, 0.0, 0, 0.0, 0
    pixels = dict(S=[0, 0], S_hat=[0, 0])  # objects, all that count
    for n in range(len(S)):
        allowed = {0} | {c + 1 for c, label in enumerate(labels[n]) if label}
        labelled = 0
        for name, mask in (("S", S), ("S_hat", S_hat)):
            for value in mask[n].ravel():
                pixels[name][0] += value in allowed and value > 0
                pixels[name][1] += value in allowed
                labelled += name == "S" and value in allowed
        r = labelled / S[n].size
        images, r_sum = images + 1, r_sum + r
        for c, label in enumerate(labels[n]):
            if label:
                present, v_sum, below = present + 1, v_sum + v[n, c], below + (v[n, c] < r)
    return [images, r_sum, present, v_sum, below, *pixels["S"], *pixels["S_hat"]]


def random_batch(rng, n=4, classes=3, side=9):
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], np.float32)[:n]
    S, S_hat = (rng.choice([0, 1, 2, 3, 255], (n, side, side)).astype(np.float32) for _ in range(2))
    return S, S_hat, rng.dirichlet([1] * classes, n).astype(np.float32), labels


def test_sums_are_those_of_every_pixel_and_label(rng):
    for _ in range(5):
        batch = random_batch(rng)
        np.testing.assert_allclose(psl_log.sums(*batch), stated(*batch), rtol=1e-6)
    assert 0 < stated(*batch)[4] < stated(*batch)[2]  # some labels below r, some not


@pytest.mark.parametrize("ends", [[1], [2], [3], [3, 6, 9], [3, 6, 10], [3, 6, 9, 11]], ids=str)
def test_a_row_is_of_all_batches_of_its_epoch(rng, ends):
    """Epochs of three batches: a single batch at the end belongs to the last of them, two are one of their own.

    Shares of pixels are not means of shares.
    """
    batches = [random_batch(rng, n=2 + k % 3) for k in range(ends[-1])]
    found = psl_log.rows([psl_log.sums(*batch) for batch in batches], epoch=3)
    assert len(found) == len(ends)
    for row, start, end in zip(found, [0, *ends], ends):
        images, r, labels, v, below, S, S_all, S_hat, S_hat_all = np.sum(
            [stated(*batch) for batch in batches[start:end]], axis=0
        )
        expected = (r / images, v / labels, below / labels, S / S_all, S_hat / S_hat_all)
        np.testing.assert_allclose(row, expected, rtol=1e-6)


def batch_with(objects, of_S=0.5):
    """Sums of a batch of 10 images and labels whose S_hat has that share of objects."""
    return [10, 7, 10, 5, 4, 1000 * of_S, 1000, 1000 * objects, 1000]


def test_the_warning_comes_once_at_the_end_of_the_first_epoch_that_lost_the_objects():
    lost, kept = batch_with(0.09), batch_with(0.11)
    said = lambda *batches: psl_log.warning([*batches], epoch=2)  # noqa: E731
    assert said(kept, kept) is None
    assert said(lost) is None
    line = said(lost, lost)
    assert "epoch 1: they are 9.0% of its pixels, and 50.0% of S's; v is below r = 0.70 for 40%" in line
    assert "\n" not in line
    assert said(lost, lost, lost) is None and said(lost, lost, lost, lost) is None
    assert "epoch 2" in said(kept, kept, lost, lost)


@pytest.fixture(scope="module")
def tiny():
    return tiny_experiment()


def trained(tiny, data, out):
    train.run(tiny, "psl", data, str(out), masks=os.path.join(data, "SegmentationClassAug"))
    return (out / "final.caffemodel").read_bytes()


def test_psl_csv_is_of_what_the_net_saw_and_changes_nothing(tiny, data, tmp_path, monkeypatch, capfd):
    """The masks as the net holds them after each iteration, written out; and the weights as without any log."""
    seen = []

    def watch(solver):
        S, S_hat, v, labels = (solver.net.blobs[name].data.copy() for name in ("mask", "mask_hat", "v", "labels"))
        seen.append(stated(S[:, 0], S_hat[:, 0], v, labels))

    with watched_steps(watch):
        weights = trained(tiny, data, tmp_path / "run")
    found = psl_log.read(str(tmp_path / "run/psl.csv"))
    expected = psl_log.rows(seen, 4)  # three epochs of 24 images in batches of 6
    np.testing.assert_allclose(np.transpose(list(found.values())), expected, rtol=1e-5)
    assert len(expected) == 3
    with monkeypatch.context() as patch:
        patch.setattr(psl_log, "sums", lambda *_: [1.0] * 9)
        assert trained(tiny, data, tmp_path / "without") == weights


def test_a_training_whose_objects_vanish_says_so_in_its_first_epoch(data, tmp_path, capfd):
    """Nets from nothing: f is uniform and v < 1, so S_hat begins as background everywhere."""
    trained(tiny_experiment(epochs=1), data, tmp_path / "run")
    assert capfd.readouterr().err.count("warning: ") == 1
