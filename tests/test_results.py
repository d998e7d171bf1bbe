"""The stop rule, and the archive for VOC's server."""

import json
import os
import tarfile

import cv2
import numpy as np
import pytest

from aepsl.base import commit
from aepsl.base.errors import InputError
from aepsl.images.pictures import write_mask
from aepsl.settings import experiments
from aepsl.stages import results, submission


@pytest.mark.parametrize(
    "losses, steps", [([0.05, 0.08, 0.1, 0.15], 3), ([0.05, 0.08], 2), ([0.2, 0.05], 0), ([0.05, 0.13, 0.1], 1)]
)
def test_stop_rule_ends_before_the_first_step_that_does_not_converge(losses, steps):
    assert results.successful_steps(losses, 0.12) == steps


def test_submission_holds_every_image_under_vocs_names(small_set, tmp_path):
    experiment = experiments.changed(experiments.load("demo"), {"classes": ["cat", "dog"]})
    for k in range(3):
        height, width = cv2.imread(str(small_set / f"JPEGImages/image{k}.jpg")).shape[:2]
        write_mask(f"{tmp_path}/masks/image{k}.png", np.full((height, width), k, np.uint8))
    arguments = (experiment, str(small_set), "val", f"{tmp_path}/masks", f"{tmp_path}/out.tgz")
    submission.run(*arguments)
    with tarfile.open(f"{tmp_path}/out.tgz") as archive:
        names = archive.getnames()
        assert names == [f"results/VOC2012/Segmentation/comp6_test_cls/image{k}.png" for k in range(3)]
        assert archive.extractfile(names[2]).read() == (tmp_path / "masks/image2.png").read_bytes()
    packed = (tmp_path / "out.tgz").read_bytes()
    for k, link in enumerate((os.symlink, os.link)):  # as people put masks together; the archive holds files
        (tmp_path / f"masks/image{k}.png").rename(tmp_path / f"{k}.png")
        link(tmp_path / f"{k}.png", tmp_path / f"masks/image{k}.png")
    os.utime(tmp_path / "masks/image0.png", (1, 1))
    submission.run(*arguments)
    assert (tmp_path / "out.tgz").read_bytes() == packed
    (tmp_path / "out.tgz").unlink()
    write_mask(f"{tmp_path}/masks/image2.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(InputError, match="image2.png: is 4 x 3, its image"):
        submission.run(*arguments)
    for k in (2, 1):
        mask = cv2.imread(str(small_set / f"JPEGImages/image{k}.jpg"))[:, :, 0]
        write_mask(f"{tmp_path}/masks/image{k}.png", np.full_like(mask, 200))
        with pytest.raises(InputError, match=f"image{k}.png: has the value 200, which is no class"):
            submission.run(*arguments)
        write_mask(f"{tmp_path}/masks/image{k}.png", np.zeros_like(mask))
    mask[0] = 255
    write_mask(f"{tmp_path}/masks/image1.png", np.where(mask == 255, mask, 0))
    with pytest.raises(InputError, match="image1.png: has the value 255, which is no class"):
        submission.run(*arguments)
    cv2.imwrite(f"{tmp_path}/masks/image1.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match="image1.png: does not have VOC's palette"):
        submission.run(*arguments)
    (tmp_path / "masks/image1.png").unlink()
    with pytest.raises(InputError, match="image1.png: cannot be read"):
        submission.run(*arguments)
    assert not (tmp_path / "out.tgz").exists()


FIGURES = [  # a stage's file, its content, and the line
    ("step1/classification/train.json", "[]", "does not hold the figures"),
    ("step1/classification/train.json", '{"converged_loss": "0.1"}', "does not hold the figures"),
    ("step1/regions.json", "[1]", "does not hold the figures"),
    ("step1/regions.json", '{"recall": "0.5"}', "does not hold the figures"),
    ("step1/thresholds.json", "{}", "does not hold the figures"),
    ("background.json", "{}", "does not hold the figures"),
    ("background.json", '{"cue": {"error": null}}', "does not hold the figures"),
    ("step1/classification/log.csv", "iteration,loss\n1,x\n", "is no table of numbers"),
    ("step1/classification/log.csv", "iteration,loss\n1\n", "is no table of numbers"),
    ("step1/classification/log.csv", "", "is no table of numbers"),
]


def test_results_gather_what_the_stages_wrote(small_set, tmp_path, monkeypatch):
    """From files as the stages leave them to results.json; val's truth as the prediction scores 100."""
    changes = {"classes": ["cat", "dog"], "rows": ["ae_step1"], "mining": dict(steps=1, merge=1), "psl_start": "step1"}
    experiment = experiments.changed(experiments.load("demo"), changes)
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs/demo"
    for folder in ("val/ae_step1", "step1/classification", "done"):
        (run / folder).mkdir(parents=True)
    for kind in ("plain", "crf"):
        (run / "val/ae_step1" / kind).symlink_to(small_set / "SegmentationClassAug")
    (run / "step1/classification/train.json").write_text('{"converged_loss": 0.05}')
    (run / "step1/classification/log.csv").write_text("iteration,loss_cls\n0,0.5\n1,0.25\n")
    (run / "step1/regions.json").write_text('{"erased": 0.2, "recall": 0.5, "precision": 0.4}')
    (run / "step1/thresholds.json").write_text("[]")
    (run / "background.json").write_text('{"cue": {"share": 0.5}}')
    monkeypatch.setattr(commit, "of_code", lambda: "today")
    took = {"mine.step1.1-2": (3, "old"), "mine.step1.2-2": (4, "today")}
    took.update(results=(1, "older"), check=(1, "today"))
    for stage, (seconds, code) in took.items():
        (run / f"done/{stage}.json").write_text(json.dumps(dict(seconds=seconds, commit=code)))
    (run / "done/saliency.json").write_text('{"seconds": 2}')
    results.run(experiment, str(small_set))
    found = json.loads((run / "results.json").read_text())
    assert found["rows"]["ae_step1"]["miou"] == found["rows"]["ae_step1"]["miou_no_crf"] == 100
    assert list(found["rows"]["ae_step1"]["iou"]) == ["background", "cat", "dog"]  # the columns of the tables
    assert found["mining"]["step1"] == dict(erased=0.2, recall=0.5, precision=0.4, converged_loss=0.05)
    assert found["background"] == dict(cue=dict(share=0.5))
    assert found["losses"]["step1"] == [[0, 0.5], [1, 0.25]]
    assert found["seconds"] == {"check": 1, "mine.step1": 7, "results": 1, "saliency": 2}
    assert found["host"]["commit"] == "today" and found["host"]["other_commits"] == {
        "old": ["mine.step1"],
        "unknown": ["saliency"],
    }
    for name, text, message in FIGURES:
        before = (run / name).read_text()
        (run / name).write_text(text)
        with pytest.raises(InputError, match=f"{name}: {message}"):
            results.run(experiment, str(small_set))
        (run / name).write_text(before)
