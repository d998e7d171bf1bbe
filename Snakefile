# Runs the graph of stages (python/aepsl/graph). The stages' needs, and the priority of those that others wait for the
# longest, come from it. `python3 -m aepsl run NAME` starts it and decides which jobs to do again; snakemake's comparison
# of file times is not used.
#
# snakemake works in the run's folder, where each job leaves a mark in done/; commands run in the repository.

import os
from shlex import quote

from aepsl.graph import graph

FOLDER = os.environ["AEPSL_START"]
GRAPH = graph.read(FOLDER)
# The threads of a net are a setting: with more, OpenBLAS adds in another order, and the last digits change.
AEPSL = "cd {} && OMP_NUM_THREADS={t} OPENBLAS_NUM_THREADS={t} python3 -m aepsl".format(
    quote(workflow.basedir), t=GRAPH.experiment.threads
)
START, WAITS = GRAPH.start, GRAPH.longest(GRAPH.start.seconds)


wildcard_constraints:
    k=r"\d+",
    n=r"\d+",


rule target:
    """The last command of the run: the report, or an archive. It also runs when all stages are done."""
    input: GRAPH.marks(START.targets)
    localrule: True
    shell: "{AEPSL} {START.last:q}" if START.last else "true"


for stage in GRAPH.stages.values():
    job = stage.name + (".{k}-{n}" if stage.images else "")  # a share of its images, k of n
    cores, gpus = GRAPH.resources(stage)

    rule:
        name: stage.name
        input: [ancient(mark) for mark in GRAPH.marks(stage.needs)]
        output: f"done/{job}.json"
        params: job=job
        threads: cores
        resources: gpu=gpus
        priority: int(WAITS[stage.name])
        shell: "{AEPSL} job {FOLDER:q} {params.job} --workers {threads}"
