"""Runs an experiment: all of it, calibrate, or submission; what is there and still valid stays.

`make demo`, `make rehearsal` and `make reproduce` are this command. What it is not told it takes from the environment:
DATA, WEIGHTS, SALIENCY, ROW, GPU, CORES, PROFILE, make's settings. Options that it does not know are snakemake's.
"""

import glob
import json
import os
import re
import shutil
import sys
import tempfile

from aepsl import cli, digests, experiments, healing, paper
from aepsl.caffe_nets import build, caffemodel, surgery
from aepsl.data import check, synthetic
from aepsl.data.dataset import Dataset
from aepsl.drfi import model as drfi_model
from aepsl.errors import InputError
from aepsl.files import hold
from aepsl.run_folder import ROOT, RunFolder
from aepsl.stages.saliency import contents as maps_contents
from aepsl.tools import new_experiment, plan

VOC12_DATA = os.path.join("data", paper.PAPERS_EXPERIMENT)  # what `make data` makes
TARGETS = ("all", "calibrate", "submission", "shared")
CLUSTER_CORES = 8  # of one job at most, where CORES= does not say
SNAPSHOTS = 4  # that lie beside a training's weights, in their size: two, each with the solver's state
CLEARLY = 4  # times the free disk: an estimate, made of photos, is not further off
HANDLER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "progress.py")
OPTIONS = ["--log-handler-script", HANDLER, "--nolock", "--rerun-incomplete"]
OPTIONS += ["--rerun-triggers", "params", "input", "mtime"]


def main(argv=None):
    parser = cli.parser(__doc__, places=places)
    parser.add_argument("name", help="the experiment: a folder of prototxt/, or a new name for the data of --data")
    parser.add_argument("target", nargs="?", choices=TARGETS, default="all")
    for option, what in (
        ("data", "a folder in VOC layout"),
        ("weights", "a caffemodel with ImageNet weights"),
        ("saliency", "a folder of saliency maps; without it they are computed"),
        ("row", "what submission packs: a row of tables 3 and 4 (psl++)"),
        ("gpu", "numbers of GPUs, for example 0 or 0,1; the CPU without it"),
        ("cores", "how many cores to use (all)"),
        ("profile", "a profile of snakemake, for clusters"),
    ):
        parser.add_argument("--" + option, default=os.environ.get(option.upper()) or None, help=what)
    parser.add_argument("--missing", action="store_true", help="print what must be downloaded first, and end")
    asked, options = parser.parse_known_args(argv)
    if asked.missing:
        print(*missing(asked), sep="\n")
    else:
        run(asked, options)


def places(asked):
    """What a run writes, and the data that it reads: not those that the demo draws there itself (aepsl.places)."""
    path = os.path.join(ROOT, asked.name)
    is_own = asked.data and os.path.realpath(asked.data) == os.path.realpath(os.path.join(path, "data"))
    return dict(written=[path, os.path.join(experiments.FOLDER, asked.name)], data=None if is_own else asked.data)


def run(asked, options):
    """Bring what can be made here, then let snakemake take this process' place.

    asked: what `main` parsed; options: further ones of snakemake. With -n among them no file is written. Raises
    InputError for whatever is wrong with what is asked.
    """
    dry = any(option.startswith("-n") or option in ("--dry-run", "--dryrun") for option in options)
    gpus, cores = cli.count(asked.gpu or ""), cores_of(asked.cores)
    if not dry:
        new_experiment.run(asked.name, asked.data)
    experiment = new_experiment.settings(asked.name, asked.data)
    folder = RunFolder(experiment)
    row = folder.checked_row(asked.row or "psl++")
    data = data_of(experiment, asked.data)
    inputs = dict(weights=weights_of(experiment, asked.weights), saliency=saliency_of(data, asked.saliency))
    if not dry:
        if not inputs["saliency"] and experiment["background"]["detector"] == "drfi":
            drfi_model.load(drfi_model.MODEL)
        build.check(experiment)
        os.makedirs(folder.path, exist_ok=True)
        hold(folder.path)  # as long as this process lives, and snakemake after it
    packed = [row] * (asked.target == "submission")
    again = healing.heal(folder.path, dry, lambda stage: folder.has_use_for(stage, packed))
    if not dry and "synthetic" in experiment:
        synthetic.bring(data, seed=experiment["seed"], **experiment["synthetic"])
        healing.vouch_for_data(folder.path, data)
    contents = contents_of(experiment, data, **inputs)
    if not dry:
        digests.remember()
        check.run(experiment, data, folder.mark("check"))
        _check_disk(experiment, folder)
    cores = cores or (CLUSTER_CORES if asked.profile else len(os.sched_getaffinity(0)))
    told = dict(inputs, data=data, experiment=experiment, contents=contents, row=row, gpus=gpus, cores=cores)
    if sys.stderr.isatty() and not dry and not asked.profile:
        told["expected"] = plan.expected(experiment, gpus, cores) if asked.target == "all" else {}
    os.environ["AEPSL_RUN"] = json.dumps(told)
    # Snakemake makes the folder that it works in, also when it only says what it would do.
    where = ["--directory", folder.path if os.path.isdir(folder.path) else tempfile.mkdtemp()]
    where += ["--snakefile", os.path.abspath("Snakefile")]
    if asked.profile:
        where += ["--profile", os.path.abspath(asked.profile)]
    else:
        where += ["--cores", str(cores), "--resources", f"gpu={gpus}"]
    if not glob.glob(os.path.join(glob.escape(folder.path), ".snakemake", "metadata", "*")):
        where.append("--forceall")  # nothing says what the marks were made of: each stage looks for itself
    elif again:
        where += ["--forcerun", *again]  # a mark that is missing is no reason for snakemake to make it
    os.execvp("snakemake", ["snakemake", asked.target, *OPTIONS, *where, *options])


def _check_disk(experiment, folder):
    """Say that the disk may be too small for what is left to make; InputError where it clearly is."""
    left = [stage for stage in folder.stages() if not folder.is_done(stage.name)]
    if not left:
        return
    images = plan.images_of(experiment, folder)
    sizes = [plan.disk_of(experiment, stage, images) for stage in left]
    needed, free = sum(sizes) + SNAPSHOTS * max(sizes), shutil.disk_usage(folder.path).free / 1e9
    line = f"{folder.path}: what is left to make takes about {needed:.2f} GB, and {free:.2f} GB of the disk are free"
    if needed > CLEARLY * free:
        raise InputError(f"{line}; make room first")
    if needed > free:
        print(f"warning: {line}; it ends early where that is not enough", file=sys.stderr, flush=True)


def cores_of(text):
    """The number that CORES= or --cores says; None for all."""
    if text in (None, "all"):
        return None
    if not re.fullmatch(r"[1-9]\d*", text):
        raise InputError(f"CORES={text}: give a number from 1 on, or all")
    return int(text)


def data_of(experiment, data):
    """The root of the data set; data: what the user named, or None.

    A folder VOC2012 as it was unpacked is only read: VOC12_DATA links to it and has what it lacks. An experiment that
    draws its images says so where another folder is named.
    """
    name = experiment["name"]
    if "synthetic" in experiment:
        own = RunFolder(experiment).data
        if data and os.path.abspath(data) != os.path.abspath(own):
            print(f"{name} draws its own data, and does not look at {data}", file=sys.stderr)
        return own
    if name == paper.PAPERS_EXPERIMENT and not os.path.exists(os.path.join(data or "", "image_labels.txt")):
        data = None
    data = data or os.path.join("data", name)
    if not os.path.isdir(data):
        raise InputError(f"Which data? EXPERIMENT={name} DATA=a folder in VOC layout")
    return os.path.abspath(data)


def weights_of(experiment, weights):
    """The caffemodel to begin with: what the user named, or the experiment's in weights/; None if it has none."""
    own = experiment.get("initial_weights")
    weights = weights or (own and os.path.join("weights", own))
    return os.path.abspath(caffemodel.existing(weights)) if weights else None


def saliency_of(data, maps):
    """The folder of the user's saliency maps, or what lies with the data set; None where they are computed."""
    beside = os.path.join(data, "saliency")
    maps = maps or (beside if os.path.isdir(beside) else None)
    return os.path.abspath(maps) if maps else None


def contents_of(experiment, data, weights, saliency):
    """{input: SHA-256 of its contents, or None where it is not there yet}: what the Snakefile's `made_of` names."""
    contents = {f"nets.{task}": digests.of_value(build.deploy_net(experiment, task)) for task in experiments.TASKS}
    contents.update(weights=digests.of_file(weights), drfi=digests.of_file(drfi_model.MODEL))
    contents.update(saliency=None, fc6_fc7=None)
    parts = dict(train=("images", "labels", "masks"), val=("images", "labels", "masks"), test=("images",))
    contents.update({f"{key}.{part}": None for key in parts for part in parts[key]})
    if not os.path.isdir(data):
        return contents  # a dry run before the data are drawn
    dataset = Dataset(data, experiment["classes"])
    for key, what in parts.items():
        name = experiment["data"].get(key)
        if name and (key != "test" or dataset.has_list(name)):
            found = dataset.contents(dataset.ids(name), *what)
            contents.update({f"{key}.{part}": value for part, value in found.items()})
    if weights and experiment["net"] == "largefov":
        contents["fc6_fc7"] = surgery.depends_on(caffemodel.caffemodel_layers(weights), experiment, data)
    if saliency:
        contents["saliency"] = maps_contents(saliency, dataset.ids(experiment["data"]["train"]))
    return contents


def missing(asked):
    """What a run needs and scripts/ can download: 'data', and names of caffemodels in scripts/sources.yaml."""
    experiment = new_experiment.settings(asked.name, asked.data)
    needs = []
    # A folder VOC2012 as it was unpacked is linked to anew: it may be another than the last time.
    has_data = os.path.exists(os.path.join(asked.data or VOC12_DATA, "image_labels.txt"))
    if asked.name == paper.PAPERS_EXPERIMENT and not has_data:
        needs.append("data")
    own = experiment.get("initial_weights")
    if own and not asked.weights and not os.path.exists(os.path.join("weights", own)):
        needs.append(own)
    return needs
