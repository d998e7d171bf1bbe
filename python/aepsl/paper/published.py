"""What the paper says of its rows and figures (Wei et al., CVPR 2017). Its tables are in tables.yaml.

mIoU and IoU are of VOC 2012, in percent, with CRF unless a comment says otherwise.
"""

import pathlib
from typing import NamedTuple

import yaml

# VOC's, in the order of its masks' values, 1 to 20.
VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
).split()

PAPERS_EXPERIMENT = "voc12"  # the experiment whose figures are compared with the paper's

# Figure 5a and section 4.3.1, about: the loss at which step t's classification converges.
CONVERGED_LOSSES = {1: 0.05, 2: 0.08, 3: 0.10, 4: 0.15}

# The same net with the true masks, as DeepLab's authors published it (arXiv 1412.7062): on val without and with CRF.
LARGEFOV = (62.25, 67.64)

# Of two rows, section 4.3.2 gives only the distance from "our proposed PSL design". It does not say which row that is.
# We read "w/ PSL", 54.1, so the two have 53.5 and 53.1.
PSL_LESS = {
    "psl_labels": 0.6,  # "using ground-truth information leads to performance drop of 0.6%"
    "psl_none": 1.0,  # "without using image-level classification confidences and find that the performance drops 1%"
}

LABELS = "image labels"  # the supervision of AE-PSL in tables 1 and 2


class Method(NamedTuple):
    """A line of table 1 or 2."""

    supervision: str
    name: str
    images: int  # to train with, rounded to thousands as in the paper
    miou: float


_tables = yaml.safe_load(pathlib.Path(__file__).with_name("tables.yaml").read_text())
TABLE_1, TABLE_2 = (  # on val, and on test
    [Method(kind, name, *numbers) for kind, methods in _tables[table].items() for name, numbers in methods.items()]
    for table in ("table_1", "table_2")
)
TABLES_3_AND_4: dict[str, tuple[float, ...]] = {  # {title: the 22 numbers of a row}
    title: tuple(numbers) for title, numbers in _tables["tables_3_and_4"].items()
}
