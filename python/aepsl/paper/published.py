"""What the paper says of its rows and figures (Wei et al., CVPR 2017). Nothing is computed or read here.

mIoU and IoU are of VOC 2012, in percent, with CRF where nothing else is said.
"""

from typing import NamedTuple

# VOC's, in the order of its masks' values, 1 to 20.
VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
).split()

PAPERS_EXPERIMENT = "voc12"  # the one whose figures stand beside the paper's

# Figure 5a and section 4.3.1, about: the loss at which step t's classification converges.
CONVERGED_LOSSES = {1: 0.05, 2: 0.08, 3: 0.10, 4: 0.15}

# Figures on test, by row: section 4.3.1, "object regions merged from the first three AE steps"; table 2, AE-PSL.
TEST_MIOU = {"ae_step3": 52.8, "psl++": 55.7}

# The same net with the true masks, as DeepLab's authors published it (arXiv 1412.7062): on val without and with CRF.
LARGEFOV = (62.25, 67.64)

# Tables 3 and 4: IoU on val of background and the 20 classes in VOC's order, then their mean. Table 4 repeats AE-step3
# as "w/o PSL".
TABLES_3_AND_4 = {
    "AE-step1": "82.6 63.0 27.5 45.9 38.3 43.6 61.3 29.2 60.0 13.6 52.0 "
    "32.6 52.4 49.8 47.9 43.7 32.6 61.4 29.4 35.1 41.9 44.9",
    "AE-step2": "82.2 69.3 29.7 60.9 40.8 52.4 59.3 44.2 65.3 13.0 58.9 "
    "32.2 60.0 56.6 49.1 43.0 34.2 69.7 32.1 42.8 43.2 49.5",
    "AE-step3": "78.5 71.8 29.2 64.1 39.9 57.8 58.5 54.5 63.0 10.3 60.5 "
    "36.0 61.6 56.1 62.6 42.9 36.5 64.5 31.5 49.5 38.7 50.9",
    "AE-step4": "74.4 65.5 28.2 59.7 38.5 57.8 57.5 59.0 57.2 9.6 54.9 "
    "39.2 56.5 52.6 65.0 43.2 34.9 55.9 30.4 47.9 36.8 48.8",
    "w/ PSL": "83.3 70.0 31.6 69.7 40.8 54.2 63.2 58.4 69.9 18.1 65.5 "
    "33.5 69.8 60.7 60.5 50.5 38.1 69.4 31.4 57.3 39.7 54.1",
    "w/ PSL++": "83.4 71.1 30.5 72.9 41.6 55.9 63.1 60.2 74.0 18.0 66.5 "
    "32.4 71.7 56.3 64.8 52.4 37.4 69.1 31.4 58.9 43.9 55.0",
    "w/ PSL+GT": "83.6 71.0 30.6 73.0 42.7 56.1 63.6 61.7 75.2 22.2 67.6 "
    "33.4 74.6 57.8 65.6 53.6 37.7 71.6 33.2 59.0 45.1 56.1",
}

# Section 4.3.2 gives two rows by their distance from "our proposed PSL design" alone. Which row that is it does not
# say; we read "w/ PSL", 54.1, so they stand at 53.5 and 53.1.
PSL_LESS = {
    "psl_labels": 0.6,  # "using ground-truth information leads to performance drop of 0.6%"
    "psl_none": 1.0,  # "without using image-level classification confidences and find that the performance drops 1%"
}


def of_row(title):
    """The 22 numbers of a row of tables 3 and 4 as a tuple; None where they have no such row."""
    return tuple(map(float, TABLES_3_AND_4[title].split())) if title in TABLES_3_AND_4 else None


# The supervision that tables 1 and 2 sort their methods by.
SCRIBBLES, BOXES, SPOTS, LABELS = "scribbles", "boxes", "spots", "image labels"
IMPLICIT = "image labels, implicitly pixels"  # marked * there, as AF-MCG, whose MCG was trained with true masks


class Method(NamedTuple):
    """A line of table 1 or 2."""

    supervision: str
    name: str
    images: int  # to train with, rounded to thousands as in the paper
    miou: float


TABLE_1 = [  # on val
    Method(SCRIBBLES, "Scribblesup (CVPR 2016)", 10_000, 63.1),
    Method(BOXES, "WSSL (ICCV 2015)", 10_000, 60.6),
    Method(BOXES, "BoxSup (ICCV 2015)", 10_000, 62.0),
    Method(SPOTS, "1 Point (ECCV 2016)", 10_000, 46.1),
    Method(SPOTS, "Scribblesup (CVPR 2016)", 10_000, 51.6),
    Method(IMPLICIT, "SN B (PR 2016)", 10_000, 41.9),
    Method(IMPLICIT, "MIL-seg (CVPR 2015)", 700_000, 42.0),
    Method(IMPLICIT, "TransferNet (CVPR 2016)", 70_000, 52.1),
    Method(IMPLICIT, "AF-MCG (ECCV 2016)", 10_000, 54.3),
    Method(LABELS, "MIL-FCN (ICLR 2015)", 10_000, 25.7),
    Method(LABELS, "CCNN (ICCV 2015)", 10_000, 35.3),
    Method(LABELS, "MIL-sppxl (CVPR 2015)", 700_000, 36.6),
    Method(LABELS, "MIL-bb (CVPR 2015)", 700_000, 37.8),
    Method(LABELS, "EM-Adapt (ICCV 2015)", 10_000, 38.2),
    Method(LABELS, "DCSM (ECCV 2016)", 10_000, 44.1),
    Method(LABELS, "BFBP (ECCV 2016)", 10_000, 46.6),
    Method(LABELS, "STC (PAMI 2016)", 50_000, 49.8),
    Method(LABELS, "SEC (ECCV 2016)", 10_000, 50.7),
    Method(LABELS, "AF-SS (ECCV 2016)", 10_000, 52.6),
    Method(LABELS, "AE-PSL (ours)", 10_000, 55.0),
]

TABLE_2 = [  # on test
    Method(BOXES, "WSSL (ICCV 2015)", 10_000, 62.2),
    Method(BOXES, "BoxSup (ICCV 2015)", 10_000, 64.2),
    Method(IMPLICIT, "MIL-seg (CVPR 2015)", 700_000, 40.6),
    Method(IMPLICIT, "SN B (PR 2016)", 10_000, 43.2),
    Method(IMPLICIT, "TransferNet (CVPR 2016)", 70_000, 51.2),
    Method(IMPLICIT, "AF-MCG (ECCV 2016)", 10_000, 55.5),
    Method(LABELS, "MIL-FCN (ICLR 2015)", 10_000, 24.9),
    Method(LABELS, "CCNN (ICCV 2015)", 10_000, 35.6),
    Method(LABELS, "MIL-sppxl (CVPR 2015)", 700_000, 35.8),
    Method(LABELS, "MIL-bb (CVPR 2015)", 700_000, 37.0),
    Method(LABELS, "EM-Adapt (ICCV 2015)", 10_000, 39.6),
    Method(LABELS, "DCSM (ECCV 2016)", 10_000, 45.1),
    Method(LABELS, "BFBP (ECCV 2016)", 10_000, 48.0),
    Method(LABELS, "STC (PAMI 2016)", 50_000, 51.2),
    Method(LABELS, "SEC (ECCV 2016)", 10_000, 51.7),
    Method(LABELS, "AF-SS (ECCV 2016)", 10_000, 52.7),
    Method(LABELS, "AE-PSL (ours)", 10_000, 55.7),
]
