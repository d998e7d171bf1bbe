# The order of the stages; each is a module of python/aepsl that reads files, writes files and knows no other.
#   snakemake --cores all --config experiment=demo
# config: experiment; data, weights, saliency (paths, where the experiment does not make its own);
#   row: what the rule submission packs;
#   gpus=N: use the GPUs 0 ... N-1, each for one job at a time; cores: of one machine, where a cluster's are used

import json
import os
import sys

from aepsl import experiments
from aepsl.data.dataset import MASK_FOLDERS
from aepsl.errors import InputError
from aepsl.files import only_one, write_if_changed


def stop(message):
    """End with one line; sys.exit would bring a traceback."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(1)


NAME = config["experiment"]
try:
    E = experiments.load(NAME)
except InputError as error:
    stop(error)
RUN = f"runs/{E['name']}"
SYNTHETIC = "synthetic" in E
DATA = config.get("data") or (f"{RUN}/data" if SYNTHETIC else f"data/{E['name']}")
STEPS = range(1, E["mining"]["steps"] + 1)
AE_MASKS = f"{RUN}/masks/ae_step{E['mining']['merge']}"
PSL_PLUS_MASKS = f"{RUN}/relabelled/psl/crf"
TRUE_MASKS = next(filter(os.path.isdir, (f"{DATA}/{name}" for name in MASK_FOLDERS)), f"{DATA}/{MASK_FOLDERS[0]}")
# Every segmentation net: its task, the folder of its masks, and what weights its S_hat.
MODELS = {
    **{f"ae_step{t}": ("segmentation", f"{RUN}/masks/ae_step{t}", None) for t in STEPS},
    "psl": ("psl", AE_MASKS, "scores"),
    "psl_labels": ("psl", AE_MASKS, "labels"),
    "psl_none": ("psl", AE_MASKS, "none"),
    "psl++": ("psl", PSL_PLUS_MASKS, "scores"),
    "calibration": ("segmentation", TRUE_MASKS, None),
}
# Every row of tables 3 and 4: a net, and the policy at test. An experiment's `rows` says which it computes.
ROWS = {
    **{f"ae_step{t}": (f"ae_step{t}", "none") for t in STEPS},
    **{name: (name, "scores") for name in ("psl", "psl_labels", "psl_none", "psl++")},
    "psl+gt": ("psl++", "labels"),
    "psl_no_policy": ("psl", "none"),
    "psl++_no_policy": ("psl++", "none"),
    "calibration": ("calibration", "none"),
}
SUBMITTED = config.get("row", "psl++")
for row in [*E["rows"], SUBMITTED]:
    if row not in ROWS:
        stop(f"{row}: no row of tables 3 and 4; `rows` in experiment.yaml and ROW= take {', '.join(ROWS)}")
CORES = int(config.get("cores") or workflow.cores)
GPUS = int(config.get("gpus", 0))
if GPUS and workflow.cores:  # on this machine; a cluster knows its own
    workflow.global_resources.setdefault("gpu", GPUS)
# On the CPU every core is a job's: two trainings, or as many shards as there are cores. A GPU's job feeds it.
TRAINING_THREADS = min(CORES, E["data"]["workers"] + 1) if GPUS else max(1, CORES // 2)
NET_THREADS = max(1, CORES // (GPUS or E["shards"]))
STAGE = "OPENBLAS_NUM_THREADS={threads} OMP_NUM_THREADS={threads} python3 -m aepsl"
COMMON = f"--experiment {NAME} --data '{DATA}'"
GPU = " --gpu " + ",".join(map(str, range(GPUS))) if GPUS else ""
# LargeFOV begins with VGG-16's weights, made to fit; SqueezeNet with its own.
SURGERY = "weights" in config and E["net"] == "largefov"
INITIAL = f"{RUN}/initial.caffemodel" if SURGERY else config.get("weights", [])
WEIGHTS = f" --weights '{INITIAL}'" if INITIAL else ""
START = {"initial": INITIAL, "step1": f"{RUN}/step1/classification/final.caffemodel"}[E["segmentation_start"]]
SEGMENTATION_WEIGHTS = f" --weights '{START}'" if START else ""
MAPS = f" --maps '{config['saliency']}'" if "saliency" in config else ""


def settings(name, value):
    """A file that is new only when these settings are: a change of experiment.yaml redoes what depends on it, no more."""
    path = f"{RUN}/settings/{name}.json"
    write_if_changed(path, json.dumps(value, indent=1, sort_keys=True) + "\n")
    return path


OF_TRAININGS = ("net", "input_scale", "channels", "convs", "fc", "fc6_dilation", "classes", "seed", "training")
OF_THEIR_DATA = ("train", "scale", "crop", "mean")
TRAINING = settings(
    "training",
    [{key: E.get(key) for key in OF_TRAININGS}, {key: E["data"][key] for key in OF_THEIR_DATA}, config.get("weights")],
)
SOURCE = settings("data", DATA)
SALIENCY = settings("saliency", config.get("saliency"))
THRESHOLD = settings("threshold", E["mining"]["threshold"])
BACKGROUND = settings("background", E["background"])
SEGMENTING = settings("segmenting", [E["crf"], E["psl"]["prohibited"]])
MODEL = {model: settings(f"segmentation.{model}", [*what, E["segmentation_start"]]) for model, what in MODELS.items()}


def stages():
    """What aepsl.status and aepsl.plan know of a run: name, kind and folder of each stage, and the images it goes through."""
    yield "saliency", "saliency", "saliency", "train"
    for t in STEPS:
        yield f"classification.step{t}", "classification", f"step{t}/classification", None
        yield f"mine.step{t}", "mine", f"step{t}/regions", "train"
        yield f"masks.ae_step{t}", "masks", f"masks/ae_step{t}", "train"
    needed = {ROWS[row][0] for row in E["rows"]}
    for model in [model for model in MODELS if model in needed]:
        if model == "psl++":
            yield "relabel.psl", "relabel", "relabelled/psl", "train"
        yield f"segmentation.{model}", MODELS[model][0], f"segmentation/{model}", None
    for row in E["rows"]:
        yield f"segment.val.{row}", "segment", f"val/{row}", "val"


settings("stages", [dict(zip(("name", "kind", "folder", "images"), stage)) for stage in stages()])


def shards(folder):
    """The marks that every shard of a per-image stage leaves beside its folder of results."""
    return [f"{folder}.done/{k}-{E['shards']}" for k in range(1, E["shards"] + 1)]


# A lock that ends with its process, in place of snakemake's, which an interrupted run leaves behind (--nolock).
onstart:
    try:
        workflow.only_one = only_one(RUN)  # kept as long as the workflow
        workflow.only_one.__enter__()
    except InputError as error:
        stop(error)


wildcard_constraints:
    t=r"\d+",
    split="val|test",
    shard=r"\d+-\d+",


rule all:
    """Prints the tables, also when there is nothing else to do."""
    input:
        f"{RUN}/results.json",
    shell:
        f"python3 -m aepsl report {RUN}"


if SYNTHETIC:

    rule synthetic:
        output:
            f"{DATA}/image_labels.txt",
        benchmark:
            f"{RUN}/seconds/data.tsv"
        params:
            **E["synthetic"],
        shell:
            f"{STAGE} synthetic --out {DATA} --train {{params.train}} --val {{params.val}} --seed {E['seed']}"


rule check:
    """Decode every input once, before anything long begins."""
    input:
        f"{DATA}/image_labels.txt",
        SOURCE,
    output:
        f"{RUN}/checked",
    benchmark:
        f"{RUN}/seconds/check.tsv"
    threads: CORES
    shell:
        f"{STAGE} check {COMMON} --json {{output}}"


rule saliency:
    input:
        f"{RUN}/checked",
        SALIENCY,
    output:
        touch(f"{RUN}/saliency.done/{{shard}}"),
    benchmark:
        f"{RUN}/seconds/saliency.{{shard}}.tsv"
    params:
        part=lambda w: w.shard.replace("-", "/"),
    shell:
        f"{STAGE} saliency --data '{DATA}' --list {E['data']['train']} --out {RUN}/saliency"
        f" --shard {{params.part}}{MAPS}"


if SURGERY:

    rule surgery:
        input:
            settings("weights", config["weights"]),
        output:
            INITIAL,
        benchmark:
            f"{RUN}/seconds/surgery.tsv"
        shell:
            f"{STAGE} surgery --vgg '{config['weights']}' --out {{output}}"


rule train_classification:
    """Step t of adversarial erasing: learn to classify what the steps before have left of the images."""
    input:
        f"{RUN}/checked",
        TRAINING,
        INITIAL,
        lambda w: shards(f"{RUN}/step{int(w.t) - 1}/regions") if int(w.t) > 1 else [],
    output:
        f"{RUN}/step{{t}}/classification/final.caffemodel",
    benchmark:
        f"{RUN}/seconds/classification.step{{t}}.tsv"
    params:
        regions=lambda w: f"--regions {RUN}/step{int(w.t) - 1}/regions" if int(w.t) > 1 else "",
        out=f"{RUN}/step{{t}}/classification",
    threads: TRAINING_THREADS
    resources:
        gpu=min(1, GPUS),
    priority: 1  # the longest chain
    shell:
        f"{STAGE} train {COMMON} --task classification --out {{params.out}} {{params.regions}}{WEIGHTS}{GPU}"


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
    resources:
        gpu=min(1, GPUS),
    priority: 1
    shell:
        f"{STAGE} mine {COMMON} --model {{input.model}} --out {RUN}/step{{wildcards.t}}/regions"
        f" {{params.before}} --shard {{params.part}}{GPU}"


rule measure_regions:
    input:
        shards(f"{RUN}/step{{t}}/regions"),
    output:
        f"{RUN}/step{{t}}/regions.json",
    shell:
        f"{STAGE} evaluate-regions {COMMON} --regions {RUN}/step{{wildcards.t}}/regions --json {{output}}"


rule try_thresholds:
    """How much hangs on the erasing threshold: what step 1 would have mined with others."""
    input:
        f"{RUN}/step1/classification/final.caffemodel",
    output:
        f"{RUN}/step1/thresholds.json",
    resources:
        gpu=min(1, GPUS),
    shell:
        f"{STAGE} evaluate-regions {COMMON} --model {{input}} --json {{output}}{GPU}"


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
        f"{STAGE} masks {COMMON} --regions {RUN}/step{{wildcards.t}}/regions --saliency {RUN}/saliency"
        f" --out {RUN}/masks/ae_step{{wildcards.t}}"


def masks_done(folder):
    """The marks that say that a folder of masks is whole."""
    marks = {PSL_PLUS_MASKS: shards(f"{RUN}/relabelled/psl"), TRUE_MASKS: f"{RUN}/checked"}
    return marks.get(folder, f"{folder}.done")


rule train_segmentation:
    """A net of tables 3 and 4: segmentation alone, or with online prohibitive segmentation learning."""
    input:
        TRAINING,
        lambda w: MODEL[w.model],
        lambda w: masks_done(MODELS[w.model][1]),
        START,
    output:
        f"{RUN}/segmentation/{{model}}/final.caffemodel",
    benchmark:
        f"{RUN}/seconds/segmentation.{{model}}.tsv"
    params:
        task=lambda w: MODELS[w.model][0],
        masks=lambda w: MODELS[w.model][1],
        psl=lambda w: f" --psl-weights {MODELS[w.model][2]}" if MODELS[w.model][2] else "",
    threads: TRAINING_THREADS
    resources:
        gpu=min(1, GPUS),
    shell:
        f"{STAGE} train {COMMON} --task {{params.task}} --out {RUN}/segmentation/{{wildcards.model}}"
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
    threads: NET_THREADS
    resources:
        gpu=min(1, GPUS),
    shell:
        f"{STAGE} segment {COMMON} --list {E['data']['train']} --model {{input.model}} --policy labels"
        f" --out {RUN}/relabelled/{{wildcards.model}} --shard {{params.part}} --workers {{threads}}{GPU}"


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
    threads: NET_THREADS
    resources:
        gpu=min(1, GPUS),
    shell:
        f"{STAGE} segment {COMMON} --list {{params.list}} --model {{input.model}} --policy {{params.policy}}"
        f" --out {RUN}/{{wildcards.split}}/{{wildcards.row}} --shard {{params.part}}"
        f" --workers {{threads}}{GPU}"


rule calibrate:
    """The same net with the true masks: what it reaches says whether the set-up is sound, before days are spent."""
    input:
        shards(f"{RUN}/val/calibration"),
    shell:
        f"{STAGE} calibrate {COMMON} --run {RUN}"


rule submission:
    """The archive of a row for VOC's server; of val where the experiment names no test images."""
    input:
        shards(f"{RUN}/test/{SUBMITTED}"),
    output:
        f"{RUN}/submission/{SUBMITTED}.tgz",
    shell:
        f"{STAGE} submission {COMMON} --list {E['data'].get('test', E['data']['val'])}"
        f" --masks {RUN}/test/{SUBMITTED}/crf --out {{output}}"


rule results:
    input:
        settings("results", [E["rows"], E["mining"]]),
        [f"{RUN}/step{t}/{file}" for t in STEPS for file in ("regions.json", "classification/final.caffemodel")],
        [shards(f"{RUN}/val/{row}") for row in E["rows"]],
        f"{RUN}/step1/thresholds.json",
    output:
        f"{RUN}/results.json",
    threads: CORES
    shell:
        f"{STAGE} results {COMMON} --run {RUN} --rows {' '.join(E['rows'])} --json {{output}}"
