"""docs/results.md: its tables and findings are those of the runs and sweeps in docs/results/."""

import os
import re

import numpy as np
import pytest

from aepsl.base.table import number
from aepsl.paper import recipes
from aepsl.report import tables
from aepsl.run import sweep
from aepsl.settings import experiments
from test_figures import KEPT, cells_of, read, read_json

RUNS = ["photos", "rehearsal", "demo"]
EARLIER = {
    "photos_random_layer": "photos, random layer",
    "rehearsal_rbd": "rehearsal, rbd",
    "rehearsal_truth": "rehearsal, truth",
}
PAGE = read("docs/results.md")
DEMOS = ["demo", "demo2", "demo3"]


def shown(name):
    """{caption: table} of `aepsl report`."""
    found = dict({"peak_mib": {}, "images": {}}, **read_json(name), paper=False, missing=[])
    sections = tables.by_section(experiments.load(found["experiment"]), found)
    return {table.caption: table for key, each in sections.items() if key != "made" for table in each}


def side_by_side(names, *columns, captions):
    """[[name, a cell of each run]]: rows of tables of `aepsl report`; a cell has the values of `columns`."""
    lines = {}
    for k, name in enumerate(names):
        for table in (table for caption, table in shown(name).items() if re.fullmatch(captions, caption)):
            for row in table.rows:
                cells = dict(zip(table.columns, row))
                joined = " / ".join(filter(None, (cells[column] for column in columns)))
                lines.setdefault(row[0], ["–"] * len(names))[k] = joined
    return [[name, *cells] for name, cells in lines.items()]


def of_sweep(name):
    """{(setting, row): {column: cell}} of the table of `aepsl sweep`."""
    table, found, setting = sweep.table(read_json(f"sweeps/{name}")), {}, None
    for row in table.rows:
        setting = setting if any(row[1:]) else row[0]
        found[setting, row[0].strip()] = dict(zip(table.columns, row))
    return found


def rows_of_the_rehearsals_sweeps():
    varied, p, start, longer = map(
        of_sweep, ("rehearsal", "rehearsal_prohibited", "rehearsal_start", "rehearsal_longer")
    )
    tripled = "training.segmentation.epochs=24 training.segmentation.lr_step_epochs=18"
    more = "training.psl.epochs=16 training.psl.lr_step_epochs=12"
    doubled = "training.segmentation.epochs=16 training.segmentation.lr_step_epochs=12"
    found = {
        "ae_step3": start["as it is", "ae_step3"],
        "ae_step3, 16 epochs": longer[doubled, "ae_step3"],
        "ae_step3, 24 epochs": of_sweep("rehearsal_24_ae_step3")[tripled, "ae_step3"],
        "psl": start["as it is", "psl"],
        "psl, 16 epochs": of_sweep("rehearsal_24_psl")[more, "psl"],
        "psl, not trained": start["training.psl.lr=1.0e-12 training.psl.epochs=1", "psl"],
        **{f"psl, p = {each}": p[f"psl.prohibited={each}", "psl"] for each in ("0", "0.05", "0.3")},
        "psl, softmax": varied["psl_start=ae_step3+step1 psl.v=softmax", "psl"],
        "psl, softmax, random layer": varied["psl_start=ae_step3 psl.v=softmax", "psl"],
    }
    columns = ["with CRF", "without", "above ae_step3, same seed", "one class", "several", "objects in S_hat"]
    return [[name, *(cells.get(column) or "–" for column in columns)] for name, cells in found.items()]


def rows_of_the_demos_sweeps():
    found, lines = [of_sweep(name) for name in DEMOS], []
    for setting, title in {
        "as it is": "as it is",
        "psl_start=step1": "psl from step 1's net",
        "segmentation_start=initial psl_start=initial": "from random weights",
        "training.segmentation.epochs=48 training.segmentation.lr_step_epochs=36": "ae_step3 of 48 epochs",
    }.items():
        own = [("psl with CRF", "psl", "with CRF"), ("psl without", "psl", "without")]
        own += [("psl less ae_step3", "psl", "above ae_step3, same seed"), ("S_hat", "psl", "objects in S_hat")]
        if setting != "psl_start=step1":  # whose ae_step3 is that of the first setting
            own = [("ae_step3 with CRF", "ae_step3", "with CRF"), ("ae_step3 without", "ae_step3", "without"), *own]
        for k, (name, row, column) in enumerate(own):
            cells = [each.get((setting, row), {}).get(column, "–") for each in found]
            lines.append([f"{title}: {name}" if k == 0 else name, *cells])
    return lines


def rows_of_miou():
    paper = {name: number(row.published_miou) or "–" for name, row in recipes.rows(4).items()}
    found = side_by_side(RUNS, "mIoU", "no CRF", captions="Table [34].*")
    return [[name, paper[name], *cells] for name, *cells in found]


def rows_of_s_hat():
    """In the first epoch and in the last; the earlier runs' psl.csv end with a row of a single batch."""
    lines = []
    for name, title in {**{name: name for name in RUNS}, **EARLIER}.items():
        found = read_json(name)
        for net, values in found["psl"].items():
            ends = [[of_epoch(found, net, key, k) for k in ("first", "last")] for key in values]
            lines.append([f"{title}, {net}", *(" to ".join(f"{100 * each:.1f}" for each in pair) for pair in ends)])
    return lines


def of_epoch(found, net, key, which):
    epochs = int(experiments.load(found["experiment"]).training.psl.epochs)
    return found["psl"][net][key][0 if which == "first" else epochs - 1]


def rows_of_settings():
    """Of the table "How the runs were made": those that are settings of an experiment, and the numbers of images."""
    lines = []
    for name in RUNS:
        e, images = experiments.load(name), read_json(name)["images"]
        nets = e.training.classification, e.training.segmentation, e.training.psl
        ((rule, value),) = e.mining.threshold.items()
        (batch,) = {net.batch for net in nets}
        cells = {
            "training images, validation images, classes": f"{images['train']}, {images['val']}, {len(e.classes)}",
            "scale of the images; crop; batch": f"{e.data.scale:g}; {e.data.crop}; {batch}",
            "epochs: classification, segmentation, psl": ", ".join(f"{net.epochs:g}" for net in nets),
            "erasing threshold": f"{rule} {value:g}",
            "bound of the stop rule": f"{e.mining.max_converged_loss:g}",
            "start of segmentation nets": e.segmentation_start,
            "start of psl": e.psl_start,
            "v": e.psl.v,
            "background": e.background.detector,
        }
        lines.append(list(cells.values()))
    return [list(row) for row in zip(cells, *lines)]


EXPECTED = {  # the first two columns of a table: what makes its rows
    ("mIoU on val, with CRF / without", "the paper"): rows_of_miou,
    ("recall / precision / erased / loss", "photos"): lambda: side_by_side(
        RUNS, "recall", "precision", "erased", "loss", captions="Mined regions.*"
    ),
    ("recall / precision / erased", "photos"): lambda: side_by_side(
        RUNS, "recall", "precision", "erased", captions="Sensitivity.*"
    ),
    ("missed / confused / false", "photos"): lambda: side_by_side(
        RUNS, "missed", "confused", "false", captions="Wrong pixels"
    ),
    ("objects / missed / confused", "photos"): lambda: side_by_side(
        RUNS, "objects", "missed", "confused", captions="Wrong pixels by size.*"
    ),
    ("what", "photos"): lambda: side_by_side(RUNS, "percent", captions="Background cues"),
    ("run, net", "r"): rows_of_s_hat,
    ("net", "with CRF"): rows_of_the_rehearsals_sweeps,
    ("setting, row", "demo"): rows_of_the_demos_sweeps,
    ("mIoU with CRF / without", "photos, random layer"): lambda: side_by_side(
        EARLIER, "mIoU", "no CRF", captions="Table [34].*"
    ),
    ("missed / confused / false", "photos, random layer"): lambda: side_by_side(
        EARLIER, "missed", "confused", "false", captions="Wrong pixels"
    ),
}
WRITTEN = {  # no JSON has their rows: definitions; aepsl confidence; aepsl evaluate-background
    ("row", "masks learned from"),
    ("list", "labels"),
    ("", "cue: share"),
}
SETTINGS = ("", "photos")


def pages_tables():
    """{its first two columns: its rows} of the page's tables in Markdown."""
    found = [cells_of(block.splitlines()) for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)]
    tables_of = {tuple(columns[:2]): rows for columns, _, *rows in found}
    assert len(tables_of) == len(found)
    return tables_of


def test_every_run_and_sweep_that_is_kept_is_on_the_page():
    rehearsals = ["rehearsal", "rehearsal_prohibited", "rehearsal_start", "rehearsal_longer"]
    rehearsals += ["rehearsal_24_ae_step3", "rehearsal_24_psl"]
    assert {*RUNS, *EARLIER} == {os.path.basename(path)[: -len(".json")] for path in KEPT}
    assert {f"{name}.json" for name in [*DEMOS, *rehearsals, "photos"]} == set(os.listdir("docs/results/sweeps"))


def test_every_table_of_the_page_is_known():
    assert set(pages_tables()) == {*EXPECTED, *WRITTEN, SETTINGS}


@pytest.mark.parametrize("columns", EXPECTED, ids=" ".join)
def test_a_table_has_the_figures_of_the_runs(columns):
    """These rows and no others."""
    assert sorted(pages_tables()[columns]) == sorted(map(list, EXPECTED[columns]()))


def test_the_runs_were_made_as_the_page_says():
    found, own = {name: cells for name, *cells in pages_tables()[SETTINGS]}, rows_of_settings()
    assert {name: found[name] for name, *_ in own} == {name: cells for name, *cells in own}
    assert set(found) - {name for name, *_ in own} == {"net", "initial weights"}


def test_the_blocks_are_what_the_commands_print():
    """The classes of the three runs, the sweep of photos, and the detectors, of which no JSON is kept."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    printed = [content.rstrip() for kind, content in blocks if not kind]
    classes = [[table for caption, table in shown(name).items() if "IoU on val" in caption] for name in RUNS]
    own = ["\n".join(table._replace(note="").text() for table in each) for each in classes]
    assert printed[:-1] == [*own, sweep.table(read_json("sweeps/photos")).text()]
    assert printed[-1].split()[:3] == ["AUC", "F", "MAE"]


# What the page finds

START = "training.psl.lr=1.0e-12 training.psl.epochs=1"
KEYS = ("miou", "miou_no_crf")


def of_seeds(name, setting, row):
    """The rows of a sweep, by seed; setting: its changes."""
    (found,) = [each for each in read_json(f"sweeps/{name}")["settings"] if " ".join(each["changes"]) == setting]
    return found["rows"][row]


def less(rows, others, key="miou"):
    """['1.0', '−0.3']: differences, seed by seed."""
    assert [row["seed"] for row in rows] == [row["seed"] for row in others]
    return [f"{row[key] - other[key]:.1f}" for row, other in zip(rows, others)]


def listed(values):
    """'5.1, 4.1 and 3.8'"""
    return f"{', '.join(values[:-1])} and {values[-1]}"


def test_the_page_says_what_the_rehearsals_sweeps_show():
    name = "rehearsal_start"
    ours, other, untrained = (
        of_seeds(name, setting, row) for setting, row in (("", "psl"), ("", "ae_step3"), (START, "psl"))
    )
    longer = of_seeds(
        "rehearsal_longer", "training.segmentation.epochs=16 training.segmentation.lr_step_epochs=12", "ae_step3"
    )
    longest = of_seeds(
        "rehearsal_24_ae_step3",
        "training.segmentation.epochs=24 training.segmentation.lr_step_epochs=18",
        "ae_step3",
    )
    twice = of_seeds("rehearsal_24_psl", "training.psl.epochs=16 training.psl.lr_step_epochs=12", "psl")
    both, weights, trained, equal, of_24 = (
        [less(a, b, key) for key in KEYS]
        for a, b in ((ours, other), (untrained, other), (untrained, ours), (ours, longer), (twice, longest))
    )
    means = [np.mean([row["miou"] for row in rows]) for rows in (ours[:2], twice, other[:2], longest)]
    assert f"{means[0]:.1f}" == f"{means[1]:.1f}"
    gained = [value.lstrip("-") for value in trained[1]]
    p = [of_seeds("rehearsal_prohibited", f"psl.prohibited={each}", "psl") for each in ("0", "0.05", "0.3")]
    most = [max(abs(a[key] - b[key]) for rows in p for a, b in zip(rows, ours)) for key in KEYS]
    softmax, drawn = (f"psl_start={each} psl.v=softmax" for each in ("ae_step3+step1", "ae_step3"))
    below = [
        [
            [
                value.lstrip("-")
                for value in less(*(of_seeds("rehearsal", each, row) for row in ("psl", "ae_step3")), key)
            ]
            for key in KEYS
        ]
        for each in (softmax, drawn)
    ]
    kinds = [(ours[0]["errors"][kind], untrained[0]["errors"][kind]) for kind in ("confused", "missed")]
    assert_said(
        f"psl is above ae_step3 on all three seeds**: {listed(both[0])} points with CRF, and {listed(both[1])} without",
        f"Alone they gain {listed(weights[0])} points with CRF, and {listed(weights[1])} without",
        f"loses {listed(trained[0])} points with CRF, and gains {listed(gained)} without",
        "it confuses fewer pixels ({:.1f}% against {:.1f}%), and misses more ({:.1f}% against {:.1f}%)".format(
            *kinds[0], *kinds[1]
        ),
        f"without CRF on all three seeds**: {listed(equal[1])} points. With CRF it gains on two: {listed(equal[0])}.",
        f"psl is above ae_step3 on both seeds**: {listed(of_24[0])} points with CRF, and {listed(of_24[1])} without",
        "at {1:.1f} for psl, and {2:.1f} become {3:.1f} for ae_step3".format(*means),
        f"psl changes by at most {most[0]:.1f} points with CRF, and {most[1]:.1f} without",
        f"It is {listed(below[0][0])} points below ae_step3 with CRF, and {listed(below[0][1])} above without",
        f"psl is {listed(below[1][0])} points below.",
        f"psl is {min(both[0])} to {max(both[0])} points above ae_step3, over three seeds, and {min(equal[0])} to "
        f"{max(equal[0])} above an ae_step3 trained as long",
        f"it is {below[0][0][0]} to {below[1][0][1]} below ae_step3",
    )


def test_the_page_says_what_the_sweep_of_photos_shows():
    ours, other, untrained, plain = (
        of_seeds("photos", setting, row)
        for setting, row in (("", "psl"), ("", "ae_step3"), (START, "psl"), ("", "psl_no_policy"))
    )
    (weights, trained, own) = (
        [less(a, b, key)[0].lstrip("-") for key in KEYS]
        for a, b in ((untrained, other), (ours, untrained), (plain, other))
    )
    v = [rows[0]["psl"]["v"][-1] for rows in (untrained, of_seeds("rehearsal_start", START, "psl"), ours)]
    losses = [read_json(name)["mining"]["step1"]["converged_loss"] for name in ("photos", "rehearsal")]
    assert_said(
        f"The weights at test alone lose {weights[0]} points** ({weights[1]} without CRF)",
        "v is {:.2f} here, and {:.2f} in the rehearsal".format(*v[:2]).replace(" 0.", " ."),
        "(a loss of {:.3f} against {:.3f})".format(*losses).replace(" 0.", " ."),
        f"gains {trained[0]} points on that net**, and {trained[1]} without CRF. v rises to {v[2]:.2f}".replace(
            " 0.", " ."
        ),
        f"is {own[0]} below ae_step3 with CRF, and {own[1]} above without",
    )


def gain(rows, one, other, key="miou"):
    """A difference between two rows, as `make report` subtracts them; without its sign."""
    return f"{abs(round(rows[one][key], 1) - round(rows[other][key], 1)):.1f}"


def test_the_page_says_what_the_runs_show():
    photos, rehearsal, demo = map(read_json, RUNS)
    rows, small = photos["rows"], rehearsal["rows"]
    cow = (rows["ae_step3"]["iou"]["cow"] - rows["ae_step1"]["iou"]["cow"]) / len(rows["ae_step1"]["iou"])
    erased = [
        100 * row["erased"] for run in (photos, rehearsal) for rule, row in run["thresholds"] if rule == {"of_max": 0.2}
    ]
    schedule = [
        int(experiment.data.train_images * net.epochs / net.batch)
        for experiment in map(experiments.load, ("rehearsal", "voc12"))
        for net in [experiment.training.psl]
    ]
    none, best = (gain(each, *pair) for each, pair in ((rows, ("psl_none", "psl")), (small, ("psl_none", "psl"))))
    for name in RUNS[1:]:
        miou = {row: read_json(name)["rows"][row]["miou"] for row in ("ae_step1", "ae_step2", "ae_step3", "ae_step4")}
        assert max(miou, key=miou.get) == "ae_step3"
    assert_said(
        f"{cow:.1f} of the {gain(rows, 'ae_step3', 'ae_step1')} points that three steps gain are of one class: cow",
        f"psl_none is {none} and {best} points above psl",
        f"In `photos` it is {gain(rows, 'psl', 'ae_step3')} below",
        f"ends after step {demo['success']} in the demo, after step {rehearsal['success']} in the rehearsal, and after "
        f"step {photos['success']} in `photos`",
        "would erase {:.0f}% in `photos`, and {:.0f}% in the rehearsal".format(*erased),
        "The rehearsal's has {:,} iterations, the paper's {:,}.".format(*schedule),
        f"their schedule is {schedule[1] / schedule[0]:.0f} times as long",
        "with CRF ({:.1f}), and above it without ({:.1f} against {:.1f})".format(
            small["psl_none"]["miou"],
            small["psl_none"]["miou_no_crf"],
            of_seeds("rehearsal_start", START, "psl")[0]["miou_no_crf"],
        ),
        f"psl++ is {gain(small, 'psl++', 'psl')} points below psl: the pixels that psl misses",
        f"It is {gain(rows, 'psl++', 'psl')} points above psl, and {gain(rows, 'psl++', 'ae_step3')} above ae_step3",
        f"The image labels at test gain {gain(rows, 'psl+gt', 'psl++')} points**",
    )


def test_the_page_says_what_the_earlier_runs_show():
    photos, rbd, truth = (read_json(name) for name in EARLIER)
    rows = photos["rows"]
    v, r = ([of_epoch(photos, "psl", key, which) for which in ("first", "last")] for key in ("v", "r"))
    below = {
        net: [f"{100 * of_epoch(photos, net, 'v_below_r', which):.0f}%" for which in ("first", "last")]
        for net in ("psl", "psl++")
    }
    errors = [rows[name]["errors"][kind] for kind in ("missed", "confused") for name in ("psl", "ae_step3")]
    persons = [rows[name]["iou"]["person"] for name in ("psl", "ae_step3")]
    drawn = less(*(of_seeds("rehearsal", "psl_start=ae_step3 psl.v=softmax", row) for row in ("psl", "ae_step3")))
    drfi = read_json("rehearsal")["rows"]["ae_step3"]["miou"]
    assert gain(rows, "psl_none", "psl") == gain(rows, "psl_labels", "psl")
    assert drfi > truth["rows"]["ae_step3"]["miou"]
    assert_said(
        "({:.1f} against {:.1f}%), and confuses fewer than half as many ({:.1f} against {:.1f}%)".format(*errors),
        "an IoU of {:.1f} against {:.1f}".format(*persons),
        f"is {gain(rows, 'psl_none', 'psl')} points better than with them",
        f"v ({v[0]:.2f}) is below r ({r[0]:.2f}) for {below['psl'][0]} of the labels".replace("0.", "."),
        f"v is {v[-1]:.2f}, below r for {below['psl'][1]} of the labels".replace("0.", "."),
        f"psl++ is {gain(rows, 'psl++', 'psl')} points below psl. Its S",
        f"for {below['psl++'][0]} of the labels at first, and for {below['psl++'][1]} at last",
        f"{round(drfi, 1) - round(rbd['rows']['ae_step3']['miou'], 1):.1f} points more than RBD's",
        f"ae_step3 misses {truth['rows']['ae_step3']['errors']['missed']:.1f}%",
        f"{gain(rbd['rows'], 'psl', 'ae_step3')} points with rbd, {drawn[0].lstrip('-')} with drfi (first seed of the "
        f"sweep above), and {gain(truth['rows'], 'psl', 'ae_step3')} with the true background",
        f"so its ae_step3 has {rows['ae_step3']['miou']:.1f}",
    )


def test_the_page_says_what_the_demos_sweeps_show():
    longer = "training.segmentation.epochs=48 training.segmentation.lr_step_epochs=36"
    plain, lost, pairs, begun, spread = [], [], [], {"": [], "psl_start=step1": []}, []
    for name in DEMOS:
        ours, other, long = (of_seeds(name, *each) for each in (("", "psl"), ("", "ae_step3"), (longer, "ae_step3")))
        mean = {key: [np.mean([row[key] for row in rows]) for rows in (ours, other, long)] for key in KEYS}
        plain.append(mean["miou_no_crf"][0] - mean["miou_no_crf"][1])
        lost.append(mean["miou"][1] - mean["miou"][2])
        pairs.append("{:.1f} against {:.1f}".format(mean["miou"][0], mean["miou"][2]))
        agreeing = sum(row["miou"] > before["miou"] for row, before in zip(ours, other))
        assert max(agreeing, 5 - agreeing) in (4, 5)
        for setting, shares in begun.items():
            rows = [row["psl"] for row in of_seeds(name, setting, "psl")]
            shares.append(np.mean([row["S_hat_objects"][0] / row["S_objects"][0] for row in rows]))
        spread += [
            float(each) for each in less(*(of_seeds(name, "psl_start=step1", row) for row in ("psl", "ae_step3")))
        ]
    assert_said(
        f"Without CRF it gains on all three data sets, {min(plain):.1f} to {max(plain):.1f} points on average",
        f"trained twice as long loses {min(lost):.1f} to {max(lost):.1f} points with CRF",
        f"on all three data sets: {', '.join(pairs)}.",
        f"psl less ae_step3 is between +{max(spread)} and {min(spread)}",
        *(f"begins with {min(shares):.2f} to {max(shares):.2f}".replace(" 0.", " .") for shares in begun.values()),
    )


def test_fidelity_says_what_the_sweeps_show():
    softmax, drawn = (f"psl_start={each} psl.v=softmax" for each in ("ae_step3+step1", "ae_step3"))
    pairs = {each: [of_seeds("rehearsal", each, row) for row in ("psl", "ae_step3")] for each in ("", softmax, drawn)}
    above, below = less(*pairs[""]), [value.lstrip("-") for value in less(*pairs[softmax])]
    lost = [value.lstrip("-") for value in less(pairs[drawn][0], pairs[softmax][0])]
    spread = [
        [float(each) for name in DEMOS for each in less(*(of_seeds(name, start, row) for row in ("psl", "ae_step3")))]
        for start in ("", "psl_start=step1")
    ]
    (least, most), (least_of_step1, most_of_step1) = ((-min(each), max(each)) for each in spread)
    assert_said(
        f"psl is {listed(above)} points above ae_step3, and with softmax {listed(below)} below (two seeds)",
        f"a layer with random weights gives {listed(lost)} points less (two seeds, softmax)",
        f"between {least} points below ae_step3 and {most} above, and from step 1's net between {least_of_step1} below "
        f"and {most_of_step1} above",
        page=read("FIDELITY.md"),
    )


def assert_said(*claims, page=None):
    text = " ".join((page or PAGE).split())
    assert [claim for claim in claims if claim not in text] == []
