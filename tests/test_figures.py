"""The figures in README.md are those of docs/results/NAME.json, runs' results.json. See also test_results_page.

docs/results/sweeps/NAME.json are the sweep.json of sweeps; docs/results/bench/NAME.json are bench.json, with the tables
of docs/speed.md.
"""

import glob
import json
import os
import re

import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from aepsl.base import doors
from aepsl.bench import bench
from aepsl.graph import run_folder
from aepsl.graph.graph import Graph
from aepsl.nets import build, cuda, sizes
from aepsl.nets.whole_image import padded
from aepsl.report import tables
from aepsl.run import costs, plan, rows
from aepsl.settings import experiments

KEPT = sorted(glob.glob("docs/results/*.json"))
BENCHES = sorted(glob.glob("docs/results/bench/*.json"))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def read_json(name):
    return json.loads(read(f"docs/results/{name}.json"))


def assert_shown(text, page):
    shown = read(page)
    assert [line for line in text.splitlines() if line not in shown] == []


def printed(found):
    """What `aepsl report` prints of a run's figures, but for what it says of the machine."""
    found = dict({"peak_mib": {}, "images": {}}, **found, paper=False, missing=[])
    shown = tables.by_section(experiments.load(found["experiment"]), found)
    del shown["made"]
    return "\n".join(table.text() for section in shown.values() for table in section)


@pytest.mark.parametrize("path", BENCHES)
def test_the_tables_of_speed_are_those_of_the_bench(path):
    parts = json.loads(read(path))
    assert parts
    for part in parts.values():
        assert_shown(bench.table(part["title"], part["rows"]).text(), "docs/speed.md")


def test_the_minutes_of_the_runs_are_those_of_the_bench():
    ends = [read_json("bench/cpu")[f"run {name}"]["rows"][-1]["what"] for name in ("demo", "rehearsal")]
    demo, rehearsal = (int(re.fullmatch(r"2 cores, (\d+) s", each)[1]) / 60 for each in ends)
    said = f"a run of the demo took {demo:.1f} minutes there, and one of the rehearsal {rehearsal:.0f}."
    assert said in " ".join(read("docs/speed.md").split())


def test_the_seconds_of_the_plan_are_those_of_the_bench():
    """Of one core, for a photo; of an iteration of voc12, on two cores."""
    bench_of = read_json("bench/cpu")
    rate = {row["stage"]: row["images_per_second"] for part in ("saliency", "crf") for row in bench_of[part]["rows"]}
    (two,) = [row["two_iterations_s"] for row in bench_of["full-size"]["rows"] if row["stage"] == "segmentation"]
    wanted = [two / 2, *(1 / rate[stage] for stage in ("crf, 2 labels", "crf, 20 labels", "drfi", "rbd"))]
    detectors = [doors.load(doors.DETECTORS, name).SECONDS for name in ("drfi", "rbd")]
    found = [costs.ITERATION, costs.SECONDS["relabel"], costs.SECONDS["segment"], *detectors]
    assert found == pytest.approx(wanted, abs=0.005)


def test_the_costs_of_voc12_are_those_of_the_plan(monkeypatch, tmp_path):
    """`make reproduce-dry GPU=0 CORES=16` without a GPU, before the first run."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    monkeypatch.setattr(cuda, "count", lambda: 0)
    voc12 = experiments.load("voc12")
    text, few = (plan.report(each, gpus=1, cores=16) for each in (voc12, rows.only(Graph(voc12), ["psl++"])))
    shown, few = (
        {name: cells for name, *cells in (re.split("  +", line) for line in each.splitlines() if "  " in line)}
        for each in (text, few)
    )
    downloaded = sum(float(cells[0].split()[0]) for cells in shown.values() if cells[-1] == "downloaded")
    hours, disk = shown["all, on one GPU"]
    own = {
        "a training (12 of them)": shown["classification.step1"],
        "mining a step (4)": shown["mine.step1"],
        "segmenting the training images for psl++": shown["relabel.psl"],
        "segmenting val, with CRF (11 rows)": shown["segment.val.psl"],
        "saliency of the training images": shown["saliency"],
        "all, on one GPU": [hours, f"{disk}, of which {downloaded:.2f} GB are downloads"],
        "all, on 2 GPUs, at best": [*shown["on 2 GPUs, at best"], ""],
        "all, on 4 GPUs or more, at best": [*shown["on 8 GPUs, at best"], ""],
        "with `ROW=psl++`: all, on one GPU": few["all, on one GPU"],
    }
    table = read("docs/voc12.md").split("| stage | hours | disk |\n")[1].split("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert {name: found for name, *found in cells} == own


def test_the_largest_image_of_voc12_is_as_the_docs_say():
    text = " ".join(read("docs/your_data.md").split())
    (side,) = map(int, re.findall(r"In voc12 this is so above (\d+) x \1 pixels", text))
    for task in experiments.TASKS:
        net = text_format.Parse(build.deploy_net(experiments.load("voc12"), task), caffe_pb2.NetParameter())
        assert sizes.needs(net, side, side) <= sizes.MOST < sizes.needs(net, *2 * [padded(side + 1)])


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
            title = "best step, above step 1" if best else f"{row} against {other}"
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


def test_readmes_table_of_psl_has_the_parts_of_its_gain():
    """Points of mIoU, with CRF / without: the weights at test, the training, and both; the least and the largest.

    The net with which psl begins, not trained, is the second setting of two sweeps.
    """
    for name, heading in (("photos", "photos"), ("rehearsal_start", "rehearsal, three seeds")):
        found = read_json(f"sweeps/{name}")
        as_it_is, start = found["settings"]
        assert as_it_is["changes"] == [] and start["changes"] == ["training.psl.lr=1.0e-12", "training.psl.epochs=1"]
        assert len(found["seeds"]) == (3 if "three" in heading else 1)
        psl, other, untrained = as_it_is["rows"]["psl"], as_it_is["rows"]["ae_step3"], start["rows"]["psl"]
        rows = {
            "the weights at test, before the training of PSL": differences(untrained, other),
            "the training of PSL": differences(psl, untrained),
            "both: `psl` against `ae_step3`": differences(psl, other),
        }
        if name == "rehearsal_start":
            (_, longer) = read_json("sweeps/rehearsal_longer")["settings"]
            training = experiments.load("rehearsal").training
            epochs = training.segmentation.epochs + training.psl.epochs
            assert longer["changes"][0] == f"training.segmentation.epochs={epochs}"
            (_, longest), (_, twice) = (
                read_json(f"sweeps/rehearsal_24_{row}")["settings"] for row in ("ae_step3", "psl")
            )
            both = differences(psl, longer["rows"]["ae_step3"])
            longest = differences(twice["rows"]["psl"], longest["rows"]["ae_step3"])
            rows["`psl` against an `ae_step3` trained as long"] = f"{both}; of 24 epochs {longest}"
        assert {title: readmes_cell(title, heading) for title in rows} == rows


def test_readme_says_what_psl_needs():
    text = " ".join(read("README.md").split())
    drawn, shared = read_json("sweeps/rehearsal")["settings"][1:]
    assert [drawn["changes"], shared["changes"]] == [
        ["psl_start=ae_step3", "psl.v=softmax"],
        ["psl_start=ae_step3+step1", "psl.v=softmax"],
    ]
    for setting, claim in (
        (shared, "In `rehearsal` with softmax, `psl` is {} to {} points below `ae_step3`;"),
        (drawn, "begins at random too, {} to {} ("),
    ):
        least, largest = differences(setting["rows"]["psl"], setting["rows"]["ae_step3"]).split(" / ")[0].split(" to ")
        assert claim.format(largest.lstrip("-"), least.lstrip("-")) in text


def readmes_cell(title, heading):
    """The cell of one of README's tables."""
    tables = [table.splitlines() for table in read("README.md").split("\n\n") if table.startswith("|")]
    (rows,) = [rows for rows in map(cells_of, tables) if heading in rows[0] and title in [row[0] for row in rows]]
    return next(row for row in rows if row[0] == title)[rows[0].index(heading)]


def cells_of(lines):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def differences(rows, others):
    """The least and the largest difference of mIoU, seed by seed, with CRF / without, as '+1.0 to +2.2 / -0.3'."""
    assert [row["seed"] for row in rows] == [row["seed"] for row in others]
    found = [[row[key] - other[key] for row, other in zip(rows, others)] for key in ("miou", "miou_no_crf")]
    bounds = [dict.fromkeys((f"{min(each):+.1f}", f"{max(each):+.1f}")) for each in found]
    return " / ".join(" to ".join(each) for each in bounds)


@pytest.mark.long
def test_make_demo_gave_the_figures_that_are_kept():
    """On every processor with AVX2; the digits are those that the tables have."""
    if not os.path.exists("runs/demo/results.json"):
        pytest.skip("no finished run of the demo is here: make demo")
    if " avx2" not in read("/proc/cpuinfo"):
        pytest.skip("this processor has no AVX2, so that its last digits differ")
    assert printed(json.loads(read("runs/demo/results.json"))) == printed(read_json("demo"))
