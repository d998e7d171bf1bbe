"""What is done again, and what is not: contents and settings count, neither paths nor times.

One small experiment is run once. Then one thing at a time is changed, and what would be done is compared with a table.
"""

import json
import os
import re
import shutil

import cv2
import pytest
import yaml
from caffe.proto import caffe_pb2

import standins
from aepsl.base.locks import only_one
from aepsl.graph.graph import Graph
from aepsl.images.pictures import read_indexed, write_grey, write_mask
from aepsl.settings import experiments
from aepsl.stages import mine
from small_run import NO_PAGE, STEP, TINY, Run, results_of

MASKS = "masks background segmentation. relabel segment. results"
PSL = "segmentation.psl relabel segment.val.psl results"
SEGMENTED = "relabel segmentation.psl++ segment. results"
NETS = "classification mine shares thresholds " + MASKS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("identity"))


@pytest.fixture(scope="module")
def everything(run):
    """All stages."""
    shutil.move(run.tree / "runs/tiny", run.tree / "aside")
    stages = run.planned()
    shutil.move(run.tree / "aside", run.tree / "runs/tiny")
    return stages


def chosen(everything, names):
    """The stages that begin with one of the names."""
    return {stage for stage in everything if any(stage.startswith(name) for name in names.split())}


def test_a_finished_run_has_nothing_to_do_and_prints_its_tables(run, everything):
    assert "IoU on val" in run.output and "IoU on val" in run.start()
    assert len(everything) == 21
    assert run.planned() == set()


@pytest.mark.parametrize(
    "change, redone",
    [
        (dict(crf=dict(iterations=5)), SEGMENTED),
        (dict(crf=dict(bilateral=dict(xy=30))), SEGMENTED),
        (dict(psl=dict(prohibited=0.2)), SEGMENTED),
        (dict(psl=dict(v="of_max")), "segmentation.psl " + SEGMENTED),
        (dict(mining=dict(max_converged_loss=0.2)), "results"),
        (dict(mining=dict(sensitivity=[dict(of_max=0.6)])), "thresholds results"),
        (dict(mining=dict(threshold=dict(of_max=0.7))), "mine shares background classification.step2 " + MASKS),
        (dict(mining=dict(merge=1)), "background " + PSL),
        (dict(rows=["ae_step1", "psl"]), "results"),
        (dict(background=dict(threshold=0.1)), MASKS),
        (dict(background=dict(detector="drfi")), ""),  # the user's maps come first
        (dict(background=dict(indoor_classes=["marbit"])), MASKS),
        (dict(segmentation_start="step1"), "segmentation. relabel segment. results"),
        (dict(psl_start="step1"), PSL),
        (dict(psl_start="ae_step1"), PSL),
        (dict(psl_start="ae_step1+step1"), PSL),
        (dict(psl_start="initial"), ""),
        (dict(training=dict(psl=dict(STEP, lr=0.02))), PSL),
        (dict(training=dict(segmentation=dict(STEP, decay=0))), "segmentation.ae segment.val.ae results"),
        (dict(training=dict(classification=dict(STEP, epochs=2))), NETS),
        (dict(seed=2), NETS),
        (dict(seed=dict(data=2)), ""),  # of data that the run draws
        (dict(seed=dict(training=2)), NETS),
        (dict(seed=dict(report=2)), "mine shares classification.step2 " + MASKS),  # which images' maps are kept
        (dict(threads=2), NETS),
        (dict(data=dict(scale=0.6)), NETS),
        (dict(data=dict(workers=3)), ""),
        (dict(new_layer_lr=5), NETS),
    ],
    ids=str,
)
def test_a_setting_redoes_what_depends_on_it_and_no_more(run, everything, change, redone):
    before = run.yaml.read_text()
    settings = yaml.safe_load(before)
    try:
        run.yaml.write_text(yaml.safe_dump(laid_over(settings, change)))
        planned = run.planned()
    finally:
        run.yaml.write_text(before)
    assert planned == chosen(everything, redone)  # asking for the ones before has changed nothing


def laid_over(settings, change):
    """`settings` with `change` over it, key by key."""
    if not isinstance(change, dict) or not isinstance(settings, dict) or "of_max" in change:
        return change
    return {**settings, **{key: laid_over(settings.get(key, {}), value) for key, value in change.items()}}


@pytest.mark.long
def test_without_the_users_maps_the_detector_counts(run, everything):
    run.start(*NO_PAGE, SALIENCY="")
    assert run.planned(SALIENCY="") == set()
    before = run.yaml.read_text()
    try:
        for detector in ("drfi", "truth"):
            run.yaml.write_text(before + f"background: {{detector: {detector}}}\n")
            assert run.planned(SALIENCY="") == chosen(everything, "saliency " + MASKS)
        run.start(*NO_PAGE, SALIENCY="")
        assert run.planned(SALIENCY="") == set()
        another_mask(run, "train_000003")  # of which the truth is made
        assert run.planned(SALIENCY="") == chosen(everything, "saliency shares thresholds " + MASKS)
    finally:
        run.yaml.write_text(before)
        run.start(*NO_PAGE)


def another_mask(run, image_id):
    path = run.data / f"SegmentationClassAug/{image_id}.png"
    mask = read_indexed(str(path))
    mask[:30] = 255
    write_mask(str(path), mask)


def another_image(run, image_id):
    path = str(run.data / f"JPEGImages/{image_id}.jpg")
    cv2.imwrite(path, 255 - cv2.imread(path))


def another_map(run):
    path = str(run.maps / "train_000002.png")
    write_grey(path, 255 - read_indexed(path))


def another_label(run, image_id):
    path = run.data / "image_labels.txt"
    name = "quillow" if f"{image_id} quillow" not in path.read_text() else "marbit"
    path.write_text(re.sub(f"({image_id}) .*", rf"\1 {name}", path.read_text()))


def more_space(run):
    path = run.data / "image_labels.txt"
    path.write_text(path.read_text().replace(" ", "  "))


def a_shorter_val(run):
    path = run.data / "ImageSets/Segmentation/val.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


def another_time(run):
    for path in [*run.data.rglob("*"), run.weights, *run.maps.iterdir()]:
        os.utime(path, (1e9, 1e9))


def other_weights(run):
    standins.write_vgg(str(run.weights), TINY["channels"], fc=4 * TINY["fc"], outputs=5)


def a_broken_neighbour(run):
    (run.tree / "prototxt/demo2").mkdir()
    (run.tree / "prototxt/demo2/experiment.yaml").write_text("net: [")


def copy(path, target):
    """Make `target` a copy of the file or folder `path`, with times of its own."""
    if path.is_file():
        shutil.copy(path, target)
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(path, target, copy_function=shutil.copy)


@pytest.mark.parametrize(
    "change, redone",
    [
        (lambda run: another_mask(run, "val_000001"), "results"),
        (lambda run: another_mask(run, "train_000001"), "shares background thresholds results"),
        (lambda run: another_image(run, "val_000001"), "segment.val results"),
        (lambda run: another_image(run, "train_000001"), "saliency " + NETS),
        (lambda run: another_label(run, "val_000001"), "segment.val.psl+gt"),
        (lambda run: another_label(run, "train_000001"), NETS),
        (a_shorter_val, "segment.val results"),
        (another_map, "saliency " + MASKS),
        (other_weights, "surgery " + NETS),
        (more_space, ""),
        (another_time, ""),
        (a_broken_neighbour, ""),
    ],
)
def test_an_input_redoes_what_depends_on_its_contents_and_no_more(run, everything, change, redone, tmp_path):
    """Changed in place, under the same path."""
    paths = [run.data, run.maps, run.weights]
    for path in paths:
        copy(path, tmp_path / path.name)
    try:
        change(run)
        planned = run.planned()
    finally:
        for path in paths:  # put back, by copies with other times
            copy(tmp_path / path.name, path)
    redone += " results" if "segment.val.psl+gt" in redone else ""
    assert planned == chosen(everything, redone)


def test_layers_that_are_drawn_are_drawn_anew_with_another_seed(run, tmp_path):
    """Of weights without fc6 and fc7: the seed is what they are made of; of whole ones it is not, see above."""
    other = Run.__new__(Run)
    vars(other).update(vars(run), tree=shutil.copytree(run.tree, tmp_path / "tree"))
    net = caffe_pb2.NetParameter()
    net.ParseFromString(run.weights.read_bytes())
    for layer in [layer for layer in net.layers if layer.name.startswith("fc")]:
        net.layers.remove(layer)
    convs = tmp_path / "convs.caffemodel"
    convs.write_bytes(net.SerializeToString())
    assert "drawn from seed 1" in other.start("--until", "surgery", WEIGHTS=str(convs))
    planned = other.planned(WEIGHTS=str(convs))
    assert "surgery" not in planned and "classification.step1" in planned
    settings = other.tree / "prototxt/tiny/experiment.yaml"
    settings.write_text(yaml.safe_dump(laid_over(yaml.safe_load(settings.read_text()), dict(seed=2))))
    assert "surgery" in other.planned(WEIGHTS=str(convs))


def test_the_same_bytes_elsewhere_redo_nothing(run, tmp_path):
    shutil.copytree(run.data, tmp_path / "moved data")
    shutil.copytree(run.maps, tmp_path / "maps")
    shutil.copy(run.weights, tmp_path / "w.caffemodel")
    moved = dict(DATA=f"{tmp_path}/moved data", SALIENCY=f"{tmp_path}/maps", WEIGHTS=f"{tmp_path}/w.caffemodel")
    assert run.planned(**moved) == set()
    run.start(*NO_PAGE, **moved)
    assert run.planned() == set()


@pytest.mark.parametrize("environment", [dict(CORES="1"), dict(CORES="8"), dict(GPU="0,1"), dict(ROW="psl")], ids=str)
def test_how_it_is_run_redoes_nothing(run, environment):
    assert run.planned(**environment) == set()


def test_asking_changes_no_file(run, tmp_path):
    before = run.files()
    run.start("-n", TMPDIR=str(tmp_path))
    done = run.command("run", "tiny", "all", "-n", "--until", "results", TMPDIR=str(tmp_path))
    assert done.returncode == 1 and done.stderr.startswith(
        "error: -n: tells what would be done, and cannot be combined with --until"
    )
    assert not list(tmp_path.iterdir())
    for command in (["status", "tiny"], ["plan", "tiny"], ["plan", "new", "--data", str(run.data)]):
        done = run.command(*command)
        assert done.returncode == 0 and done.stdout, done.stderr
    assert run.files() == before


def test_a_report_changes_its_own_folder_alone_and_nothing_is_made_of_it(run):
    page = run.tree / "runs/tiny/report/index.html"
    run.start()
    before = run.files()
    first = before.pop(page)[0]  # a run ends with its report
    done = run.command("report", "tiny")
    assert done.returncode == 0 and done.stdout, done.stderr
    after = run.files()
    assert after.pop(page)[0] == first and after == before
    done = run.command("report", "tiny", "--format", "md")
    assert done.returncode == 0 and "| psl++ |" in done.stdout, done.stderr
    page.write_text("another")
    assert run.planned() == set() and page.read_text() == "another"
    shutil.rmtree(page.parent)
    assert run.planned() == set() and not page.parent.exists()


@pytest.mark.long
def test_maps_that_a_run_did_not_keep_are_not_made_for_their_own_sake(run):
    """As in a run of an earlier version, whose records do not name them; where the stage looks anyway, they come."""
    folders = [
        run.tree / "runs/tiny" / name for name in ("step1/regions/heat", "step2/regions/heat", "relabelled/psl/s_hat")
    ]
    kept = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    assert len(kept) == 3 * mine.SHOWN
    regions = results_of(run)
    for folder, stage in zip(folders, ("mine.step1", "mine.step2", "relabel.psl")):
        shutil.rmtree(folder)
        for path in (run.tree / "runs/tiny/made").glob(f"{stage}.*"):
            record = json.loads(path.read_text())
            record["files"] = {
                name: value for name, value in record["files"].items() if folder.name not in name.split("/")
            }
            path.write_text(json.dumps(record))
    assert run.planned() == set()
    run.start()
    assert not any(folder.exists() for folder in folders)
    assert "not kept" in (run.tree / "runs/tiny/report/index.html").read_text()
    for stage in ("mine.step1", "mine.step2", "relabel.psl"):  # each looks for itself
        for path in (run.tree / "runs/tiny/made").glob(f"{stage}.*"):
            path.unlink()
    run.start(*NO_PAGE)
    assert {path: path.read_bytes() for path in kept} == kept
    assert {path: regions[path] for path in regions if path.parent not in folders}.items() <= results_of(run).items()
    assert run.planned() == set()


def test_a_second_start_is_refused_before_it_changes_anything(run):
    settings = run.yaml.read_text()
    with only_one(str(run.tree / "runs/tiny")):
        before = run.files()
        run.yaml.write_text(settings + "\n")
        done = run.command("run", "tiny", "all")
        run.yaml.write_text(settings)
        assert {path: each[0] for path, each in run.files().items()} == {path: each[0] for path, each in before.items()}
    assert done.returncode == 1 and "another command is filling it" in done.stderr and done.stderr.count("\n") == 1
    assert run.planned() == set()


def test_a_second_start_while_the_first_works_is_refused_and_disturbs_nothing(run):
    """The first holds its lock also once snakemake has taken its process' place."""
    before = results_of(run)
    shutil.rmtree(run.tree / "runs/tiny/step1/classification")
    first = run.begin("run", "tiny", "all", *NO_PAGE)
    assert any("  classification.step1" in line for line in iter(first.stdout.readline, ""))
    done = run.command("run", "tiny", "all", *NO_PAGE)
    assert first.poll() is None
    assert done.returncode == 1 and done.stderr.startswith("error: runs/tiny: another command is filling it; ")
    assert done.stderr.count("\n") == 1 and not done.stdout
    output = first.communicate()[0]
    assert first.returncode == 0 and "error" not in output, output
    assert results_of(run) == before and run.planned() == set()


def test_killed_before_its_mark_a_training_is_not_begun_again(run):
    folder = run.tree / "runs/tiny/segmentation/psl"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    for name in ("made/segmentation.psl", "done/segmentation.psl", "done/segment.val.psl.1-2", "done/results"):
        (run.tree / f"runs/tiny/{name}.json").unlink()
    assert "segment.val.psl.2-2: is there already, made of the same" in run.start(*NO_PAGE)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert run.planned() == set()


@pytest.mark.long
def test_without_snakemakes_records_nothing_is_done_again(run):
    """The run's folder as it was copied without hidden files, with other times."""
    before = results_of(run)
    times = {path: path.stat().st_mtime_ns for path in before}
    shutil.rmtree(run.tree / "runs/tiny/.snakemake")
    for path in (run.tree / "runs/tiny/done").iterdir():
        os.utime(path, (1e9 + len(path.name), 1e9 + len(path.name)))
    assert "every stage is done already" in run.start()
    assert {path: path.stat().st_mtime_ns for path in before} == times and results_of(run) == before
    assert run.planned() == set()


@pytest.mark.long
def test_other_shards_make_nothing_again(run):
    before = results_of(run)
    settings = run.yaml.read_text()
    run.yaml.write_text(settings + "shards: 3\n")
    run.start(*NO_PAGE)
    run.yaml.write_text(settings)
    assert results_of(run) == before
    run.start(*NO_PAGE)
    assert results_of(run) == before


def test_mended_masks_of_val_make_new_tables_of_the_same_segmentations(run):
    before = results_of(run)
    table = rows_of(run)
    another_mask(run, "val_000002")
    run.start(*NO_PAGE)
    assert results_of(run) == before and rows_of(run) != table
    assert run.planned() == set()


def rows_of(run):
    return json.loads((run.tree / "runs/tiny/results.json").read_text())["rows"]


@pytest.mark.long
def test_any_number_of_cores_gives_the_same_bytes(run):
    before = results_of(run)
    for cores in ("1", "8"):
        shutil.rmtree(run.tree / "runs/tiny")
        run.start(*NO_PAGE, CORES=cores)
        assert results_of(run) == before


def submitted(run, *options, **environment):
    done = run.command("run", "tiny", "submission", *options, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_without_a_test_list_the_archive_is_of_val_and_follows_its_images(run, tmp_path):
    submitted(run)
    assert "segment.test.psl++" not in submitted(run, "-n")
    copy(run.data, tmp_path / "data")
    try:
        another_image(run, "val_000001")
        again = submitted(run, "-n")
    finally:
        copy(tmp_path / "data", run.data)
    assert "segment.test.psl++.1-2" in again and "segmentation." not in again
    assert "segment.test.psl++" not in submitted(run, "-n")


@pytest.mark.parametrize("row", ["psl+gt", "psl_no_policy", "psl_labels", "calibration"])
def test_every_row_can_be_asked_for_as_an_archive(run, row):
    said = submitted(run, "-n", ROW=row)
    assert f"  segment.test.{row}.1-2" in said


def test_an_archive_of_a_list_that_is_missing_is_refused_before_anything_is_made(run):
    before = run.yaml.read_text()
    try:
        run.yaml.write_text(yaml.safe_dump(laid_over(yaml.safe_load(before), dict(data=dict(test="test")))))
        done = run.command("run", "tiny", "submission", ROW="psl_labels")
    finally:
        run.yaml.write_text(before)
    assert done.returncode == 1 and "test.txt: no such list" in done.stderr and done.stderr.count("\n") == 1
    assert not (run.tree / "runs/tiny/segmentation/psl_labels").exists()


def test_a_calibration_takes_the_settings_of_reproduce(run):
    """Several rows too, though it trains none of them."""
    done = run.command("run", "tiny", "calibrate", "-n", ROW="psl,psl+gt")
    assert "  segment.val.calibration.1-2" in done.stdout and "psl" not in done.stdout


def test_a_run_is_shown_with_the_settings_that_it_was_made_with(run):
    """They stand in its folder, whole; what is edited later counts from the next start on, and a line says so."""
    before = run.yaml.read_text()
    kept = yaml.safe_load((run.tree / "runs/tiny/experiment.yaml").read_text())
    assert kept == experiments.of_file(str(run.yaml), "tiny").settings() and "base" not in kept
    printed = run.command("report", "tiny", "--format", "md").stdout
    assert "| data.crop | 57 |" in printed
    try:
        run.yaml.write_text(yaml.safe_dump(laid_over(yaml.safe_load(before), dict(data=dict(crop=65)))))
        now = run.command("report", "tiny", "--format", "md").stdout
        (note,) = [part for part in now.split("\n\n") if "today `data.crop` of experiment.yaml differ" in part]
        assert now.replace(note + "\n\n", "") == printed
        assert "classification.step1" in run.planned() and "classification.step1" in note
        assert yaml.safe_load((run.tree / "runs/tiny/experiment.yaml").read_text()) == kept
    finally:
        run.yaml.write_text(before)


def test_psl_plus_plus_waits_longest():
    """So what it waits for goes first, beside nets that only their own row waits for."""
    graph = Graph(experiments.load("voc12"))
    waits = graph.longest(dict.fromkeys(graph.stages, 10))
    assert min(waits["relabel.psl"], waits["segmentation.psl"]) > waits["segmentation.psl_labels"]
    assert waits["segmentation.psl_labels"] == waits["segmentation.psl_none"] == 30  # it, its row, the results
    assert waits["relabel.psl"] == 40


@pytest.mark.long
def test_what_waits_longest_starts_first(run):
    before = run.yaml.read_text()
    try:
        run.yaml.write_text(
            yaml.safe_dump(dict(yaml.safe_load(before), rows=["psl", "psl_labels", "psl_none", "psl++"]))
        )
        shutil.rmtree(run.tree / "runs/tiny/relabelled")
        said = run.start(*NO_PAGE, CORES="1")
    finally:
        run.yaml.write_text(before)
        run.start(*NO_PAGE)
    begun = re.findall(r"^ *\d+ s +\d+/\d+  (.*)$", said, re.MULTILINE)
    assert set(begun[:2]) == {"relabel.psl 1 2", "relabel.psl 2 2"} and "segmentation.psl_labels" in begun


def test_some_rows_are_made_with_what_they_need_and_what_is_done_stays(run):
    """psl learns anew: without psl++, whose masks it makes. Rows that are still valid keep their figures."""
    results, before = run.tree / "runs/tiny/results.json", run.yaml.read_text()
    whole = json.loads(results.read_text())["rows"]
    assert run.planned(ROW="psl") == set()
    settings = yaml.safe_load(before)
    try:
        run.yaml.write_text(yaml.safe_dump(laid_over(settings, dict(training=dict(psl=dict(STEP, lr=0.02))))))
        run.command("build", "tiny")
        assert run.planned(ROW="psl") == {"segmentation.psl", "segment.val.psl", "results"}
        run.start(ROW="psl")
        found = json.loads(results.read_text())["rows"]
        assert list(found) == ["ae_step1", "psl"] and found["ae_step1"] == whole["ae_step1"]
        assert "made anew" not in submitted(run, ROW="psl")  # neither are the results
        assert "before the last start" not in run.command("report", "tiny", "--format", "md").stdout
        for row in ("psl++", "ae_step1"):
            assert (run.tree / f"runs/tiny/val/{row}/crf").is_dir()
    finally:
        run.yaml.write_text(before)
        run.command("build", "tiny")
        run.start(*NO_PAGE)
    assert json.loads(results.read_text())["rows"] == whole
    shutil.move(run.tree / "runs/tiny", run.tree / "aside")
    first = "classification.step1 mine.step1 shares.step1 masks.ae_step1 segmentation.ae_step1 segment.val.ae_step1"
    assert run.planned(ROW="ae_step1") == {*first.split(), "saliency", "surgery", "thresholds", "background", "results"}
    shutil.rmtree(run.tree / "runs/tiny", ignore_errors=True)
    shutil.move(run.tree / "aside", run.tree / "runs/tiny")
