# Runs the graph of stages (python/aepsl/graph): what each needs, and that what waits longest starts first, follows from
# it. `python3 -m aepsl run NAME` starts it, and says which jobs are to be done again: no time of a file counts.
#
# A job leaves a mark in done/, in the run's folder, where snakemake works; commands run in the repository.

import os
from shlex import quote

from aepsl.graph import graph

FOLDER = os.environ["AEPSL_START"]
GRAPH, START = graph.read(FOLDER, root=os.path.join(workflow.basedir, "runs"))
E = GRAPH.experiment
# The threads of a net are a setting: with more, OpenBLAS adds in another order, and the last digits change.
AEPSL = "cd {} && OMP_NUM_THREADS={t} OPENBLAS_NUM_THREADS={t} python3 -m aepsl".format(
    quote(workflow.basedir), t=E.threads
)
WAITS = GRAPH.longest(START.seconds)


wildcard_constraints:
    k=r"\d+",
    n=r"\d+",


localrules: all, calibrate, submission, sweep


rule all:
    """Prints the tables and writes the report, also when there is nothing else to do."""
    input: GRAPH.marks(graph.target("all", START.row))
    shell: "{AEPSL} report {E.name} --data {START.data:q}"


rule calibrate:
    """The same net with the true masks: what it reaches says whether the set-up is sound, before days are spent."""
    input: GRAPH.marks(graph.target("calibrate", START.row))
    shell: "{AEPSL} calibrate --experiment {E.name} --data {START.data:q}"


rule submission:
    """The archive of a row for VOC's server; of val where the experiment names no test images."""
    input: GRAPH.marks(graph.target("submission", START.row))
    params:
        stage=GRAPH.stages[f"segment.test.{START.row}"],
        out=GRAPH.run.submission(START.row),
    shell:
        "{AEPSL} submission --experiment {E.name} --data {START.data:q} --list {params.stage.options[list_name]}"
        " --masks {params.stage.out}/crf --out {params.out}"


rule sweep:
    """The nets and rows of `aepsl sweep`."""
    input: GRAPH.marks(START.targets)


for stage in GRAPH.stages.values():
    job = stage.name + (".{k}-{n}" if stage.images else "")  # a share of its images, k of n

    rule:
        name: stage.name
        input: [ancient(mark) for mark in GRAPH.marks(stage.needs)]
        output: f"done/{job}.json"
        params: job=job
        threads: GRAPH.cores(stage, START)
        resources: gpu=min(1, START.gpus) if stage.has_net else 0
        priority: int(WAITS[stage.name])
        shell: "{AEPSL} job {FOLDER:q} {params.job} --workers {threads}"
