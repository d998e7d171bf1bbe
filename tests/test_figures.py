"""The figures in README.md and docs/results.md are those of docs/results/NAME.json, runs' results.json.

docs/results/sweeps/NAME.json are the sweep.json of sweeps; docs/results/bench/NAME.json are bench.json, with the tables
of docs/speed.md.
"""

import glob
import json
import os

import numpy as np
import pytest

from aepsl.bench import bench
from aepsl.report import tables
from aepsl.run import sweep
from aepsl.settings import experiments

KEPT = sorted(glob.glob("docs/results/*.json"))
SWEEPS = sorted(glob.glob("docs/results/sweeps/*.json"))
BENCHES = sorted(glob.glob("docs/results/bench/*.json"))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def read_json(name):
    return json.loads(read(f"docs/results/{name}.json"))


def assert_shown(text, page="docs/results.md"):
    shown = read(page)
    assert [line for line in text.splitlines() if line not in shown] == []


def printed(found):
    """What `aepsl report` prints of a run's figures, but for what it says of the machine."""
    found = dict({"peak_mib": {}, "images": {}}, **found, paper=False, missing=[])
    shown = tables.by_section(experiments.load(found["experiment"]), found)
    del shown["made"]
    return "\n".join(table.text() for section in shown.values() for table in section)


@pytest.mark.parametrize("path", KEPT)
def test_the_tables_are_those_of_the_run(path):
    assert_shown(printed(json.loads(read(path))))


@pytest.mark.parametrize("path", SWEEPS)
def test_the_tables_of_a_sweep_are_those_of_its_trainings(path):
    assert_shown(sweep.table(json.loads(read(path))).text())


@pytest.mark.parametrize("path", BENCHES)
def test_the_tables_of_speed_are_those_of_the_bench(path):
    parts = json.loads(read(path))
    assert parts
    for part in parts.values():
        assert_shown(bench.table(part["title"], part["rows"]).text(), "docs/speed.md")


def test_the_demo_on_a_fake_gpu_is_beside_the_cpus():
    runs = [read_json(name)["rows"] for name in ("demo", "fake_gpu/demo")]
    for row in runs[0]:
        cells = [f"{run[row]['miou_no_crf']:.1f} / {run[row]['miou']:.1f}" for run in runs]
        assert_shown(f"| {row} | {' | '.join(cells)} |", "docs/fake_gpu.md")


def test_the_demos_seed_1_is_make_demo():
    run, (as_it_is, *_) = read_json("demo"), read_json("sweeps/demo")["settings"]
    for name, (first, *_) in as_it_is["rows"].items():
        assert first["seed"] == 1 and first["iou"] == run["rows"][name]["iou"]


def test_readmes_table_has_the_differences_between_the_runs_rows():
    lines = [line for line in read("README.md").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = next(row for row in rows if row[0].startswith("mIoU on val"))
    columns = {name: column for column, name in enumerate(head) if f"docs/results/{name}.json" in KEPT}
    assert columns
    for name, column in columns.items():
        found = read_json(name)
        for row, other, ours, theirs in tables.effects(found, merged=3).rows:
            best = row.startswith("best")
            title = "best of steps 1 to 4, above step 1" if best else f"{row} against {other}"
            (cells,) = [cells for cells in rows if cells[0] == title]
            step = f"step {row[-2]}, " if best else ""
            assert cells[column] == (step + ours).replace("−", "-"), title
            assert cells[head.index("the paper")] == ("step 3, " * best + theirs).replace("−", "-"), title


def test_the_photos_are_as_many_as_the_readme_says():
    for name in ("photos", "rehearsal"):
        assert read_json(name)["images"]["train"] == 498 and len(experiments.load(name).classes) == 6


def test_other_demos_are_between_the_readmes_bounds():
    """psl less ae_step3: the mean over the seeds of each sweep of a demo, as it is."""
    gains = []
    for path in glob.glob("docs/results/sweeps/demo*.json"):
        rows = json.loads(read(path))["settings"][0]["rows"]
        pairs = zip(rows["psl"], rows["ae_step3"])
        gains.append(np.mean([psl["miou"] - other["miou"] for psl, other in pairs]))
    assert f"between {-min(gains):.1f} points below `ae_step3` and {max(gains):.1f} above" in " ".join(
        read("README.md").split()
    )


def test_the_readme_says_when_psl_gains():
    """psl less ae_step3, of the same training seed, with CRF and without; the least and the largest."""
    found, text = read_json("sweeps/rehearsal"), " ".join(read("README.md").split())
    assert [each["changes"] for each in found["settings"]] == [
        [],
        ["psl_start=ae_step3", "psl.v=softmax"],
        ["psl_start=ae_step3+step1", "psl.v=softmax"],
    ]
    longer = read_json("sweeps/rehearsal_longer")["settings"][1]
    assert longer["changes"][0] == "training.segmentation.epochs=16"
    pairs = [(each["rows"]["psl"], each["rows"]["ae_step3"]) for each in found["settings"]]
    pairs.append((pairs[0][0], longer["rows"]["ae_step3"]))
    gains, drawn, shared, equal = (
        [f"{abs(each):.1f}" for key in ("miou", "miou_no_crf") for each in differences(*pair, key)] for pair in pairs
    )
    for claim in (
        f"`psl` is {gains[0]} to {gains[1]} points above `ae_step3` over two seeds, and {gains[2]} to {gains[3]} ",
        f"it is between {equal[0]} below and {equal[1]} above, and {equal[2]} to {equal[3]} above without CRF",
        f"it is {shared[1]} to {shared[0]} points below",
        f"as in `photos`, {drawn[1]} to {drawn[0]} ",
    ):
        assert claim in text


def differences(rows, others, key):
    """The least and the largest difference of a figure, seed by seed."""
    assert [row["seed"] for row in rows] == [row["seed"] for row in others]
    found = [row[key] - other[key] for row, other in zip(rows, others)]
    return min(found), max(found)


@pytest.mark.long
def test_make_demo_gave_the_figures_that_are_kept():
    """On every processor with AVX2; the digits are those that the tables have."""
    if not os.path.exists("runs/demo/results.json"):
        pytest.skip("no finished run of the demo is here: make demo")
    if " avx2" not in read("/proc/cpuinfo"):
        pytest.skip("this processor has no AVX2, so that its last digits differ")
    assert printed(json.loads(read("runs/demo/results.json"))) == printed(read_json("demo"))
