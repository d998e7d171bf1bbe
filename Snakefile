# The order of the stages; each is a module of python/aepsl that reads files, writes files and knows no other.
#   snakemake --cores all --config experiment=demo
# config: experiment; data, weights, saliency (paths, where the experiment does not make its own); gpu

import json

from aepsl import experiment as experiments
from aepsl.files import write_if_changed

NAME = config["experiment"]
E = experiments.load(NAME)
RUN = f"runs/{E['name']}"
SYNTHETIC = "synthetic" in E
DATA = config.get("data") or (f"{RUN}/data" if SYNTHETIC else f"data/{E['name']}")
STEPS = range(1, E["mining"]["steps"] + 1)
AE_MASKS = f"{RUN}/masks/ae_step{E['mining']['merge']}"
PSL_PLUS_MASKS = f"{RUN}/relabelled/psl/crf"
# Every segmentation net: its task, the folder of its masks, and what weights its S_hat.
MODELS = {
    **{f"ae_step{t}": ("segmentation", f"{RUN}/masks/ae_step{t}", None) for t in STEPS},
    "psl": ("psl", AE_MASKS, "scores"),
    "psl_labels": ("psl", AE_MASKS, "labels"),
    "psl_none": ("psl", AE_MASKS, "none"),
    "psl++": ("psl", PSL_PLUS_MASKS, "scores"),
}
# Every row of tables 3 and 4: a net, and the policy at test. An experiment's `rows` says which it computes.
ROWS = {
    **{f"ae_step{t}": (f"ae_step{t}", "none") for t in STEPS},
    **{name: (name, "scores") for name in ("psl", "psl_labels", "psl_none", "psl++")},
    "psl+gt": ("psl++", "labels"),
    "psl_no_policy": ("psl", "none"),
    "psl++_no_policy": ("psl++", "none"),
}
SHARDS = [f"{k}-{workflow.cores}" for k in range(1, workflow.cores + 1)]
STAGE = "OPENBLAS_NUM_THREADS={threads} OMP_NUM_THREADS={threads} python3 -m aepsl"
COMMON = f"--experiment {NAME} --data '{DATA}'"
GPU = f" --gpu {config['gpu']}" if "gpu" in config else ""
WEIGHTS = f" --weights '{config['weights']}'" if "weights" in config else ""
# Where nobody gives weights, the net of step 1 is what others have from ImageNet: what segmentation starts from.
PRETRAINED = f"{RUN}/step1/classification/final.caffemodel" if SYNTHETIC else []
SEGMENTATION_WEIGHTS = f" --weights {PRETRAINED}" if SYNTHETIC else WEIGHTS
MAPS = f" --maps '{config['saliency']}'" if "saliency" in config else ""


def settings(name, value):
    """A file that is new only when these settings are: a change of experiment.yaml redoes what depends on it, no more."""
    path = f"{RUN}/settings/{name}.json"
    write_if_changed(path, json.dumps(value, indent=1, sort_keys=True) + "\n")
    return path


LATER = ("mining", "background", "psl", "crf", "rows", "name", "folder")
TRAINING = settings("training", {key: value for key, value in E.items() if key not in LATER})
THRESHOLD = settings("threshold", E["mining"]["threshold"])
BACKGROUND = settings("background", E["background"])
SEGMENTING = settings("segmenting", [E["crf"], E["psl"]["prohibited"]])


def shards(folder):
    """The marks that every shard of a per-image stage leaves beside its folder of results."""
    return [f"{folder}.done/{shard}" for shard in SHARDS]


wildcard_constraints:
    t=r"\d+",
    split="val|test",
    shard=r"\d+-\d+",


rule all:
    """Prints the tables, also when there is nothing else to do."""
    input:
        f"{RUN}/results.json",
    shell:
        f"python3 -m aepsl.report {RUN}"


if SYNTHETIC:

    rule synthetic:
        output:
            f"{DATA}/image_labels.txt",
        benchmark:
            f"{RUN}/seconds/data.tsv"
        params:
            **E["synthetic"],
        shell:
            f"{STAGE}.synthetic --out {DATA} --train {{params.train}} --val {{params.val}} --seed {E['seed']}"


rule check:
    """Decode every input once, before anything long begins."""
    input:
        f"{DATA}/image_labels.txt",
    output:
        touch(f"{RUN}/checked"),
    benchmark:
        f"{RUN}/seconds/check.tsv"
    threads: workflow.cores
    shell:
        f"{STAGE}.dataset {COMMON}"


rule saliency:
    input:
        f"{RUN}/checked",
    output:
        touch(f"{RUN}/saliency.done/{{shard}}"),
    benchmark:
        f"{RUN}/seconds/saliency.{{shard}}.tsv"
    params:
        part=lambda w: w.shard.replace("-", "/"),
    shell:
        f"{STAGE}.saliency --data '{DATA}' --list {E['data']['train']} --out {RUN}/saliency"
        f" --shard {{params.part}}{MAPS}"


rule train_classification:
    """Step t of adversarial erasing: learn to classify what the steps before have left of the images."""
    input:
        f"{RUN}/checked",
        TRAINING,
        lambda w: shards(f"{RUN}/step{int(w.t) - 1}/regions") if int(w.t) > 1 else [],
    output:
        f"{RUN}/step{{t}}/classification/final.caffemodel",
    benchmark:
        f"{RUN}/seconds/classification.step{{t}}.tsv"
    params:
        regions=lambda w: f"--regions {RUN}/step{int(w.t) - 1}/regions" if int(w.t) > 1 else "",
        out=f"{RUN}/step{{t}}/classification",
    threads: max(1, workflow.cores // 2)
    priority: 1  # the longest chain
    shell:
        f"{STAGE}.train {COMMON} --task classification --out {{params.out}} {{params.regions}}{WEIGHTS}{GPU}"


rule mine:
    input:
        THRESHOLD,
        model=f"{RUN}/step{{t}}/classification/final.caffemodel",
    output:
        touch(f"{RUN}/step{{t}}/regions.done/{{shard}}"),
    benchmark:
        f"{RUN}/seconds/mine.step{{t}}.{{shard}}.tsv"
    params:
        before=lambda w: f"--before {RUN}/step{int(w.t) - 1}/regions" if int(w.t) > 1 else "",
        part=lambda w: w.shard.replace("-", "/"),
    priority: 1
    shell:
        f"{STAGE}.mine {COMMON} --model {{input.model}} --out {RUN}/step{{wildcards.t}}/regions"
        f" {{params.before}} --shard {{params.part}}{GPU}"


rule measure_regions:
    input:
        shards(f"{RUN}/step{{t}}/regions"),
    output:
        f"{RUN}/step{{t}}/regions.json",
    shell:
        f"{STAGE}.measure {COMMON} --regions {RUN}/step{{wildcards.t}}/regions --json {{output}}"


rule try_thresholds:
    """How much hangs on the erasing threshold: what step 1 would have mined with others."""
    input:
        f"{RUN}/step1/classification/final.caffemodel",
    output:
        f"{RUN}/step1/thresholds.json",
    shell:
        f"{STAGE}.measure {COMMON} --model {{input}} --json {{output}}{GPU}"


rule masks:
    input:
        BACKGROUND,
        shards(f"{RUN}/saliency"),
        shards(f"{RUN}/step{{t}}/regions"),
    output:
        touch(f"{RUN}/masks/ae_step{{t}}.done"),
    benchmark:
        f"{RUN}/seconds/masks.ae_step{{t}}.tsv"
    shell:
        f"{STAGE}.masks {COMMON} --regions {RUN}/step{{wildcards.t}}/regions --saliency {RUN}/saliency"
        f" --out {RUN}/masks/ae_step{{wildcards.t}}"


def masks_done(folder):
    """The marks that say that a folder of masks is whole."""
    return shards(f"{RUN}/relabelled/psl") if folder == PSL_PLUS_MASKS else f"{folder}.done"


rule train_segmentation:
    """A net of tables 3 and 4: segmentation alone, or with online prohibitive segmentation learning."""
    input:
        TRAINING,
        lambda w: masks_done(MODELS[w.model][1]),
        PRETRAINED,
    output:
        f"{RUN}/segmentation/{{model}}/final.caffemodel",
    benchmark:
        f"{RUN}/seconds/segmentation.{{model}}.tsv"
    params:
        task=lambda w: MODELS[w.model][0],
        masks=lambda w: MODELS[w.model][1],
        psl=lambda w: f" --psl-weights {MODELS[w.model][2]}" if MODELS[w.model][2] else "",
    threads: max(1, workflow.cores // 2)
    shell:
        f"{STAGE}.train {COMMON} --task {{params.task}} --out {RUN}/segmentation/{{wildcards.model}}"
        f" --masks {{params.masks}}{{params.psl}}{SEGMENTATION_WEIGHTS}{GPU}"


rule relabel:
    """PSL++: a PSL net segments the training images, knowing their labels; the results are masks of one more round."""
    input:
        SEGMENTING,
        model=f"{RUN}/segmentation/{{model}}/final.caffemodel",
    output:
        touch(f"{RUN}/relabelled/{{model}}.done/{{shard}}"),
    benchmark:
        f"{RUN}/seconds/relabel.{{model}}.{{shard}}.tsv"
    params:
        part=lambda w: w.shard.replace("-", "/"),
    shell:
        f"{STAGE}.segment {COMMON} --list {E['data']['train']} --model {{input.model}} --policy labels"
        f" --out {RUN}/relabelled/{{wildcards.model}} --shard {{params.part}}{GPU}"


rule segment:
    """A row of the tables: the images of val, or those of the test server."""
    input:
        SEGMENTING,
        model=lambda w: f"{RUN}/segmentation/{ROWS[w.row][0]}/final.caffemodel",
    output:
        touch(f"{RUN}/{{split}}/{{row}}.done/{{shard}}"),
    benchmark:
        f"{RUN}/seconds/segment.{{split}}.{{row}}.{{shard}}.tsv"
    params:
        part=lambda w: w.shard.replace("-", "/"),
        policy=lambda w: ROWS[w.row][1],
        list=lambda w: E["data"].get(w.split, E["data"]["val"]),
    shell:
        f"{STAGE}.segment {COMMON} --list {{params.list}} --model {{input.model}} --policy {{params.policy}}"
        f" --out {RUN}/{{wildcards.split}}/{{wildcards.row}} --shard {{params.part}}{GPU}"


rule submission:
    """The archive for VOC's server; of val where the experiment names no test images."""
    input:
        shards(f"{RUN}/test/psl++"),
    output:
        f"{RUN}/submission.tgz",
    shell:
        f"{STAGE}.submission {COMMON} --list {E['data'].get('test', E['data']['val'])}"
        f" --masks {RUN}/test/psl++/crf --out {{output}}"


rule results:
    input:
        [f"{RUN}/step{t}/{file}" for t in STEPS for file in ("regions.json", "classification/final.caffemodel")],
        [shards(f"{RUN}/val/{row}") for row in E["rows"]],
        f"{RUN}/step1/thresholds.json",
    output:
        f"{RUN}/results.json",
    threads: workflow.cores
    shell:
        f"{STAGE}.results {COMMON} --run {RUN} --rows {' '.join(E['rows'])} --json {{output}}"
