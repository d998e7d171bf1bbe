"""The figures in aepsl.paper.published against the paper's sentences about them."""

import pytest

from aepsl.layers.psl import CONFIDENCES
from aepsl.paper import published, recipes
from aepsl.settings import experiments

# Rows of tables 3 and 4: task, masks, confidence of S_hat and at test; above them the sentence that says so.
ROWS = {
    # "foreground regions merged from varying k (k = 1, 2, 3, 4) AE steps for training the segmentation network"
    "ae_step1": ("segmentation", "step1", None, "none"),
    "ae_step2": ("segmentation", "step2", None, "none"),
    "ae_step3": ("segmentation", "step3", None, "none"),
    "ae_step4": ("segmentation", "step4", None, "none"),
    # "PSL uses v to weight foreground category segmentation score maps"; at test "we set those classification
    # confidences that are smaller than p to zero and keep others unchanged"
    "psl": ("psl", "merged", "predicted", "predicted"),
    # "using ground-truth image-level labels for prohibiting during the training stage"
    "psl_labels": ("psl", "merged", "labels", "predicted"),
    # "how PSL performs without using image-level classification confidences"
    "psl_none": ("psl", "merged", "none", "predicted"),
    # "the predicted segmentation masks are used as supervision for training the segmentation network for another round"
    "psl++": ("psl", "psl", "predicted", "predicted"),
    # "We utilize ground-truth image-level labels as classification confidences to weight the predicted segmentation
    # score maps (note this is different from the prohibitive information imposed in the training stage)"
    "psl+gt": ("psl", "psl", "predicted", "labels"),
    # Not in the paper: its nets without v at test, and true masks.
    "psl_no_policy": ("psl", "merged", "predicted", "none"),
    "psl++_no_policy": ("psl", "psl", "predicted", "none"),
    "calibration": ("segmentation", "truth", None, "none"),
}
IMPLICIT = "image labels, implicitly pixels"
WITH_PIXELS = ("scribbles", "boxes", IMPLICIT)


def test_every_row_is_made_of_what_the_paper_says():
    nets = recipes.nets(4)
    found = {name: (*nets[row.net][:3], row.confidence) for name, row in recipes.rows(4).items()}
    assert found == ROWS
    assert not [each for each in (*nets.values(), *recipes.rows(4).values()) if each.changes]  # ablations are others'
    assert {net.start for net in nets.values()} == {None}


def test_the_papers_masks_are_of_three_steps():
    """Section 4.3.1: "regions mined from the first three steps"; table 3 has four."""
    mining = experiments.load(published.PAPERS_EXPERIMENT).mining
    assert (mining.merge, mining.steps) == (3, len(published.CONVERGED_LOSSES))


def test_titles_are_the_tables_own():
    """Every row of tables 3 and 4 once; "w/o PSL" is AE-step3's, printed twice."""
    titles = {row.title: name for name, row in recipes.rows(4).items() if row.title}
    assert sorted(titles) == sorted(published.TABLES_3_AND_4)
    assert [titles[f"AE-step{t}"] for t in (1, 2, 3, 4)] == ["ae_step1", "ae_step2", "ae_step3", "ae_step4"]
    assert [titles[title] for title in ("w/ PSL", "w/ PSL++", "w/ PSL+GT")] == ["psl", "psl++", "psl+gt"]


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_any_number_of_steps(steps):
    nets, rows = recipes.nets(steps), recipes.rows(steps)
    erasing = [f"ae_step{t}" for t in range(1, steps + 1)]
    assert [name for name in nets if name.startswith("ae_")] == erasing
    assert [name for name in rows if name.startswith("ae_")] == erasing
    assert {net.masks for net in nets.values()} == {name[3:] for name in erasing} | {"merged", "psl", "truth"}
    assert {net.task for net in nets.values()} == {"segmentation", "psl"}
    assert all((net.confidence in CONFIDENCES) == (net.task == "psl") for net in nets.values())
    assert {row.net for row in rows.values()} == set(nets)
    assert {row.confidence for row in rows.values()} == set(CONFIDENCES)
    assert all((row.title != "") == (row.published is not None) for row in rows.values())


def test_v_needs_a_classification_branch():
    predicted = [row.net for row in recipes.rows(4).values() if row.confidence == "predicted"]
    assert {recipes.nets(4)[net].task for net in predicted} == {"psl"}


@pytest.mark.parametrize("name", experiments.known())
def test_experiments_ask_for_rows_that_there_are(name):
    experiment = experiments.load(name)
    assert set(experiment.rows) <= set(recipes.rows(experiment.mining.steps))


@pytest.mark.parametrize("title", sorted(published.TABLES_3_AND_4))
def test_rows_are_of_one_piece(title):
    """The mean of a row's 21 numbers is its last, to the paper's rounding: a slip of the pen would show."""
    *iou, mean = published.TABLES_3_AND_4[title]
    assert len(iou) == 21
    assert sum(iou) / 21 == pytest.approx(mean, abs=0.11)


@pytest.mark.parametrize(
    "better, worse, points",
    [
        ("psl", "ae_step3", 3.2),  # "PSL improves the performance by 3.2%"
        ("psl++", "psl", 0.9),  # "further improved from 54.1% to 55.0%"
        ("psl+gt", "psl++", 1.1),  # "only 1.1% better"
        ("ae_step3", "ae_step4", 2.1),  # "the performance drops by 2.1% due to the over erasing"
        ("psl", "psl_labels", 0.6),  # "performance drop of 0.6% compared with our proposed PSL design"
        ("psl", "psl_none", 1.0),  # "the performance drops 1%"
    ],
)
def test_differences_of_rows_are_the_texts(better, worse, points):
    rows = recipes.rows(4)
    assert rows[better].published_miou - rows[worse].published_miou == pytest.approx(points)


def test_rows_known_by_a_difference_have_no_classes():
    rows = recipes.rows(4)
    assert (rows["psl_labels"].published_miou, rows["psl_none"].published_miou) == (53.5, 53.1)
    assert {name for name, row in rows.items() if row.published_miou and not row.published} == set(published.PSL_LESS)


@pytest.mark.parametrize("table, lines", [(published.TABLE_1, 20), (published.TABLE_2, 17)])
def test_ours_is_the_best_of_image_labels(table, lines):
    """Section 4.2: "outperforms all the other works using image-level labels and point annotation"."""
    assert len(set(table)) == lines
    *others, ours = sorted((line for line in table if line.supervision not in WITH_PIXELS), key=lambda line: line.miou)
    assert (ours.supervision, ours.name, ours.images) == (published.LABELS, "AE-PSL (ours)", 10_000)
    assert others[-1].name == "AF-SS (ECCV 2016)" and others[-1].miou < ours.miou
    assert ours.miou > max(line.miou for line in table if line.supervision == IMPLICIT)


def test_differences_of_methods_are_the_texts():
    val, test = (
        {line.name.split(" (")[0]: line.miou for line in table} for table in (published.TABLE_1, published.TABLE_2)
    )
    assert val["AE-PSL"] == recipes.rows(4)["psl++"].published_miou == 55.0
    assert test["AE-PSL"] == 55.7
    assert val["AE-PSL"] - val["AF-SS"] == pytest.approx(2.4)  # "improves upon the best performance by over 2.4%"
    assert val["AE-PSL"] - val["AF-MCG"] == pytest.approx(0.7)  # "implicitly use pixel-level supervision by over 0.7%"
    assert val["AF-MCG"] - val["AF-SS"] == pytest.approx(1.7)  # "the performance of AF-SS [20] drops by 1.7%"
    assert (test["AF-SS"], test["AF-MCG"]) == (52.7, 55.5)  # section 2
    # "The mIoU score is 52.8%, which outperforms all those methods (as indicated in Table 2)"
    others = [
        line.miou for line in published.TABLE_2 if line.supervision == published.LABELS and "ours" not in line.name
    ]
    assert max(others) < 52.8


def test_more_images_than_10k_are_those_that_the_text_names():
    """Section 4.2: MIL-*, STC and TransferNet "use more images (700K, 50K and 70K) for training"."""
    for table in (published.TABLE_1, published.TABLE_2):
        more = {line.name.split(" ")[0].split("-")[0]: line.images for line in table if line.images != 10_000}
        assert more == {"MIL": 700_000, "STC": 50_000, "TransferNet": 70_000}


def test_converged_losses_are_the_texts():
    """Section 4.3.1: "around 0.05", "AE-step2: ~0.08, AE-step3: ~0.1", "as large as ~0.15"."""
    assert published.CONVERGED_LOSSES == {1: 0.05, 2: 0.08, 3: 0.10, 4: 0.15}
