# Section 3.2: the segmentation nets of tables 3 and 4, and the images that they segment.


rule train_segmentation:
    """A net of tables 3 and 4 (aepsl.paper.recipes): segmentation alone, or with prohibitive segmentation learning."""
    input:
        lambda w: start_marks(w.net),
        lambda w: masks_marks(w.net),
    output:
        "done/segmentation.{net}.json",
    params:
        made_of=lambda w: made_of(
            RUN.nets[w.net].task,
            f"nets.{RUN.nets[w.net].task} train.images train.labels"
            + " weights" * (RUN.start_of(w.net) is None)
            + " train.masks" * (RUN.nets[w.net].masks == "truth"),
        ),
        task=lambda w: RUN.nets[w.net].task,
        masks=lambda w: RUN.masks_of(w.net),
        psl=lambda w: option("--psl-weights", RUN.nets[w.net].weights),
        start=lambda w: start_weights(w.net),
        out=lambda w: RUN.segmentation(w.net),
    threads: TRAINING_CORES
    resources:
        gpu=min(1, GPUS),
    shell:
        "{STAGE} train {COMMON} --task {params.task} --masks {params.masks} {params.psl} {WEIGHTS} {params.start}"
        " --out {params.out} {GPU} --done {RUN.path}/{output}"


rule relabel:
    """PSL++: a PSL net segments the training images, knowing their labels; the results are masks of one more round."""
    input:
        "done/segmentation.{net}.json",
    output:
        "done/relabel.{net}.{k}-{n}.json",
    params:
        made_of=made_of("segment", "nets.psl train.images train.labels"),
        model=lambda w: RUN.model(RUN.segmentation(w.net)),
        out=lambda w: RUN.relabelled(w.net),
    threads: CRF_CORES
    resources:
        gpu=min(1, GPUS),
    shell:
        "{STAGE} segment {COMMON} --list {E[data][train]} --model {params.model} --policy labels --out {params.out}"
        " --shard {wildcards.k}/{wildcards.n} --workers {threads} {GPU} --done {RUN.path}/{output}"


rule segment:
    """A row of the tables: the images of val, or those of the test server."""
    input:
        lambda w: f"done/segmentation.{RUN.rows[w.row].net}.json",
    output:
        "done/segment.{split}.{row}.{k}-{n}.json",
    params:
        made_of=lambda w: made_of(
            "segment",
            f"nets.{RUN.nets[RUN.rows[w.row].net].task} {w.split}.images"
            + f" {w.split}.labels" * (RUN.rows[w.row].policy == "labels"),
        ),
        list=lambda w: E["data"].get(w.split, E["data"]["val"]),
        model=lambda w: RUN.model(RUN.segmentation(RUN.rows[w.row].net)),
        policy=lambda w: RUN.rows[w.row].policy,
        out=lambda w: RUN.segmented(w.split, w.row),
    threads: CRF_CORES
    resources:
        gpu=min(1, GPUS),
    shell:
        "{STAGE} segment {COMMON} --list {params.list} --model {params.model} --policy {params.policy}"
        " --out {params.out} --shard {wildcards.k}/{wildcards.n} --workers {threads} {GPU} --done {RUN.path}/{output}"
