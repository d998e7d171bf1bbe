"""README.md, docs/ and other pages against the repository: the commands, paths, names and tests that they give."""

import ast
import glob
import importlib
import os
import re
import shlex
import subprocess
from typing import NamedTuple

import pytest
import yaml

from aepsl.__main__ import MODULES
from aepsl.graph.graph import Graph
from aepsl.paper import published
from aepsl.settings import experiments
from aepsl.tools import stages
from conftest import copy_of_repository

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(glob.glob("docs/*.md"))]
ALL = [*PAGES, "FIDELITY.md", "SECURITY.md", "CHANGELOG.md", "weights/README.md"]
SCREENS, LINES = 2, 60  # of README.md
ENDINGS = ".pickle .pkl .mat .npy .py .md .toml .yaml .sh .json .png .txt .caffemodel .tar .tgz .prototxt .cpp .hpp"
ENDINGS = tuple(ENDINGS.split())
# What they name that no repository has, as runs and users make it; downloads are in SOURCES.
MADE = """
aepsl-cuda.tar classes.txt data/voc12 data/voc12/ done/ made/ image_labels.txt made_of.json results.json
.cuda-cache/ ID_blob_0.mat ID_seg.png ID.npy eval.py results.pkl results.tgz input_list.txt localization_cues.pickle
runs/ crf/ plain/ runs/.digests.json runs/baselines/NAME runs/baselines/NAME/index.html runs/bench.json runs/NAME
runs/NAME/queue runs/NAME/slurm/STAGE-ID.log runs/demo/report/index.html runs/gpu/voc12
runs/gpu/voc12/summary.json runs/NAME/made runs/NAME/report/index.html report/ runs/look stepT/regions/heat/
relabelled/psl/s_hat/ runs/voc12/submission/psl++.tgz
runs/NAME/sweep.json runs/segmented/holiday.png runs/segmented/holiday_overlay.png
train.json runs/NAME/queue runs/NAME/slurm/STAGE-ID.log
""".split()
SOURCES = "scripts/sources.yaml"
OTHERS = ["libcaffe.so", "caffe.NCCL", "cams.cuda", "torch.from_numpy"]  # names of Caffe's and PyTorch's


class Here(NamedTuple):
    """A command that is run right here: its exit code, some of what it prints, and what is typed in place of it."""

    code: int
    prints: str
    instead: str = ""


NO_RUN = "error: runs/{}: is no run that has begun"
NO_DATA = Here(1, "error: runs/demo/data: no such folder")
ENVIRONMENT = "DATA WEIGHTS SALIENCY EXPERIMENT GPU ROW PROFILE CORES ARGS MAKEFLAGS MAKELEVEL MFLAGS SOURCES".split()
RUN_HERE = {
    "make help": Here(0, "make demo "),
    "aepsl": Here(0, "  evaluate-regions  "),
    "aepsl --version": Here(0, "aepsl "),
    "aepsl stages voc12": Here(0, "flowchart LR"),
    "aepsl build NAME": Here(0, "", "aepsl build photos"),
    "aepsl infer": Here(0, "--overlay", "aepsl infer --help"),
    "aepsl compare": Here(0, "--pred", "aepsl compare --help"),
    "aepsl segment --deploy": Here(0, "--scores", "aepsl segment --help"),
    "aepsl export": Here(0, "irn", "aepsl export --help"),
    "aepsl sweep": Here(0, "--seeds", "aepsl sweep --help"),
    "aepsl confidence": Here(0, "--model", "aepsl confidence --help"),
    "aepsl evaluate-background": Here(0, "--saliency", "aepsl evaluate-background --help"),
    "python3 -m aepsl": Here(0, "  evaluate-regions  "),
    "python3 -m aepsl run rehearsal": Here(1, "error: Which data? EXPERIMENT=rehearsal DATA="),
    "make shell": Here(0, ""),
    "WRITABLE=weights make shell": Here(0, "", "make shell"),
    "make shell DATA=/their/folder": Here(0, ""),
    "make shell DATA=/path": Here(0, ""),
    "make shell DATA=...": Here(0, ""),
    "make nets": Here(0, ""),
    "make lint": Here(0, "All checks passed!"),
    "make status": Here(2, NO_RUN.format("voc12")),
    "make status EXPERIMENT=NAME": Here(2, NO_RUN.format("demo"), "make status EXPERIMENT=demo"),
    "make report": Here(2, NO_RUN.format("voc12")),
    "make report EXPERIMENT=NAME": Here(2, NO_RUN.format("demo"), "make report EXPERIMENT=demo"),
    "make report FORMAT=md": Here(2, NO_RUN.format("voc12")),
    "make reproduce-dry GPU=0": Here(0, "Computed, not measured: "),
    "make reproduce-dry GPU=0 CORES=16": Here(0, "and 16 cores"),
    "make demo ARGS=-n": Here(0, "  classification.step1"),
    "make calibrate": Here(0, "  segmentation.calibration", "make calibrate EXPERIMENT=demo ARGS=-n"),
    "make calibrate EXPERIMENT=demo": Here(0, "  segmentation.calibration", "make calibrate EXPERIMENT=demo ARGS=-n"),
    "python3 -m aepsl export --run demo --to irn --out runs/irn": NO_DATA,
    "python3 -m aepsl export --run demo --to mmseg --out runs/mmseg": NO_DATA,
    "python3 -m aepsl export --run demo --to sec --out runs/sec": NO_DATA,
    "python3 -m aepsl export --run demo --to png --out runs/png": NO_DATA,
    "make submission": Here(0, "  segment.test.psl++.1-2", "make submission EXPERIMENT=demo ARGS=-n"),
    "make submission EXPERIMENT=demo": Here(0, "  segment.test.psl++.1-2", "make submission EXPERIMENT=demo ARGS=-n"),
    "make submission ROW=ae_step3": Here(
        0, "  segment.test.ae_step3.1-2", "make submission ROW=ae_step3 EXPERIMENT=demo ARGS=-n"
    ),
}

RUN_BY = {  # command: the test that runs it, or what it starts
    "make baseline NAME=fcn8s MODEL=/their/fcn8s.caffemodel DEPLOY=/their/deploy.prototxt DATA=data/voc12": (
        "test_protocols.test_a_net_is_run_as_its_authors_ran_it"
    ),
    "make baseline NAME=deeplab_largefov MODEL=/their/folder DATA=data/voc12 ARGS='--set pad=505 crf.iterations=5'": (
        "test_baselines.test_order_shards_and_interruptions_change_no_byte"
    ),
    "make baselines DATA=data/voc12": "test_baselines.test_all_that_were_run_are_in_one_table",
    "make baselines": "test_baselines.test_all_that_were_run_are_in_one_table",
    "make baseline": "test_names.test_make_hands_a_setting_on_as_it_was_typed",
    "aepsl baselines --profiles": "test_baselines.test_the_docs_have_the_profiles",
    "aepsl compare --baseline NAME": "test_compare.test_predictions_are_compared_without_a_run",
    "python3 -m aepsl compare --experiment demo --pred theirs --pred others": (
        "test_compare.test_predictions_are_compared_without_a_run"
    ),
    "python3 -m aepsl compare --run runs/demo:psl++ --pred theirs --json runs/compare.json --html runs/compare.html": (
        "test_compare.test_command"
    ),
    "python3 -m aepsl segment --experiment demo --data runs/demo/data --list val --deploy runs/old/deploy.prototxt"
    " --model runs/old/old.caffemodel --scores fc8 --out runs/old/val": "test_legacy.test_commands",
    "python3 -m aepsl compare --run runs/demo:psl++ --pred runs/old/val/crf": "test_legacy.test_commands",
    "aepsl picture demo --out docs/demo.png": "test_picture.test_what_is_erased_what_is_learnt_and_what_comes_of_it",
    "python3 -m aepsl infer holiday.jpg --experiment rehearsal"
    " --model runs/rehearsal/segmentation/psl_none/final.caffemodel --out runs/segmented --overlay": (
        "test_psl.test_pictures_become_masks_and_overlays"
    ),
    "aepsl drfi train --images MSRA-B --masks MSRA-B --list train.txt --test test.txt --out weights/drfi.npz": (
        "test_drfi.test_from_photos_to_a_model_and_its_figures"
    ),
    "aepsl drfi evaluate --images ecssd/images --masks ecssd/masks --list ecssd/test.txt --maps ecssd/drfi": (
        "test_drfi.test_from_photos_to_a_model_and_its_figures"
    ),
    "aepsl saliency --data runs/demo/data --list train_aug --out runs/centre --detector centre": (
        "test_extending.test_from_the_readme_to_a_detector_which_is_one_file"
    ),
    "make reproduce EXPERIMENT=centred": "test_extending.test_from_the_readme_to_a_detector_which_is_one_file",
    "python3 to_voc.py pictures runs/flowers_data": "test_extending.test_a_data_set_needs_no_code",
    "aepsl new-experiment NAME --data /path": "test_extending.test_a_data_set_needs_no_code",
    "aepsl check --experiment NAME --data /path": "test_extending.test_a_data_set_needs_no_code",
    "python3 -m aepsl surgery": "test_reproduce.test_from_nothing_to_the_tables",
    "python3 -m aepsl run NAME [all|calibrate|submission]": (
        "test_identity.test_a_finished_run_has_nothing_to_do_and_prints_its_tables"
    ),
    "aepsl confidence --experiment rehearsal --data /path/to/a/folder --list train_aug"
    " --model runs/rehearsal/step1/classification/final.caffemodel": "test_confidence.test_v_is_that_of_the_net",
    "caffe train -solver runs/demo/segmentation/psl/solver.prototxt"
    " -weights runs/demo/segmentation/ae_step3/final.caffemodel": (
        "test_train.test_stock_caffe_repeats_the_first_iteration"
    ),
    "scripts/get_weights.sh": "test_voc.test_from_download_to_data_set",
    "scripts/get_voc_test.sh": "test_voc.test_from_download_to_data_set",
    "scripts/get_saliency.sh": "test_voc.test_without_saliency_maps_the_script_says_what_happens_then",
    "scripts/reproduce": "test_reproduce.test_from_nothing_to_the_tables",
    "make data": "test_reproduce.test_from_nothing_to_the_tables",
    "SOURCES=my.yaml make data": "test_reproduce.test_from_nothing_to_the_tables",
    "make data DATA=/path/to/VOCdevkit/VOC2012": (
        "test_reproduce.test_voc_as_it_was_unpacked_is_completed_and_only_read"
    ),
    "make reproduce": "test_reproduce.test_from_nothing_to_the_tables",
    "make reproduce ARGS=-n": "test_identity.test_asking_changes_no_file",
    "make reproduce EXPERIMENT=NAME DATA=/path": (
        "test_reproduce.test_a_name_and_a_data_set_are_all_that_another_experiment_needs"
    ),
    "make reproduce EXPERIMENT=NAME DATA=/path [WEIGHTS=...] [SALIENCY=...] [GPU=0]": (
        "test_reproduce.test_a_name_and_a_data_set_are_all_that_another_experiment_needs"
    ),
    "make reproduce EXPERIMENT=flowers DATA=runs/flowers_data": (
        "test_reproduce.test_a_name_and_a_data_set_are_all_that_another_experiment_needs"
    ),
    "make reproduce GPU=0 PROFILE=profiles/slurm CORES=8": (
        "test_slurm.test_slurm_runs_the_jobs_and_tells_of_those_that_fail"
    ),
    "make reproduce-dry EXPERIMENT=NAME DATA=/path": "test_status.test_the_plan_of_an_own_data_set_counts_its_images",
    "make reproduce-dry": "test_status.test_the_plan_is_work_over_speed_and_learns_from_the_runs_own_trainings",
    "python3 -m aepsl gpu-session --experiment demo": "test_gpu_session.test_a_session_on_the_demos_nets",
    "make demo GPU=fake": "test_docker.test_fake_gpus_are_not_asked_of_the_engine",
    "make reproduce GPU=fake,fake": "test_docker.test_fake_gpus_are_not_asked_of_the_engine",
    "make check-gpu GPU=0": "test_cuda.test_check_gpu_without_a_gpu_says_what_to_do",
    "make rootfs TARGET=cuda SLICES=/a/new/folder": (
        "test_docker.test_slices_are_the_export_compressed_with_their_checksums"
    ),
    "make rootfs TARGET=cuda": "test_docker.test_rootfs_keeps_the_images_environment",
    "BLAS_KERNEL=SkylakeX make demo": (
        "test_docker.test_openblas_computes_the_same_everywhere_unless_a_kernel_is_asked_for"
    ),
}

NOT_RUN = {  # why: commands; CONTRIBUTING.md lists the same
    "They need a GPU": [
        "make test GPU=0",
        "make reproduce GPU=0",
        "make reproduce GPU=0,1",
        "make reproduce GPU=0 ROW=psl++",
        "make calibrate GPU=0",
        "make bench GPU=0",
        "scripts/gpu_session /the/slices --minutes 15",
        "python3 -m aepsl gpu-session",
        "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
    ],
    "They need photos and an hour": [
        "make rehearsal",
        "make rehearsal DATA=... WEIGHTS=...",
        "make rehearsal DATA=/path/to/a/folder WEIGHTS=/path/to/squeezenet_v1.0.caffemodel",
        "make reproduce EXPERIMENT=photos DATA=/path/to/a/folder WEIGHTS=/path/to/vgg16_conv.caffemodel",
    ],
    "They need a cluster, or root": [
        "mkdir aepsl-cuda && tar xf aepsl-cuda.tar -C aepsl-cuda --exclude='dev/*'",
        'mkdir -p "aepsl-cpu$PWD"',
        "make demo PROFILE=profiles/slurm",
        "chroot aepsl-cuda sh -c 'cd /this/repository && make test'",
    ],
    "They take minutes": [
        "make demo",
        "make bench",
        "make bench ARGS=training",
        "make bench ARGS=--run=demo",
    ],
    "It needs the demo's run and Chromium": ["make test-report"],
    "They take an hour": [
        "make image-cuda",
        "make test-gpu TARGET=cuda-on-fake",
        "python3 -m aepsl sweep rehearsal --rows ae_step3,psl --seeds 1,2 --set psl_start=ae_step3 psl.v=softmax"
        " --set psl_start=ae_step3+step1 psl.v=softmax",
        "python3 -m aepsl sweep rehearsal --rows ae_step3 --seeds 1,2,3"
        " --set training.segmentation.epochs=16 training.segmentation.lr_step_epochs=12",
        "python3 -m aepsl sweep rehearsal --rows psl --seeds 1,2"
        " --set training.psl.epochs=16 training.psl.lr_step_epochs=12",
        "python3 -m aepsl sweep rehearsal --rows ae_step3 --seeds 1,2"
        " --set training.segmentation.epochs=24 training.segmentation.lr_step_epochs=18",
        "python3 -m aepsl sweep rehearsal --rows ae_step3,psl --seeds 1,2,3"
        " --set training.psl.lr=1.0e-12 training.psl.epochs=1",
        "python3 -m aepsl sweep rehearsal --rows ae_step3,psl --seeds 1,2,3 --set psl.prohibited=0"
        " --set psl.prohibited=0.05 --set psl.prohibited=0.3",
        "python3 -m aepsl sweep photos --rows ae_step3,psl,psl_no_policy --seeds 1"
        " --set training.psl.lr=1.0e-12 training.psl.epochs=1",
        "python3 -m aepsl sweep demo --rows ae_step3,psl --seeds 1,2,3,4,5 --set psl_start=step1"
        " --set segmentation_start=initial psl_start=initial"
        " --set training.segmentation.epochs=48 training.segmentation.lr_step_epochs=36",
    ],
    "They are the tests": [
        "make test",
        "make test-long",
        "make test-engines",
        "make test-gpu",
        "make test DATA=... WEIGHTS=...",
        "make torture",
        "python3 -m pytest -q tests/test_mine.py",
    ],
    "They are the container engines' own": [
        "docker image ls aepsl",
        "docker image prune",
        "docker image rm aepsl:cpu-CHECKSUM",
        "podman image prune",
        "podman images",
    ],
}


# Commands

STARTS = "make python3 aepsl docker podman caffe sudo apptainer chroot git mkdir".split()
COMMAND = re.compile(rf"([A-Z_]+=\S+ )*({'|'.join(STARTS)})( |$)|scripts/\w+(\.sh)?( |$)")


def read(path):
    with open(path) as file:
        return file.read()


def blocks(text):
    """[(kind, content)] of the fenced blocks of a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def inline(text):
    """The texts in backticks outside the blocks."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`]+)`", " ".join(outside.split()))


def command_lines(path):
    """The command lines of a page without comments: in its blocks, where those of kind sh hold nothing else, and in
    backticks."""
    text = read(path)
    lines = []
    for kind, content in blocks(text):
        content = re.sub(r" +#.*", "", re.sub(r"\\\n *", "", content)).splitlines()
        lines += content if kind == "sh" else filter(COMMAND.match, content)
    return lines + list(filter(COMMAND.match, inline(text)))


def test_every_command_line_is_in_one_table():
    tables = [*RUN_HERE, *RUN_BY, *sum(NOT_RUN.values(), [])]
    assert len(tables) == len(set(tables))
    assert {line for path in PAGES for line in command_lines(path)} == set(tables)


def test_stock_caffe_is_given_the_weights_with_which_the_run_began():
    (line,) = (each for each in command_lines("docs/your_data.md") if each.startswith("caffe train "))
    psl = Graph(experiments.load("demo")).stages["segmentation.psl"]
    assert line.endswith(f" -weights {psl.paths['weights']}")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return copy_of_repository(tmp_path_factory.mktemp("copy") / "tree")


@pytest.mark.parametrize("command", RUN_HERE)
def test_a_command_does_what_the_docs_say(command, tree):
    """Where it says that something is wrong, in one line."""
    code, prints, instead = RUN_HERE[command]
    environment = {key: value for key, value in os.environ.items() if key not in ENVIRONMENT}
    done = subprocess.run(
        (instead or command).split(),
        cwd=tree,
        env=dict(environment, PYTHONPATH=str(tree / "python")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code and prints in done.stdout, done.stdout
    assert done.stdout.count("error: ") == (code != 0) and "Traceback" not in done.stdout


MAKEFILE = "Makefile"


def options_of(command):
    """What the file of a command of aepsl has in quotes, word by word, and what all commands share."""
    files = ["python/aepsl/cli.py", f"python/{MODULES[command].replace('.', '/')}.py"]
    trees = [ast.parse(read(path)) for path in files]
    texts = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {word for text in texts if isinstance(text, str) and "\n" not in text for word in text.split()}


@pytest.mark.parametrize("line", sorted({line for path in ALL for line in command_lines(path)}))
def test_a_commands_targets_and_options_exist(line):
    words = shlex.split(line.replace("[", "").replace("]", ""))
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):.* ## ", read(MAKEFILE), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)
    elif words[0] == "aepsl" or words[:3] == ["python3", "-m", "aepsl"]:
        _, *arguments = words if words[0] == "aepsl" else words[2:]
        options = {word for word in arguments if word.startswith("--")}
        if arguments and arguments != ["--version"]:
            known = options_of(arguments[0])
            assert {option for option in options if not {option, option[2:]} & known} == set()


@pytest.mark.parametrize("path", ALL)
def test_variables_exist(path):
    """`DATA=...`, in backticks or in a command: make, docker/run or a script reads it."""
    words = [word for code in [*inline(read(path)), *command_lines(path)] for word in code.split()]
    named = {word.split("=")[0].strip("['") for word in words if re.match(r"\W*[A-Z]+[A-Z_]*=", word)}
    sources = [MAKEFILE, *glob.glob("docker/*"), *glob.glob("docker/fake_cuda/*.cpp"), *glob.glob("scripts/*")]
    sources += glob.glob("profiles/*/*")
    known = "".join(read(source) for source in sources if os.path.isfile(source))
    theirs = {name for name in named if name == "EXP" or name.startswith("SBATCH_")}  # of prototxts, of sbatch
    assert [name for name in named - theirs if not re.search(rf"\b{name}\b", known)] == []


def test_docs_name_what_no_test_runs():
    section = read("CONTRIBUTING.md").split("\n## What no test runs\n")[1]
    items = " ".join(section.split()).split(" - ")[1:]
    assert {item.split(": `")[0]: list(filter(COMMAND.match, inline(item))) for item in items} == NOT_RUN


# README.md and docs/index.md

# What README.md says, word for word: the test that holds it.
PSL_NEEDS = "test_figures.test_readme_says_what_psl_needs"
CLAIMS = {
    "The paper reports 55.0 mIoU on val and 55.7 on test.": "test_docs.test_the_papers_figures_are_the_tables",
    "differences in points": "test_figures.test_readmes_table_has_the_differences_between_the_runs_rows",
    "a night, as computed for a V100": (
        "test_status.test_the_plan_is_work_over_speed_and_learns_from_the_runs_own_trainings"
    ),
    "each on 498 real photos of six classes": "test_figures.test_the_photos_are_as_many_as_the_readme_says",
    "as your user, without network": "test_docker.test_the_container_has_no_rights_that_it_does_not_need",
    "`make demo` ends with its tables and a report": (
        "test_identity.test_a_finished_run_has_nothing_to_do_and_prints_its_tables"
    ),
    "An interrupted command continues where it stopped": "test_damage.test_an_interrupted_run_heals",
    "over the seeds is between 1.9 points below `ae_step3` and 1.3 above it": (
        "test_figures.test_other_demos_are_between_the_readmes_bounds"
    ),
    "What the parts of PSL give there": "test_figures.test_readmes_table_of_psl_has_the_parts_of_its_gain",
    "with softmax, `psl` is 6.2 to 9.4 points below `ae_step3`": PSL_NEEDS,
    "begins at random too, 12.5 to 16.8": PSL_NEEDS,
    "trains only what the headline row `psl++` needs": (
        "test_identity.test_some_rows_are_made_with_what_they_need_and_what_is_done_stays"
    ),
    "runs the same CUDA code on the CPU": "test_docker.test_fake_gpus_are_not_asked_of_the_engine",
    "and writes `prototxt/NAME/experiment.yaml`": (
        "test_reproduce.test_a_name_and_a_data_set_are_all_that_another_experiment_needs"
    ),
    "runs 20 nets of other authors as they tested them": "test_docs.test_the_baselines_are_as_many_as_the_readme_says",
    "with confidence intervals": "test_compare.test_intervals_contain_the_true_difference_as_often_as_they_say",
    "masks and heat maps that other projects train from": "test_export.test_irn_reads_its_heat_maps",
    "A saliency detector, a rule of erasing or a backbone is one file.": "test_extending.test_a_backbone_is_one_file",
    "A row of the tables or an ablation is a few lines.": "test_extending.test_a_row_is_lines_of_one_file",
    "(about 1.6 GB)": "test_docs.test_the_image_is_as_large_as_the_readme_says",
}
MAP = "docs/index.md"
README_TEXT = " ".join(read("README.md").split())
NO_FIGURE = r"VGG-16|VOC 2012|CVPR 2017|BSD-2-Clause|GPU=0"  # names with a digit


def test_the_readme_fits_on_two_screens():
    assert len(read("README.md").splitlines()) <= SCREENS * LINES


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_of_the_readme_is_held_by_a_test(claim):
    assert claim.lower() in README_TEXT.lower() and defined(*CLAIMS[claim].split("."))


def test_no_figure_of_the_readme_is_without_a_test():
    """Outside its tables and code, whose figures other tests hold."""
    text = re.sub(r"^(```.*?^```|\|.*?)$", "", read("README.md"), flags=re.MULTILINE | re.DOTALL)
    text = " ".join(re.sub(r"^> .*$|!?\[.*?\]\(.*?\)|`[^`]*`", "", text, flags=re.MULTILINE).split())
    claimed = [re.sub(r"`[^`]*`", "", claim) for claim in CLAIMS]
    for claim in sorted(claimed, key=len, reverse=True):
        text = text.replace(" ".join(claim.split()), "")
    assert re.findall(r"\S*\d\S*", re.sub(NO_FIGURE, "", text)) == []


def test_the_papers_figures_are_the_tables():
    tables = yaml.safe_load(read("python/aepsl/paper/tables.yaml"))
    found = [tables[f"table_{k}"]["image labels"]["AE-PSL (ours)"][-1] for k in (1, 2)]
    assert f"The paper reports {found[0]} mIoU on val and {found[1]} on test." in README_TEXT


def test_the_baselines_are_as_many_as_the_readme_says():
    assert f"runs {len(glob.glob('prototxt/legacy/*.yaml'))} nets" in README_TEXT


@pytest.mark.long
@pytest.mark.skipif(os.environ.get("AEPSL_IMAGE") != "cpu", reason="README.md gives the size of the image cpu")
def test_the_image_is_as_large_as_the_readme_says():
    """The paths on the file system of /, without mounted ones."""
    size = int(subprocess.run(["du", "-sxB1", "/"], stdout=subprocess.PIPE, text=True).stdout.split()[0])
    (said,) = re.findall(r"\(about ([\d.]+) GB\)", README_TEXT)
    assert abs(float(said) - size / 1e9) < 0.15
    assert f"README's {said} GB are what the files of the CPU's image take on the disk" in " ".join(
        read("docs/gpu.md").split()
    )


def test_the_citation_is_that_of_citation_cff():
    paper = yaml.safe_load(read("CITATION.cff"))["preferred-citation"]
    ((_, text),) = [block for block in blocks(read("README.md")) if block[0] == "bibtex"]
    authors = " and ".join(f"{each['family-names']}, {each['given-names']}" for each in paper["authors"])
    pages = f"{paper['start']}--{paper['end']}"
    for value in (paper["title"], authors, paper["collection-title"], pages, paper["year"]):
        assert f"= {{{value}}}" in text


def test_the_map_has_each_page_in_one_line():
    """Also those of other folders."""
    listed = re.findall(r"^\| \[[^]]+\]\(([^)]+)\) \| \S.* \|$", read(MAP), re.MULTILINE)
    pages = [os.path.relpath(path, "docs") for path in ALL if path not in (MAP, "README.md")]
    assert sorted(listed) == sorted(pages)


def test_the_map_shows_the_stages_of_the_papers_run():
    """Each kind, in the chart and in the table below it."""
    experiment = experiments.load(published.PAPERS_EXPERIMENT)
    ((_, shown),) = [block for block in blocks(read(MAP)) if block[0] == "mermaid"]
    assert shown.strip() == stages.chart(Graph(experiment))
    table = read(MAP).split("| stage |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| (\w+) \|", table, re.MULTILINE)) == set(
        re.findall(r"^    (\w+)\[", shown, re.MULTILINE)
    )


def test_the_map_has_every_experiment():
    table = read(MAP).split("| experiment |")[1]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == experiments.known()


# Tests, links, paths and names


def defined(module, name):
    """Whether a file of tests defines a test."""
    path = f"tests/{module}.py"
    return os.path.exists(path) and re.search(rf"^def {name}\(", read(path), re.MULTILINE)


@pytest.mark.parametrize("test", sorted(set(RUN_BY.values())))
def test_the_tables_tests_exist(test):
    assert defined(*test.split("."))


def test_tests_that_the_docs_name_exist():
    named = {code for path in ALL for code in inline(read(path)) if code.startswith("test_")}
    assert len(named) > 20
    for code in named:
        module, _, name = code.partition(".")
        assert defined(module, name or r"test_\w+"), code


@pytest.mark.parametrize("path", ALL)
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)]+)\)", read(path))
    for link in links:
        target, _, part = link.partition("#")
        assert not part, f"{link}: headings change; link to the page"
        if not target.startswith("http"):
            assert os.path.exists(os.path.join(os.path.dirname(path), target)), link


@pytest.mark.parametrize("path", ALL)
def test_paths_in_backticks_exist(path):
    for code in inline(read(path)):
        if is_path(code) and code not in MADE and code not in read(SOURCES):
            assert found(code), code


def is_path(code):
    return bool(re.fullmatch(r"[\w.+/-]+", code)) and ("/" in code or code.endswith(ENDINGS)) and code not in ENDINGS


def found(code):
    """Whether the repository has it, apart from runs and data; NAME stands for any name."""
    pattern = code.replace("NAME", "*")
    paths = glob.glob(pattern) or ("/" not in code and glob.glob(f"**/{code}", recursive=True)) or []
    return any(not path.startswith(("runs/", "data/")) for path in paths)


def test_what_is_made_later_is_named():
    named = {code for path in ALL for code in inline(read(path))}
    assert named.issuperset(MADE)


def test_the_tree_exists():
    ((_, tree),) = [block for block in blocks(read(MAP)) if block[1].startswith("Snakefile")]
    for line in tree.splitlines():
        for path in re.split("  +", line)[0].split(", "):
            assert found(path), path


def test_names_in_files_are_defined_there():
    """`mined` in `python/aepsl/stages/mine.py`"""
    pairs = [pair for path in ALL for pair in re.findall(r"`([\w ]+)`\s+in\s+`([\w/.]+\.py|Snakefile)`", read(path))]
    assert len(pairs) >= 3
    for name, path in pairs:
        text = read(path)
        assert re.search(rf"^((def |class ){name}\(|{name}:)", text, re.MULTILINE), (name, path)


def test_code_and_settings_in_backticks_exist():
    """`stages.mine.mined` below aepsl, `mining.merge` among the settings."""
    codes = [code.split("(")[0] for path in ALL for code in inline(read(path)) if not code.startswith("test_")]
    dotted = {code for code in codes if re.fullmatch(r"[a-z_]\w*(\.\w+)+", code) and not is_path(code)}
    assert len(dotted) > 20
    for name in dotted - set(OTHERS):
        assert is_setting(name) or is_code(name), name


def is_setting(name):
    settings = experiments.load("voc12").settings()
    for key in name.split("."):
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings is not None


def is_code(name):
    """Whether aepsl has it: a module, or what is in one."""
    parts = ["aepsl", *name.split(".")]
    for count in range(len(parts), 1, -1):
        try:
            thing = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            thing = getattr(thing, part, None)
        return thing is not None
    return False
