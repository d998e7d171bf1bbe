# The order of the stages: which marks a stage waits for, and the command that makes what it has to make.
# `python3 -m aepsl run NAME` starts it. AEPSL_RUN says what that was asked for, and what the inputs hold.
#
# A stage leaves a mark in done/. It is done again when `made_of` changes, its settings and the contents of its inputs
# (aepsl.store.made), or when a mark that it waits for holds something else. Marks lie in the run's folder, where
# snakemake works; commands run in the repository.

include: "rules/common.smk"


rule all:
    """Prints the tables and writes the report, also when there is nothing else to do."""
    input:
        "done/results.json",
    shell:
        "{STAGE} report {E[name]} --data {ASKED[data]:q}"


include: "rules/erasing.smk"
include: "rules/segmentation.smk"


rule results:
    input:
        [f"done/{stage}.step{t}.json" for t in RUN.steps for stage in ("classification", "shares")],
        [shards(f"segment.val.{row}") for row in E["rows"]],
        [f"done/segmentation.{net}.json" for net in RUN.nets_with_psl()],
        "done/thresholds.json",
        "done/background.json",
    output:
        "done/results.json",
    params:
        made_of=made_of("results", "val.masks"),
    shell:
        "{STAGE} results {COMMON} --done {RUN.path}/{output}"


rule shared:
    """What `aepsl sweep` trains nets from."""
    input:
        INITIAL_MARK,
        [f"done/masks.ae_step{t}.json" for t in range(1, E["mining"]["merge"] + 1)],


rule calibrate:
    """The same net with the true masks: what it reaches says whether the set-up is sound, before days are spent."""
    input:
        shards("segment.val.calibration"),
    shell:
        "{STAGE} calibrate {COMMON}"


rule submission:
    """The archive of a row for VOC's server; of val where the experiment names no test images."""
    input:
        shards(f"segment.test.{ASKED['row']}"),
    params:
        list=E["data"].get("test", E["data"]["val"]),
        masks=RUN.segmented("test", ASKED["row"]),
        out=RUN.submission(ASKED["row"]),
    shell:
        "{STAGE} submission {COMMON} --list {params.list} --masks {params.masks}/crf --out {params.out}"
