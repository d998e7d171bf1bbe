"""Runs a net of other authors on a data set as they did; writes its figures beside theirs, and a page."""

import functools
import glob
import json
import os
import sys
from collections.abc import Sequence
from typing import Optional

import numpy as np

from aepsl import cli
from aepsl.base import host
from aepsl.base.errors import InputError
from aepsl.base.files import digest, sha256, write_json, write_text
from aepsl.base.parallel import in_processes, in_threads
from aepsl.baselines import folder, profile, protocol, tables
from aepsl.data import check
from aepsl.data.dataset import Dataset
from aepsl.data.lists import shard
from aepsl.evaluation import evaluate, meaning
from aepsl.legacy.net import LegacyNet
from aepsl.nets import crf, geometry
from aepsl.paper.published import PAPERS_EXPERIMENT
from aepsl.report import page
from aepsl.settings import experiments
from aepsl.stages.segment import segmented, write_masks
from aepsl.store import digests, records
from aepsl.store.result import begin

CHECKSUMS = ("md5", "sha1", "sha256")


def run(
    name: str,
    model: str,
    data: str,
    deploy: Optional[str] = None,
    list_name: str = "val",
    changes: Sequence[str] = (),
    part: Optional[str] = None,
    workers: int = 1,
    gpu: Optional[list[int]] = None,
) -> Optional[dict]:
    """Segment the images of a list into runs/baselines/NAME and evaluate them; returns the content of results.json.

    name: of a profile; model: caffemodel, or a folder that has it and its prototxt `deploy`; data: root of the data
    set; changes: see profile.load; part: 'k/n' segments only that share, and returns None; workers: processes for the
    CRF. Masks of an interrupted call are kept. InputError, before any work, for files that do not fit.
    """
    how, (deploy, model) = profile.load(name, changes), files_of(model, deploy)
    dataset, out = Dataset(data), folder.path(how.name)
    ids, values = dataset.ids(list_name), how.values(dataset)
    dataset.check(ids, [evaluate.check_ids(dataset.mask_folder(), ids)])
    check.pictures(dataset, ids)
    net = _opened(how, deploy, model, len(values), gpu)
    used = dict(deploy=_identity(deploy, {}), weights=_identity(model, how.weights))
    word = digests.of_value([how.settings(), used, dataset.contents(ids, "images")])
    own = shard(ids, part)
    begin(out, word, folder.PATTERNS, part and set(own))
    records.heal(out, folder.JOB)
    _segment(net, how, dataset, own, np.array(values, np.uint8), out, workers)
    if part:
        return None
    found = dict(baseline=how.name, title=how.title, list=list_name, images=len(ids))
    found.update(rows=_evaluated(dataset, ids, out, how), published=[dict(each) for each in how.published])
    made_on, read = host.made_on(gpus=len(gpu or ())), list(net.legacy.changes)
    found.update(profile=how.settings(), changes=read, host=made_on, **used)
    write_json(os.path.join(out, "results.json"), found)
    folder.keep(how.name, word, dataset, ids, _kinds(how))
    text = page.rendered("compare.html", reference=f"{how.title} as published", tables=tables.of_baseline(found))
    write_text(os.path.join(out, "index.html"), text)
    return found


def files_of(model: str, deploy: Optional[str] = None) -> tuple[str, str]:
    """(prototxt, caffemodel); model: the caffemodel, or a folder that has one, and the one prototxt unless `deploy`."""
    if os.path.isdir(model):
        deploy, model = deploy or _only(model, "*.prototxt", "DEPLOY="), _only(model, "*.caffemodel", "MODEL=")
    if not deploy:
        raise InputError(f"{model}: which net is it of? DEPLOY= names its prototxt, or MODEL= a folder that has both")
    return deploy, model


def _only(where, pattern, option):
    found = sorted(glob.glob(os.path.join(glob.escape(where), pattern)))
    if len(found) != 1:
        names = ", ".join(map(os.path.basename, found)) or "none"
        raise InputError(f"{where}: one {pattern} is needed, it has {names}; name the file with {option}")
    return found[0]


def _opened(how, deploy, model, channels, gpu):
    """The LegacyNet; InputError unless it takes the profile's sizes. Changes of the net in reading are printed."""
    experiment = experiments.load(PAPERS_EXPERIMENT)
    net = LegacyNet(experiment, deploy, how.scores, model, channels, gpu=gpu, variables=how.define)
    side, remedy = how.pad, "--set pad= gives another"
    if how.tiles:
        side, remedy = how.tiles.side, "--set tiles.side= gives another"
    if side and net.legacy.only not in (None, (side, side)):
        only = " x ".join(map(str, net.legacy.only[::-1]))
        raise InputError(f"{deploy}: takes {only} pixels alone, and {how.name} gives it {side}; {remedy}")
    try:
        geometry.shapes(net.legacy.net, *(side, side) if side else net.legacy.input.size())
    except geometry.Unfit as unfit:
        raise InputError(f"{deploy}: does not take {side} x {side} pixels: {unfit}; {remedy}") from None
    return net


def _identity(path, published):
    """{"file", "sha256"} and, if the profile has a checksum, "as_published": whether it is the file's."""
    found = dict(file=os.path.basename(path), sha256=sha256(path))
    known = {kind: published[kind] for kind in CHECKSUMS if kind in published}
    if known:
        found["as_published"] = all(digest(path, kind) == value for kind, value in known.items())
        if not found["as_published"]:
            line = ", ".join(f"{kind} {value}" for kind, value in known.items())
            print(f"{path}: is not the file that its authors published ({line})", file=sys.stderr)
    return found


def _segment(net, how, dataset, ids, values, out, workers):
    more = dict(normalization=how.crf.normalization, least=how.crf.least) if how.crf else {}
    refined = functools.partial(crf.refined, settings=how.crf, **more)
    of_net = lambda image, image_id: protocol.probabilities(net, image, how, image_id)  # noqa: E731
    folders = [os.path.join(out, kind) for kind in _kinds(how)]
    in_processes(write_masks, segmented(dataset, ids, folders, values, of_net, refined), workers)


def _kinds(how):
    """The kinds of masks of a profile: those with CRF only if it has one."""
    return folder.KINDS if how.crf else folder.KINDS[:1]


def _evaluated(dataset, ids, out, how):
    """{"plain": evaluate.run's result, "crf": the same with CRF, None if the profile has no CRF}."""
    names = ["background", *dataset.classes]
    calls = [(os.path.join(out, kind), dataset.mask_folder(), ids, dataset.values, names) for kind in _kinds(how)]
    meaning.check_folder(*calls[-1], as_given=True)
    return {**dict.fromkeys(folder.KINDS), **dict(zip(_kinds(how), in_threads(evaluate.run, calls)))}


def _options():
    helps = dict(model="caffemodel, or a folder with it and its prototxt", deploy="its prototxt", data="the data set")
    parser = cli.parser(__doc__, "shard gpu", places=lambda asked: dict(written=folder.path(asked.name)))
    parser.add_argument("name", help="of a profile, prototxt/legacy/NAME.yaml")
    for key, text in helps.items():
        parser.add_argument("--" + key, default=os.environ.get(key.upper()) or None, help=text)
    parser.add_argument("--list", dest="list_name", default="val", help="its name, or the path of a list of ids (val)")
    several = dict(nargs="+", default=[])
    parser.add_argument("--set", dest="changes", metavar="KEY=VALUE", help="replaces a value of the profile", **several)
    parser.add_argument("--define", type=cli.pair, metavar="NAME=VALUE", help="${NAME} of the prototxt", **several)
    parser.add_argument("--workers", type=cli.number(1, 256), default=1, help="processes for the CRF (this one)")
    gpus = ",".join(map(str, range(cli.count(os.environ.get("GPU") or ""))))  # in the container counted from 0
    parser.set_defaults(gpu=gpus or None)
    return parser


def main(argv: Optional[list[str]] = None) -> None:
    asked = _options().parse_args(argv)
    for key in ("name", "model", "data"):
        if not getattr(asked, key):
            raise InputError(f"{key.upper()}= is needed: make baseline NAME=fcn8s MODEL=net/ DATA=data/voc12")
    experiments.checked_name(asked.name)
    asked.changes = [*asked.changes, *(f"define.{key}={json.dumps(value)}" for key, value in vars(asked).pop("define"))]
    found = run(**vars(asked))
    if found:
        print("\n\n".join(table.text() for table in reversed(tables.of_baseline(found))))
        print(f"\nThe same to look at: {folder.path(found['baseline'], 'index.html')}")
