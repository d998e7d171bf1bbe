# Section 3.1: object regions by adversarial erasing, and the masks S that they make with background cues.


rule saliency:
    """Background cues (section 3.1)."""
    output:
        "done/saliency.{k}-{n}.json",
    params:
        made_of=made_of(*SALIENCY),
    shell:
        "{STAGE} saliency --data {ASKED[data]:q} --list {E[data][train]} {MAPS} --out {RUN.saliency}"
        " --shard {wildcards.k}/{wildcards.n} --done {RUN.path}/{output}"


rule surgery:
    output:
        "done/surgery.json",
    params:
        made_of=made_of("surgery", "weights fc6_fc7" if CONTENTS["fc6_fc7"] else "weights"),
    shell:
        "{STAGE} surgery {COMMON} --vgg {ASKED[weights]:q} --out {INITIAL} --done {RUN.path}/{output}"


rule train_classification:
    """Step t of adversarial erasing: learn to classify what the steps before have left of the images."""
    input:
        INITIAL_MARK,
        lambda w: shards(f"mine.step{int(w.t) - 1}") if int(w.t) > 1 else [],
    output:
        "done/classification.step{t}.json",
    params:
        made_of=made_of("classification", "nets.classification train.images train.labels weights"),
        regions=lambda w: option("--regions", RUN.regions(int(w.t) - 1) if int(w.t) > 1 else ""),
        out=lambda w: RUN.classification(w.t),
    threads: TRAINING_CORES
    resources:
        gpu=min(1, GPUS),
    priority: 1  # the longest chain
    shell:
        "{STAGE} train {COMMON} --task classification {WEIGHTS} {params.regions} --out {params.out} {GPU}"
        " --done {RUN.path}/{output}"


rule mine:
    """What the net of step t looks at joins the regions that are erased."""
    input:
        "done/classification.step{t}.json",
    output:
        "done/mine.step{t}.{k}-{n}.json",
    params:
        made_of=made_of("mine", "nets.classification train.images train.labels"),
        model=lambda w: RUN.model(RUN.classification(w.t)),
        before=lambda w: option("--before", RUN.regions(int(w.t) - 1) if int(w.t) > 1 else ""),
        out=lambda w: RUN.regions(w.t),
    resources:
        gpu=min(1, GPUS),
    priority: 1
    shell:
        "{STAGE} mine {COMMON} --model {params.model} {params.before} --out {params.out}"
        " --shard {wildcards.k}/{wildcards.n} {GPU} --done {RUN.path}/{output}"


rule evaluate_regions:
    input:
        lambda w: shards(f"mine.step{w.t}"),
    output:
        "done/shares.step{t}.json",
    params:
        made_of=made_of("shares", "train.labels train.masks"),
        regions=lambda w: RUN.regions(w.t),
        out=lambda w: RUN.shares(w.t),
    shell:
        "{STAGE} evaluate-regions {COMMON} --regions {params.regions} --out {params.out} --done {RUN.path}/{output}"


rule try_thresholds:
    """How much hangs on the erasing threshold: what step 1 would have mined with others."""
    input:
        "done/classification.step1.json",
    output:
        "done/thresholds.json",
    params:
        made_of=made_of("thresholds", "nets.classification train.images train.labels train.masks"),
        model=RUN.model(RUN.classification(1)),
    resources:
        gpu=min(1, GPUS),
    shell:
        "{STAGE} evaluate-regions {COMMON} --model {params.model} --out {RUN.thresholds} {GPU}"
        " --done {RUN.path}/{output}"


rule masks:
    """S of the regions of steps 1 to t, and background."""
    input:
        shards("saliency"),
        lambda w: shards(f"mine.step{w.t}"),
    output:
        "done/masks.ae_step{t}.json",
    params:
        made_of=made_of("masks", "train.labels"),
        regions=lambda w: RUN.regions(w.t),
        out=lambda w: RUN.masks(f"ae_step{w.t}"),
    shell:
        "{STAGE} masks {COMMON} --regions {params.regions} --saliency {RUN.saliency} --out {params.out}"
        " --done {RUN.path}/{output}"


rule evaluate_background:
    """How good the background cue is, and the masks of the tables' nets."""
    input:
        shards("saliency"),
        f"done/masks.ae_step{E['mining']['merge']}.json",
    output:
        "done/background.json",
    params:
        made_of=made_of("background", "train.labels train.masks"),
        masks=RUN.masks(f"ae_step{E['mining']['merge']}"),
    shell:
        "{STAGE} evaluate-background {COMMON} --saliency {RUN.saliency} --masks {params.masks} --out {RUN.background}"
        " --done {RUN.path}/{output}"
