"""Prints the stages of an experiment as a flow chart in Mermaid: a box for each kind, an arrow for what it reads."""

import collections
from typing import Optional

from aepsl import cli
from aepsl.graph.graph import Graph
from aepsl.settings import experiments


def chart(graph: Graph) -> str:
    """The flow chart, as text: the stages that take long, and the results.

    Stages of one kind share a box, which says how many they are. An arrow from a box to itself: each of its stages
    reads the result of the one before.
    """
    kinds = {stage.name: stage.kind for stage in [*graph.shown(), graph.stages["results"]]}
    boxes = [f'{kind}["{kind} x {count}"]' for kind, count in collections.Counter(kinds.values()).items()]
    needs = [(other, name) for name in kinds for other in graph.stages[name].needs if other in kinds]
    arrows = dict.fromkeys(f"{kinds[other]} --> {kinds[name]}" for other, name in needs)
    return "\n    ".join(["flowchart LR", *boxes, *arrows])


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("name", metavar="NAME", help="the experiment: prototxt/NAME")
    print(chart(Graph(experiments.load(parser.parse_args(argv).name))))
