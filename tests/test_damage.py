"""Damage: a file of a run that is cut short, emptied or deleted is made again, or put back, by the same command."""

import contextlib
import json
import os
import shutil

import caffe
import numpy as np
import pytest
import yaml

from aepsl.base.errors import InputError
from aepsl.base.files import sha256, write_text, written_whole
from aepsl.graph import run_folder
from aepsl.images.pictures import read_indexed, write_grey, write_mask
from aepsl.report import report
from aepsl.run import start, status
from aepsl.settings import experiments
from aepsl.stages import train
from aepsl.store import digests, records
from aepsl.store.result import Made, begin, has, is_whole
from aepsl.training import snapshots
from conftest import Killed, killed_after, tiny_experiment, watched_steps
from small_run import Run, state

# One file of every kind that a run leaves, and one of the stages that make it.
FILES = (
    "saliency/train_000001.png",
    "initial.caffemodel",
    "step1/classification/final.caffemodel",
    "step2/classification/log.csv",
    "step2/classification/train.json",
    "step1/classification/train.prototxt",
    "step2/classification/solver.prototxt",
    "step2/classification/made_of.json",
    "step1/regions/train_000002.png",
    "step1/regions/made_of.json",
    "step1/regions.json",
    "step1/thresholds.json",
    "masks/ae_step1/train_000003.png",
    "masks/ae_step2/made_of.json",
    "segmentation/psl/final.caffemodel",
    "relabelled/psl/crf/train_000004.png",
    "val/psl/plain/val_000001.png",
    "val/psl/crf/val_000002.png",
    "val/ae_step1/made_of.json",
    "background.json",
    "results.json",
    "done/check.json",
    "done/mine.step1.1-2.json",
    "done/results.json",
    "made/saliency.2-2.json",
    "made/segmentation.psl++.json",
    "../.digests.json",
)
CHECKED = ("done/check.json",)  # before the graph, and not at all by a dry run
MARKS = ("done/check.json", "done/mine.step1.1-2.json", "done/results.json")  # deleted, they are put back in silence
LATER = ("segmentation", "relabelled", "val", "results")  # what an interrupted run does not have yet
SAID = "is damaged or missing"


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def emptied(path):
    os.truncate(path, 0)


def deleted(path):
    path.unlink()


DAMAGES = (cut, emptied, deleted)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("damage"))


@pytest.fixture
def kept(run, tmp_path):
    """The finished run, put back afterwards."""
    folder = run.tree / "runs"
    shutil.copytree(folder, tmp_path / "kept")
    yield folder / "tiny"
    shutil.rmtree(folder)
    shutil.move(tmp_path / "kept", folder)


def healed(run, folder, before):
    """Start again: the run is what it was, and has nothing to do then. Returns what the start said."""
    output = run.start()
    after = state(folder)
    assert sorted(after) == sorted(before)
    assert [name for name in after if after[name] != before[name]] == []
    assert "Traceback" not in output
    again = run.start("-n")
    assert "every stage is done already" in again and SAID not in again
    return output


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_finished_run_heals(run, kept, damage):
    """All kinds at once: each of their stages, and each that depends on one, makes its own files again."""
    before = state(kept)
    for name in FILES:
        damage(kept / name)
    lines = run.start("-n").splitlines()
    output = healed(run, kept, before)
    for name in set(FILES) - {"../.digests.json"} - set(MARKS if damage is deleted else ()):
        assert any(_tells_of(line, name) for line in output.splitlines()), (name, output)
        assert name in CHECKED or any(_tells_of(line, name) for line in lines), name


def _tells_of(line, name):
    """Whether a line is about the file or, with others, its folder."""
    about = line.partition(":")[0]
    return "damaged" in line and f"runs/tiny/{name}".startswith(about) and about.count("/") >= 1


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_interrupted_run_heals(run, kept, damage):
    """It has mined, and was segmenting: half of the masks of the last round are there, without a mark."""
    before = state(kept)
    for name in LATER:
        for path in [*kept.glob(f"done/{name}*"), *kept.glob(f"made/{name}*")]:
            path.unlink()
    for stage in ("relabel", "segment"):
        for path in [*kept.glob(f"done/{stage}*"), *kept.glob(f"made/{stage}*")]:
            path.unlink()
    (kept / "results.json").unlink()
    for name in ("relabelled/psl/crf/train_000001.png", "val/psl/plain/val_000001.png"):
        (kept / name).unlink()
    shutil.rmtree(kept / "segmentation/psl")
    for name in FILES:
        if (kept / name).exists() and "segmentation/psl" not in name:
            damage(kept / name)
    healed(run, kept, before)


@pytest.mark.long
@pytest.mark.parametrize(
    "name, damage",
    [("val/psl/plain/val_000001.png", deleted), ("made/segment.val.psl.1-2.json", cut)],
)
def test_only_what_stands_on_it_is_done_again(run, kept, damage, name):
    before = state(kept)
    damage(kept / name)
    planned = run.planned()
    assert planned <= {"segment.val.psl", "results"} and "results" in planned
    assert name in healed(run, kept, before)


@pytest.mark.long
def test_a_small_text_is_put_back_and_nothing_is_done_again(run, kept):
    before = state(kept)
    damages = {"step1/regions.json": cut, "results.json": deleted, "masks/ae_step1/made_of.json": emptied}
    damages["done/mine.step1.1-2.json"] = emptied
    for name, damage in damages.items():
        damage(kept / name)
    lines = [f"runs/tiny/{name}: {SAID}; put back" for name in damages]
    asked = run.start("-n")
    assert all(line in asked for line in lines) and "every stage is done already" in asked
    said = healed(run, kept, before)
    assert all(line in said for line in lines)


@pytest.mark.long
def test_what_changes_without_getting_shorter_is_seen_too(run, kept):
    before = state(kept)
    path = kept / "val/psl+gt/crf/val_000001.png"
    path.write_bytes(path.read_bytes()[::-1])
    assert f"{path.relative_to(run.tree)}: {SAID}; made again" in healed(run, kept, before)


@pytest.mark.long
def test_the_line_names_the_folder_where_several_are_damaged(run, kept):
    before = state(kept)
    for path in (kept / "val/psl/crf").glob("*.png"):
        path.unlink()
    output = healed(run, kept, before)
    assert "runs/tiny/val/psl/crf: 2 files are damaged or missing; made again" in output  # of each shard


@pytest.mark.long
def test_what_a_row_left_that_is_no_row_any_more_is_not_made_again(run, kept):
    settings = run.yaml.read_text()
    run.yaml.write_text(yaml.safe_dump(dict(yaml.safe_load(settings), rows=["ae_step1"])))
    for name in ("segmentation/psl++", "val/psl++", "relabelled"):
        shutil.rmtree(run.tree / "runs/tiny" / name)
    assert run.planned() == {"results"}
    assert "damaged" not in run.start("-n")
    run.yaml.write_text(settings)
    assert {"segmentation.psl++", "segment.val.psl++", "relabel.psl"} <= run.planned()


def test_a_stage_that_meets_a_damaged_file_stops_with_one_line(run, kept):
    """Between the start and its turn; nothing is made of it, and the same command heals it."""
    before = state(kept)
    region = kept / "step1/regions/train_000002.png"
    for path in (kept / "masks/ae_step1").glob("*.png"):
        path.unlink()
    cut(region)
    arguments = ["--experiment", "tiny", "--data", str(run.data), "--regions", "runs/tiny/step1/regions"]
    done = run.command("masks", *arguments, "--saliency", "runs/tiny/saliency", "--out", "runs/tiny/masks/ae_step1")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "train_000002.png: cannot be decoded; type the run's command again" in done.stderr
    healed(run, kept, before)


@pytest.mark.parametrize("lost", [1, 3, 8, 12, 20, 60])
def test_however_little_a_png_lacks_it_is_not_read(tmp_path, lost, rng):
    """Unless it has all its pixels. Regions, masks and maps go through one reader."""
    write_grey(str(tmp_path / "region.png"), rng.randint(0, 4, (40, 50)).astype(np.uint16))
    write_grey(str(tmp_path / "map.png"), rng.randint(0, 256, (40, 50)).astype(np.uint8))
    write_mask(str(tmp_path / "mask.png"), rng.randint(0, 3, (40, 50)).astype(np.uint8))
    for path in tmp_path.iterdir():
        whole = read_indexed(str(path))
        os.truncate(path, path.stat().st_size - lost)
        assert not is_whole(str(path))
        if lost > 20:  # the last chunk, and checksums of the pixels
            with pytest.raises(InputError, match="cannot be decoded"):
                read_indexed(str(path))
        else:
            with contextlib.suppress(InputError):
                assert (read_indexed(str(path)) == whole).all()


# Snapshots, in one process.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The demo's experiment with a smaller net, four epochs of four iterations."""
    return tiny_experiment(epochs=4)


def trained(experiment, data, out):
    """As a run trains it, which goes on where it was."""
    train.run(experiment, "classification", data, str(out), word="tiny")


def weights(folder):
    return (folder / "final.caffemodel").read_bytes(), (folder / "log.csv").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tiny, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    trained(tiny, data, folder)
    return weights(folder)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["snapshot_iter_8.caffemodel", "snapshot_iter_8.solverstate", "snapshot.json", "both"])
def test_a_damaged_snapshot_is_said_and_an_older_one_taken(tiny, data, undisturbed, tmp_path, damage, name, capfd):
    out = tmp_path / "run"
    with killed_after(11):
        trained(tiny, data, out)
    assert sorted(path.name for path in out.glob("snapshot*")) == [
        "snapshot.json",
        "snapshot_iter_4.caffemodel",
        "snapshot_iter_4.solverstate",
        "snapshot_iter_8.caffemodel",
        "snapshot_iter_8.solverstate",
    ]
    for each in ["snapshot_iter_8.caffemodel", "snapshot_iter_4.solverstate"] if name == "both" else [name]:
        damage(out / each)
    capfd.readouterr()
    begun = []
    with watched_steps(lambda solver: begun.append(solver.iter)):
        trained(tiny, data, out)
    assert weights(out) == undisturbed
    anew = name in ("snapshot.json", "both")
    assert begun[0] == (1 if anew else 5)
    said = capfd.readouterr().err
    if (name, damage) != ("snapshot.json", deleted):
        assert "is damaged" in said and ("begins anew" if anew else "an older snapshot is taken") in said
    assert not list(out.glob("snapshot*"))


@pytest.mark.parametrize("moment", ["files", "record"])
def test_killed_while_a_snapshot_is_written_the_older_one_is_there(
    tiny, data, undisturbed, tmp_path, moment, monkeypatch
):
    out = tmp_path / "run"

    def killing(*_):
        raise Killed

    def half(solver):
        if solver.iter == 8:
            if moment == "record":
                monkeypatch.setattr(snapshots, "write_json", killing)
            else:
                os.truncate(out / "snapshot_iter_8.solverstate", 100)
                raise Killed

    with watched_steps(half), pytest.raises(Killed):
        trained(tiny, data, out)
    monkeypatch.undo()
    assert (out / "snapshot_iter_4.caffemodel").exists()
    trained(tiny, data, out)
    assert weights(out) == undisturbed


def test_killed_before_the_clean_up_nothing_is_trained_again(tiny, data, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / "run"

    def killed(folder):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(snapshots, "clear", killed)
        trained(tiny, data, out)
    assert list(out.glob("snapshot_iter_*"))
    monkeypatch.setattr(caffe, "get_solver", None)
    trained(tiny, data, out)
    assert weights(out) == undisturbed and not list(out.glob("snapshot*"))


def test_no_room_for_a_snapshot_is_one_line_before_caffe_aborts(tiny, data, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 1000))
    with pytest.raises(InputError, match=r"run: the disk is full: \d+ MB are needed next and 0 MB are free; make room"):
        train.run(tiny, "classification", data, str(tmp_path / "run"))
    assert not list((tmp_path / "run").glob("snapshot*"))


# Writing.


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    def fill():
        with (
            written_whole(str(tmp_path / "a.png")) as beside,
            open(beside, "w") as file,
            open("/dev/full", "w") as full,
        ):
            file.write("half")
            full.write("x" * 10000)
            full.flush()

    with pytest.raises(InputError, match="the disk is full"):
        fill()
    assert not list(tmp_path.iterdir())


def record(**changes):
    """The text of a job's record, with changes."""
    return json.dumps(
        {**dict(word="w", mark=dict(value=1), results=["a.png"], texts={}, files={"a.png": "0"}), **changes}
    )


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2", '{"mark": 1}', "\xff\x00", "[]", "5", "[" * 100000, record(texts=[]), record(results=["b.png"])]
    + [
        record(mark=dict(train=1)),
        record(texts={"a.png": 5}),
        record(files={"a.png": 5}),
        record(word=1),
        record(results=[["a.png"]]),
    ]
    + [record(texts={name: "x"}, files={name: "0", "a.png": "0"}) for name in ("../evil", "a/../../evil", "/evil")]
    + [record(results=[], files={"../evil.png": "0"})],
)
def test_a_record_that_cannot_be_read_is_none(tmp_path, text):
    (tmp_path / "made").mkdir()
    (tmp_path / "made/mine.json").write_text(text, encoding="latin-1")
    for dry in (True, False):
        assert records.heal(str(tmp_path), "mine", dry) is None
    assert not (tmp_path / "made/mine.json").exists() and not list(tmp_path.rglob("*evil*"))


IN_THE_WAY = {"folder": os.mkdir, "pipe": os.mkfifo, "list": lambda path: path.write_text("[]")}
IN_THE_WAY.update(number=lambda path: path.write_text("5"), deep=lambda path: path.write_text("[" * 100000))
IN_THE_WAY.update(link=lambda path: path.symlink_to(path.name), text=lambda path: path.write_text('{"seconds": "x"}'))


@pytest.mark.parametrize("folder", ["made", "done"])
def test_what_a_killed_process_was_writing_is_no_job(tmp_path, folder, capfd):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "mine.step1.1-1.part925.json").write_text("{}")
    records.remove_leftovers(str(tmp_path))
    assert not list(tmp_path.rglob("*.part*"))
    assert records.heal(str(tmp_path), "mine.step1.1-1") is None and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["made/mine.json", "done/mine.json", "done/check.json"])
@pytest.mark.parametrize("what", IN_THE_WAY)
def test_whatever_lies_in_a_files_place_goes(tmp_path, monkeypatch, name, what):
    """Neither a start nor `status` ends with it."""
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    root = tmp_path / "voc12"
    (root / name).parent.mkdir(parents=True)
    (root / "step1/classification").mkdir(parents=True)
    IN_THE_WAY[what](root / name)
    IN_THE_WAY[what](root / "step1/classification/snapshot.json")
    (root / "step1/classification/solver.prototxt").write_text("max_iter: 3")
    assert "classification.step1" in status.report(experiments.load("voc12"))
    for job in ("mine", "check"):
        assert records.heal(str(root), job) is None
    assert not os.path.lexists(root / name)


@pytest.mark.parametrize("what", ["list", "number", "deep"])
def test_results_that_are_none_are_one_line(tmp_path, monkeypatch, what):
    monkeypatch.setattr(run_folder, "ROOT", str(tmp_path))
    (tmp_path / "voc12").mkdir()
    IN_THE_WAY[what](tmp_path / "voc12/results.json")
    with pytest.raises(InputError, match=r"results.json: (is damaged|not JSON)"):
        report.main(["voc12"])


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_what_was_remembered_of_files_is_only_a_memory(tmp_path, monkeypatch, what):
    monkeypatch.setattr(digests, "CACHE", str(tmp_path / "digests.json"))
    monkeypatch.setattr(digests, "_known", {})
    IN_THE_WAY[what](tmp_path / "digests.json")
    assert digests.of(["Makefile"]) == [sha256("Makefile")]


def test_what_is_being_made_of_something_else_is_not_put_back(tmp_path, capfd):
    """The settings have changed, and the stage was interrupted after it had removed the old."""
    folder = tmp_path / "masks"

    def make(word):
        begin(str(folder), word, ["*.csv"])
        if not has(str(folder / "a.csv")):
            write_text(str(folder / "a.csv"), f"{word}\n")
        return Made([str(folder / "a.csv")], [str(folder / "made_of.json")])

    records.done(str(tmp_path), "masks", "first", lambda: (make("first"), {}))
    assert records.heal(str(tmp_path), "masks") == "first"
    make("second")
    assert records.heal(str(tmp_path), "masks") is None and capfd.readouterr() == ("", "")
    assert (folder / "a.csv").read_text() == "second\n"
    assert json.loads((folder / "made_of.json").read_text()) == dict(word="second")


def test_a_share_leaves_what_another_has_made_of_a_new_word_meanwhile(tmp_path, monkeypatch):
    """What it had made of an old one is not put back, whatever the moment at which the other begins."""
    folder, made = tmp_path / "masks", []

    def make(k, word):
        begin(str(folder), word, ["*.csv"], {k})
        write_text(str(folder / f"{k}.csv"), f"{word}\n")
        made.append(f"{k} {word}")
        return Made([str(folder / f"{k}.csv")], [str(folder / "made_of.json")])

    def do(k, word):
        records.done(str(tmp_path), f"masks.{k}-2", word, lambda: (make(k, word), {}))

    do("1", "first")
    do("2", "first")
    for name in ("read", "differing"):
        moment = getattr(records, name)

        def meanwhile(*arguments, moment=moment, name=name):
            monkeypatch.setattr(records, name, moment)
            do("1", "second")
            return moment(*arguments)

        monkeypatch.setattr(records, name, meanwhile)
    do("2", "second")
    do("1", "second")
    assert sorted(made) == ["1 first", "1 second", "2 first", "2 second"]
    assert all(records.heal(str(tmp_path), f"masks.{k}-2") == "second" for k in "12")


# The data that a run draws itself.


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name",
    ["data/JPEGImages/val_000001.jpg", "data/SegmentationClassAug/train_000001.png", "data/image_labels.txt"]
    + ["done/data.json", "made/data.json", "data/classes.txt made/data.json"],
)
def test_damaged_data_are_what_they_were(tmp_path, capfd, monkeypatch, name, damage):
    """Texts are put back, and images drawn again."""
    experiment = experiments.changed(experiments.load("demo"), {"synthetic": dict(train=2, val=1)})

    def drawn():
        start._draw(experiment, str(tmp_path), str(tmp_path / "data"))
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    first = drawn()
    for each in name.split():
        damage(tmp_path / each)
    capfd.readouterr()
    assert drawn() == first
    said = capfd.readouterr().err
    is_silent = damage is deleted and name == "done/data.json"
    assert is_silent or f"{name.split()[-1]}: {SAID}; " in said
    monkeypatch.setattr(start.synthetic, "run", None)
    assert drawn() == first and capfd.readouterr() == ("", "")


def test_the_mark_of_drawn_data_is_the_same_on_every_file_system(tmp_path, monkeypatch):
    """Each lists a folder in an order of its own."""
    experiment = experiments.changed(experiments.load("demo"), {"synthetic": dict(train=2, val=1)})
    walk, marks = os.walk, []
    for order in (sorted, lambda each: sorted(each, reverse=True)):
        monkeypatch.setattr(os, "walk", lambda top, order=order: order(walk(top)))
        start._draw(experiment, str(tmp_path), str(tmp_path / "data"))
        marks.append((tmp_path / "done/data.json").read_text())
        shutil.rmtree(tmp_path / "made")
    assert marks[0] == marks[1]


def test_killed_once_the_data_are_drawn_the_next_start_goes_on(tmp_path, monkeypatch):
    """At each moment around their getting their name, and before there is a record of them."""
    experiment = experiments.changed(experiments.load("demo"), {"synthetic": dict(train=2, val=1)})
    rename = os.rename

    def killing(*_):
        raise Killed

    def renamed(*names):
        rename(*names)
        raise Killed

    for place, name, replacement in (
        (os, "rename", killing),
        (os, "rename", renamed),
        (records, "write_json", killing),
    ):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(place, name, replacement)
            start._draw(experiment, str(tmp_path), str(tmp_path / "data"))
        start._draw(experiment, str(tmp_path), str(tmp_path / "data"))
        assert len(os.listdir(tmp_path / "data/JPEGImages")) == 3
        assert records.heal(str(tmp_path), "data")
        for each in ("data", "made", "done"):
            shutil.rmtree(tmp_path / each)
