"""Names and paths are data: whatever is in them, each command works, or says in one line why not.

Never a word of the shell, of make, a wildcard of snakemake, an option of a mount, an expression, or a way out.
"""

import glob
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import yaml
from caffe.proto import caffe_pb2

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import sha256
from aepsl.images.pictures import read_picture
from aepsl.report import report
from aepsl.run import inputs, new_experiment, plan, status
from aepsl.run import start as run_start
from aepsl.saliency import maps
from aepsl.saliency.drfi.photos import Photos
from aepsl.settings import experiments
from aepsl.stages import masks, mine, saliency, segment, train
from aepsl.tools import infer
from aepsl.training import stand_ins
from conftest import copy_of_repository, tiny_experiment
from test_docker import Repository, mounts

NAMES = [
    "a b",
    " a ",
    "it's",
    'say "a"',
    "a; touch pwned",
    "a && touch pwned",
    "a | touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "$(shell touch pwned)",
    "${x}",
    "$a$$b$",
    "{x}",
    "{1}",
    "{",
    "%(x)s",
    "a%20b",
    "*",
    "[a]?",
    "a,b",
    "a,readonly=false,target=usr",
    "a:b",
    "a=b",
    "a#b",
    "a\\b",
    "-x",
    "--help",
    "~",
    "ü",
    "a\tb",
]
# What holds most of them at once; there must be a folder of that name, so no slash.
ODD = 'o\'n "e" {x} {1}, $(touch pwned) `touch pwned`; touch pwned # ü%20:=*\\'
ODD_CLONE = ODD.translate(dict.fromkeys(map(ord, ":{}")))  # of a clone's folder, which may not have these


def ran_nothing(*folders):
    """Whether no name ran as a command: there is no file `pwned`."""
    found = [os.path.join(top, "pwned") for folder in folders for top, _, files in os.walk(folder) if "pwned" in files]
    return not found and not os.path.exists("pwned")


# make and the shell


@pytest.fixture
def makefile(tmp_path):
    """A folder with the Makefile, and in place of the scripts that it calls one that writes down what it was given."""
    tree = tmp_path / "tree"
    (tree / "docker").mkdir(parents=True)
    (tree / "scripts").mkdir()
    shutil.copy("Makefile", tree)
    for name in ("docker/run", "docker/rootfs", "scripts/reproduce"):
        (tree / name).write_text(
            f"#!{sys.executable}\nimport json, os, sys\njson.dump([sys.argv, dict(os.environ)], open('given', 'w'))\n"
        )
        (tree / name).chmod(0o755)
    return tree


def typed(tree, target, *arguments, **environment):
    """What `make TARGET ARGUMENTS` gives the script that it calls: its arguments, its environment."""
    keep = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    command = ["make", "--no-print-directory", target, *arguments]
    done = subprocess.run(command, cwd=tree, env={**keep, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    given = json.loads((tree / "given").read_text())
    (tree / "given").unlink()
    assert ran_nothing(tree)
    return given


@pytest.mark.parametrize("name", [*NAMES, "a\nb", ODD])
def test_make_hands_a_setting_on_as_it_was_typed(makefile, name):
    settings = dict.fromkeys("DATA WEIGHTS SALIENCY EXPERIMENT GPU TF32 PROFILE CORES ROW".split(), name)
    for arguments, environment in (([], settings), ([f"{key}={value}" for key, value in settings.items()], {})):
        if arguments and name != name.lstrip():
            continue  # make cuts white space at the beginning
        argv, given = typed(makefile, "reproduce", *arguments, **environment)
        assert {key: given[key] for key in settings} == settings
        assert argv == ["scripts/reproduce", name, "all"]
    argv, _ = typed(makefile, "status", EXPERIMENT=name)
    assert argv[-2:] == ["--", name]
    settings = dict.fromkeys(("NAME", "MODEL", "DEPLOY", "DATA", "GPU"), name)
    argv, given = typed(makefile, "baseline", **settings)
    assert argv[-2:] == ["--", name] and {key: given[key] for key in settings} == settings


SHELL = [("MAKEFLAGS", f"-{flag}") for flag in ("j8", "k", "s", "B", "r", "i")]
SHELL += [("RUN", "rm"), ("SHELL", "/bin/false"), ("OF_RUN", "x"), ("OF_DEMO", "rm"), ("MAKELEVEL", "3"), ("CORES", "")]


@pytest.mark.parametrize("name, value", SHELL)
@pytest.mark.parametrize("target", ["status", "demo", "reproduce"])
def test_make_calls_the_same_whatever_the_users_shell_has(makefile, target, name, value):
    expected, given = typed(makefile, target), typed(makefile, target, **{name: value})
    assert given[0] == expected[0] and given[1].get("DATA") == expected[1].get("DATA")


@pytest.mark.parametrize("setting", [[], ["DATA=/x y"], ["WEIGHTS=w"], ["SALIENCY=s"], ["EXPERIMENT=e"], ["GPU=0"]])
def test_make_demo_says_what_it_does_not_use(makefile, setting):
    done = subprocess.run(["make", "demo", *setting], cwd=makefile, capture_output=True, text=True)
    warned = bool(setting) and setting != ["GPU=0"]
    assert done.returncode == 0 and done.stderr.count("\n") == warned == ("DATA, WEIGHTS and" in done.stderr)


def test_make_hands_the_name_of_an_image_on_as_it_was_typed(makefile):
    name = ODD.replace("#", "")
    assert typed(makefile, "rootfs", f"TARGET={name}")[0] == ["docker/rootfs", name]
    assert typed(makefile, "rootfs")[0] == ["docker/rootfs", ""]
    assert typed(makefile, "rootfs", f"SLICES={name}")[0] == ["docker/rootfs", "", name]


# docker/run


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "repository")


in_engine = pytest.mark.skipif(os.path.exists("/etc/aepsl.env"), reason="docker/run runs nothing in an engine here")


@in_engine
@pytest.mark.parametrize("names", [(*NAMES, ODD)[k : k + 4] for k in range(0, len(NAMES), 4)])
def test_folders_are_mounted_whatever_their_names_are(repository, names):
    keys = ("DATA", "WEIGHTS", "SALIENCY", "WRITABLE")
    for engine, top in (("docker", repository.root.parent), ("podman", repository.root)):
        folders = {key: top / key / name for key, name in zip(keys, names)}
        for folder in folders.values():
            folder.mkdir(parents=True)
        given = {key: os.path.relpath(folder, repository.root) for key, folder in folders.items()}
        arguments, environment = repository.run(ENGINE=engine, **given)
        found = mounts(arguments)
        for key, folder in folders.items():
            assert key == "WRITABLE" or environment[key] == str(folder)
            assert found.get(str(folder), False) is (key == "WRITABLE")
            assert str(folder) in found or top == repository.root
    assert ran_nothing(repository.root.parent)


@in_engine
@pytest.mark.parametrize("name", ["-x", "--help", "~", "$(touch pwned)", " a"])
def test_a_name_that_stands_alone_is_a_path(repository, name):
    (repository.root / name).mkdir()
    assert repository.run(DATA=name)[1]["DATA"] == str(repository.root / name)
    assert ran_nothing(repository.root.parent)


@in_engine
@pytest.mark.parametrize("name", ["a\nb", "a\n", "\n", "a\rb"])
def test_a_line_break_in_a_name_is_one_line(repository, name):
    folder = repository.root.parent / name
    folder.mkdir()
    for key in ("DATA", "WEIGHTS", "SALIENCY", "SOURCES", "WRITABLE"):
        process, asked = repository.call("run", "true", **{key: str(folder)})
        assert (process.returncode, asked) == (2, []) and "has a line break in its name" in process.stderr
        assert process.stderr.count("\n") == 1


@in_engine
@pytest.mark.parametrize("name", ["a b", "a,b", "a:b", "{x}", "a\nb", "$(touch pwned)", "-x", "*", ODD_CLONE])
def test_a_clone_runs_whatever_its_folder_is_called(tmp_path, name):
    repository = Repository(tmp_path / name / "clone")
    if name in ("a:b", "{x}", "a\nb"):
        process, asked = repository.call("run", "true")
        assert (process.returncode, asked) == (2, []) and process.stderr.count("\n") == 1
        assert "with a colon, a brace or a line break" in process.stderr
        return
    arguments, environment = repository.run()
    root = str(repository.root)
    assert mounts(arguments) == {root: False, f"{root}/runs": True}
    assert arguments[arguments.index("--workdir") + 1] == root and environment["PYTHONPATH"] == f"{root}/python"
    assert ran_nothing(tmp_path)


@in_engine
@pytest.mark.parametrize("name", ["-x", "a b", ODD])
def test_downloads_go_to_a_folder_of_any_name(repository, name):
    shutil.copytree("scripts", repository.root / "scripts")
    for script in ("get_voc.sh", "get_weights.sh", "get_saliency.sh"):
        process, asked = repository.call(f"../scripts/{script}", name)
        assert process.returncode == 0, process.stderr
        arguments, _ = asked[-1]
        assert mounts(arguments)[str(repository.root / name)] is True
        assert f"--out={repository.root / name}" in arguments
    assert ran_nothing(repository.root.parent)


# Names of experiments, rows and settings

NO_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "../../evil",
    "/abs",
    "x/y",
    "x; touch pwned",
    "$(touch pwned)",
    "a\nb",
    "a b",
    "-x",
    "{x}",
    "legacy",  # the baselines' folder in prototxt
    "baselines",  # and in runs
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_no_command_takes_a_name_that_is_none(tmp_path, monkeypatch, small_set, name):
    tree = copy_of_repository(tmp_path / "tree")
    monkeypatch.chdir(tree)
    monkeypatch.setattr(os, "execvp", lambda *arguments: pytest.fail(f"starts {arguments}"))
    before = sorted(tmp_path.rglob("*"))
    for command in (run_start, plan, new_experiment):
        for options in ([], [f"--data={small_set}"]):
            with pytest.raises(InputError, match="no name of an experiment"):
                command.main([*options, "--", name])
    for command in (status, report):
        with pytest.raises(InputError, match="no name of an experiment"):
            command.main(["--", name])
    assert sorted(tmp_path.rglob("*")) == before and ran_nothing(tree)


@pytest.mark.parametrize(
    "row", ["__import__('os').system('touch pwned')", "psl++; touch pwned", "{x}", "../psl", "a\nb"]
)
def test_a_row_that_is_none_is_refused_before_anything(tmp_path, monkeypatch, row):
    monkeypatch.chdir(copy_of_repository(tmp_path / "tree"))
    monkeypatch.setattr(os, "execvp", lambda *arguments: pytest.fail(f"starts {arguments}"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="no row of tables 3 and 4"):
        run_start.main(["demo", "submission", f"--row={row}"])
    assert sorted(tmp_path.rglob("*")) == before and ran_nothing(tmp_path)


@pytest.mark.parametrize("command", ["run demo all -n", "run mine --missing", "run voc12 --missing", "plan voc12"])
def test_data_that_are_not_there_are_named_before_anything(tmp_path, monkeypatch, command):
    """Also before a download, and before costs are told, which would be those of other data."""
    monkeypatch.chdir(copy_of_repository(tmp_path / "tree"))
    name, *words = command.split()
    with pytest.raises(InputError, match="nowhere: no such folder; DATA= must name a data set in VOC layout"):
        dict(run=run_start, plan=plan)[name].main([*words, "--data", "nowhere"])


@pytest.mark.parametrize("case", ["no folder", "a file", "an empty folder"])
def test_a_profile_that_is_none_is_named_before_anything(tmp_path, monkeypatch, case):
    monkeypatch.chdir(copy_of_repository(tmp_path / "tree"))
    os.mkdir("empty")
    path = {"no folder": "nope", "a file": "Makefile", "an empty folder": "empty"}[case]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=f"PROFILE={path}: is no folder with a program `submit` or"):
        run_start.main(["demo", "all", "--profile", path])
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "tree/empty/config.yaml").write_text("cores: 2")
    for one in ("profiles/slurm", "empty"):
        run_start.main(["demo", "all", "--profile", one, "-n"])


@pytest.mark.parametrize("link", [True, False])
def test_a_run_whose_folder_is_none_is_one_line(tmp_path, monkeypatch, link):
    monkeypatch.chdir(copy_of_repository(tmp_path / "tree"))
    os.makedirs("runs", exist_ok=True)
    os.symlink("/nowhere", "runs/demo") if link else open("runs/demo", "w").close()
    with pytest.raises(InputError, match="runs/demo: cannot be a folder: a file, a pipe or a link to nowhere has that"):
        run_start.main(["demo"])


@pytest.mark.parametrize("link", [True, False])
def test_maps_of_the_data_set_that_are_no_folder_are_not_passed_over(small_set, link):
    """A detector would make other maps in silence."""
    path = str(small_set / "saliency")
    assert inputs.maps_of(str(small_set), None) is None
    os.symlink("/nowhere", path) if link else open(path, "w").close()
    assert inputs.maps_of(str(small_set), None) == path
    with pytest.raises(InputError, match="saliency: no such folder; name another"):
        maps.contents(path, ["image0"])


def test_an_experiment_without_data_asks_for_them_before_a_download(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(copy_of_repository(tmp_path / "tree"))
    with pytest.raises(InputError, match="Which data"):
        run_start.main(["rehearsal", "--missing"])
    run_start.main(["voc12", "--missing"])
    assert "data" in capsys.readouterr().out.split()


@pytest.mark.parametrize("gpus, expected", [("", 0), ("0", 1), ("1,0", 2), ("0,0", None), ("1,01", None)])
def test_a_gpu_is_named_once(gpus, expected):
    """Two nets would share its memory."""
    if expected is not None:
        assert cli.count(gpus) == expected
        return
    with pytest.raises(InputError, match=f"GPU={gpus}: names a GPU twice"):
        cli.count(gpus)


def leaves(settings, above=()):
    """[(keys, value)] of all settings, lists as one."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


@pytest.mark.parametrize("value", ["1; touch pwned", "$(touch pwned)", "../../evil", "{x} y", "-x y"])
def test_no_setting_takes_a_command(value):
    """Each in turn; seed is the one that once ran."""
    settings = experiments.load("voc12").settings()
    tried = [keys for keys, _ in leaves(settings)]
    assert ("seed", "data") in tried and len(tried) > 40
    allowed = [("classes",)]  # a class name is only ever compared and shown
    if "/" in value:  # lists are read from any place
        allowed += [("data", "train"), ("data", "val"), ("data", "test")]
    tried = [keys for keys in tried if keys not in allowed]
    for *above, last in tried:
        changes = {last: [value] if last == "rows" else value}
        for key in reversed(above):
            changes = {key: changes}
        with pytest.raises(InputError, match="it must be"):
            experiments.complete(experiments.laid_over(settings, changes), "experiment.yaml")


# The commands themselves, in the image


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the repository in a folder of an odd name, and in another the data, weights and maps."""
    top = tmp_path_factory.mktemp("top")
    return copy_of_repository(top / ODD_CLONE / "tree")


def start(tree, *command, **environment):
    """A command of the tree, typed in it: its process."""
    ours = ("DATA", "WEIGHTS", "SALIENCY", "EXPERIMENT", "GPU", "ROW", "CORES", "PROFILE", "MAKEFLAGS", "MAKELEVEL")
    keep = {key: value for key, value in os.environ.items() if key not in ours}
    environment = {**keep, "PYTHONPATH": str(tree / "python"), **environment}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)


def is_one_line(done, *words):
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    return done.returncode and len(lines) == 1 and lines[0].startswith("error: ") and all(w in lines[0] for w in words)


@pytest.mark.parametrize("target", ["reproduce", "calibrate", "submission", "reproduce-dry", "status", "report"])
def test_a_target_of_make_takes_no_other_name(tree, target):
    name = "-x" if target in ("submission", "report") else "$(touch pwned); touch pwned"
    done = start(tree, "make", "--no-print-directory", target, EXPERIMENT=name)
    assert is_one_line(done, "no name of an experiment"), done.stderr
    assert ran_nothing(tree.parent.parent)


CLASSES = ["{x}", "$(touch${IFS}pwned);'`"]


@pytest.fixture
def odd_set(small_set):
    """small_set with classes of odd names, and grey pictures as saliency maps in maps/."""
    for path in (small_set / "classes.txt", small_set / "image_labels.txt"):
        path.write_text(path.read_text().replace("cat", CLASSES[0]).replace("dog", CLASSES[1]))
    (small_set / "maps").mkdir()
    for path in (small_set / "JPEGImages").iterdir():
        cv2.imwrite(str(small_set / f"maps/{path.stem}.png"), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    net = caffe_pb2.NetParameter()
    net.layer.add(name="conv1_1").blobs.add(data=[1.0]).shape.dim.append(1)
    (small_set / "w.caffemodel").write_bytes(net.SerializeToString())
    return small_set


@pytest.fixture(scope="module")
def odd_experiment(tree):
    """The experiment `odd` of the tree: the demo's nets for odd_set."""
    settings = dict(base="demo", synthetic=None, classes=CLASSES, shards=1, background=dict(indoor_classes=[]))
    settings["data"] = dict(train="train_aug", train_images=6)
    (tree / "prototxt/odd").mkdir()
    (tree / "prototxt/odd/experiment.yaml").write_text(yaml.safe_dump(settings))
    assert start(tree, sys.executable, "-m", "aepsl", "build", "odd").returncode == 0


@pytest.mark.parametrize("name", ["-x", "a\nb", ODD])
def test_commands_work_on_data_of_any_name(tree, odd_experiment, odd_set, name):
    shutil.copytree(odd_set, tree / name)
    shutil.rmtree(tree / "runs", ignore_errors=True)
    settings = dict(DATA=name, WEIGHTS=f"{name}/w.caffemodel", SALIENCY=f"{name}/maps", EXPERIMENT="odd")
    done = start(tree, "make", "reproduce", "ARGS=--until saliency", **settings)
    assert done.returncode == 0, done.stderr
    assert len(list((tree / "runs/odd/saliency").glob("*.png"))) == 6
    if name == ODD:
        done = start(tree, sys.executable, "-m", "aepsl", "check", f"--data={ODD}", "--experiment", "odd")
        assert done.returncode == 0, done.stderr
        done = start(tree, "make", "reproduce", "ARGS=-n", **settings)
        assert done.returncode == 0, done.stderr
        done = start(tree, "make", "status", **settings)
        assert done.returncode == 0 and "6/6" in done.stdout, done.stderr
        done = start(tree, "make", "report", **settings)
        assert done.returncode == 0 and (tree / "runs/odd/report/index.html").exists(), done.stderr
        assert is_one_line(start(tree, "make", "reproduce", **dict(settings, WEIGHTS="no\nfile")), "no\\nfile")
    assert ran_nothing(tree.parent.parent)


def test_a_line_break_in_a_name_begins_no_setting(tmp_path, monkeypatch, odd_set):
    monkeypatch.chdir(copy_of_repository(tmp_path / "tree"))
    os.rename(odd_set, "a\nseed: 5")
    new_experiment.run("odd", "a\nseed: 5")
    with open("prototxt/odd/experiment.yaml") as file:
        written = yaml.safe_load(file)
    assert written["classes"] == CLASSES and set(written) <= {"base", "classes", "data", "background"}


def test_a_clone_with_a_colon_is_one_line_in_the_image_too(tmp_path):
    tree = copy_of_repository(tmp_path / "a:b")
    done = start(tree, "make", "--no-print-directory", "status")
    assert done.returncode and "with a colon" in done.stderr and "Traceback" not in done.stderr


# Files: names are bytes, and those of another encoding are no text. OpenCV ends the process at them.

FILES = {
    "plain": b"photos",
    "latin-1": b"caf\xe9",
    "shift_jis": "\u5199\u771f".encode("shift_jis"),
    "utf-16": b"\xff\xfea",
    "half a character": b"ab\xc3",
    "a surrogate": b"\xed\xa0\x80",
    "a line break": b"a\nb",
    "a dash": b"-x",
    "of CSV": b'a,b:"c"=',
    "spaces": b" a  b ",
    "a pattern": b"[a]*?%s{x}",
    "long": b"n" * 200,
}


def child_gives(call):
    """What `call` returns in a process of its own, which a library may end."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, json.dumps(call()).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as pipe:
        text = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(text)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The tiny experiment, and its weights for classification and psl."""
    folder, experiment = str(tmp_path_factory.mktemp("models")), tiny_experiment()
    return (experiment, *(stand_ins.model(experiment, task, folder) for task in ("classification", "psl")))


@pytest.fixture(scope="module")
def few(data, tmp_path_factory):
    """The demo's data with two images in each list."""
    root = tmp_path_factory.mktemp("few") / "few"
    shutil.copytree(data, root)
    for name in ("train_aug", "val"):
        path = root / f"ImageSets/Segmentation/{name}.txt"
        path.write_text("\n".join(path.read_text().split()[:2]))
    return root


def made_of(models, few, folder, name):
    """{file: its SHA-256} of what the stages make of the data set `few` when it has that name, into such names."""
    experiment, classifier, net = models
    root, out = os.path.join(folder, name), os.path.join(folder, "out" + name)
    shutil.copytree(few, root)
    weights = shutil.copy(net, os.path.join(folder, "weights" + name))
    listed, photos = os.path.join(root, "ImageSets/Segmentation/val.txt"), os.path.join(root, "JPEGImages")
    saliency.run(root, "train_aug", out + "/maps")
    mine.run(experiment, root, classifier, out + "/regions")
    masks.run(experiment, root, out + "/regions", out + "/maps", out + "/masks")
    segment.run(experiment, root, "val", weights, out + "/val", "predicted")
    picture = shutil.copy(os.path.join(photos, "val_000001.jpg"), os.path.join(folder, name + ".jpg"))
    infer.run(experiment, [picture], weights, out + "/pictures", overlay=True)
    os.rename(f"{out}/pictures/{name}.png", f"{out}/pictures/picture.png")
    os.rename(f"{out}/pictures/{name}_overlay.png", f"{out}/pictures/overlay.png")
    assert Photos(photos, os.path.join(root, "SegmentationClassAug"), listed).image(0).any()
    return {
        os.path.relpath(path, out): sha256(path) for path in glob.glob(glob.escape(out) + "/**/*.png", recursive=True)
    }


@pytest.fixture(scope="module")
def of_a_plain_name(models, few, tmp_path_factory):
    return made_of(models, few, str(tmp_path_factory.mktemp("plain")), "photos")


@pytest.mark.parametrize("case", FILES)
def test_results_do_not_depend_on_the_names_of_files(models, few, of_a_plain_name, tmp_path, monkeypatch, case):
    monkeypatch.setattr("sys.stderr", open(os.devnull, "w"))  # noqa: SIM115
    assert len(of_a_plain_name) > 10
    assert child_gives(lambda: made_of(models, few, str(tmp_path), os.fsdecode(FILES[case]))) == of_a_plain_name


PICTURES = {
    "jpg": dict(extension=".jpg", depth=np.uint8),
    "png": dict(extension=".png", depth=np.uint8),
    "png of 16 bits": dict(extension=".png", depth=np.uint16),
    "webp": dict(extension=".webp", depth=np.uint8),
    "bmp": dict(extension=".bmp", depth=np.uint8),
    "tif": dict(extension=".tif", depth=np.uint8),
}


@pytest.mark.parametrize("case", PICTURES)
def test_a_picture_of_any_kind_is_read_as_opencv_reads_it(tmp_path, rng, case):
    kind = PICTURES[case]
    most = np.iinfo(kind["depth"]).max
    picture = rng.randint(0, most + 1, (37, 23, 3)).astype(kind["depth"])
    path = str(tmp_path / f"a{kind['extension']}")
    cv2.imwrite(path, picture)
    expected = np.rint(cv2.imread(path, cv2.IMREAD_UNCHANGED) * (255 / most)).astype(np.uint8)
    odd = os.path.join(tmp_path, os.fsdecode(b"caf\xe9" + kind["extension"].encode()))
    os.rename(path, odd)
    assert child_gives(lambda: read_picture(odd).tolist()) == expected.tolist()


@pytest.mark.parametrize("case", ["latin-1", "shift_jis", "utf-16", "half a character", "a surrogate"])
def test_a_folder_that_caffes_files_cannot_name_is_one_line(models, few, tmp_path, case):
    out = str(tmp_path / os.fsdecode(FILES[case]))
    with pytest.raises(InputError, match="is no UTF-8, and Caffe's solver.prototxt holds no other text"):
        train.run(models[0], "classification", str(few), out)
    assert not os.path.exists(out)
