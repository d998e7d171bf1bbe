"""Downloads from a real server with faults, and archives with malice in them."""

import hashlib
import io
import itertools
import os
import subprocess
import sys
import tarfile
import urllib.parse

import pytest
import yaml

import standins
from aepsl.base.errors import InputError
from aepsl.base.locks import only_one
from aepsl.data import archives, download, source_table

NAME = "thing.bin"
CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
always = itertools.repeat


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0)


@pytest.fixture
def served(tmp_path):
    """A folder with one file, to be served."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def entry(*servers, **changes):
    """The file's entry in the table of sources; a change to None removes a key."""
    urls = [f"{server if isinstance(server, str) else server.url}/{NAME}" for server in servers]
    return {k: v for k, v in {"urls": urls, "size": len(CONTENT), "sha256": SHA256, **changes}.items() if v is not None}


def run(out, *servers, **changes):
    path = str(out) + ".yaml"
    with open(path, "w") as file:
        yaml.safe_dump({"files": {NAME: entry(*servers, **changes)}}, file)
    download.run([NAME], str(out), path)


def refused(out, *servers, **changes):
    """The one line of a start that must fail."""
    with pytest.raises(InputError) as error:
        run(out, *servers, **changes)
    assert "\n" not in str(error.value) and str(out / NAME) in str(error.value)
    return str(error.value)


def test_a_file_comes_once(served, out):
    with standins.Server(served) as server:
        run(out, server)
        assert (out / NAME).read_bytes() == CONTENT and os.listdir(out) == [NAME]
        run(out, server)
        assert server.requests == [(NAME, 0)]


def test_the_kinds_of_checksum(served, out):
    for kind in ("md5", "sha384"):
        right = hashlib.new(kind, CONTENT).hexdigest()
        with standins.Server(served) as server:
            run(out, server, sha256=None, **{kind: right})
            (out / NAME).unlink()
            assert f"has the {kind} {right}, not {right[::-1]}" in refused(out, server, **{kind: right[::-1]})
            assert os.listdir(out) == []


def test_nothing_is_fetched_without_a_checksum(served, out):
    with standins.Server(served) as server:
        assert "no checksum" in refused(out, server, sha256=None)
        assert server.requests == []
        run(out, server, sha256=None, size=None, unchecked="none is published")
    assert (out / NAME).read_bytes() == CONTENT


def test_a_connection_that_breaks_is_taken_up_in_the_same_start(served, out):
    with standins.Server(served, {NAME: [("cut", 300000), ("cut", 300000), "503"]}) as server:
        run(out, server)
        assert server.requests == [(NAME, 0), (NAME, 300000), (NAME, 600000), (NAME, 600000)]
        assert server.sent[NAME] == len(CONTENT)
    assert (out / NAME).read_bytes() == CONTENT


def test_the_next_start_continues_where_the_last_one_ended(served, out):
    with standins.Server(served, {NAME: itertools.chain([("cut", 700000)], always("503"))}) as server:
        line = refused(out, server)
        assert "answers 503" in line and "the 700,000 bytes that came are kept" in line
        assert os.listdir(out) == [NAME + ".part"]
    with standins.Server(served) as server:
        run(out, server)
        assert server.requests == [(NAME, 700000)] and server.sent[NAME] == len(CONTENT) - 700000
    assert (out / NAME).read_bytes() == CONTENT and os.listdir(out) == [NAME]


def test_a_server_without_range_sends_all_anew(served, out):
    with standins.Server(served, {NAME: [("cut", 700000), "no range"]}) as server:
        run(out, server)
        assert server.sent[NAME] == 700000 + len(CONTENT)
    assert (out / NAME).read_bytes() == CONTENT


def test_a_part_that_is_whole_already(served, out):
    out.mkdir()
    (out / (NAME + ".part")).write_bytes(CONTENT)
    with standins.Server(served) as server:
        run(out, server)
        assert NAME not in server.sent
    assert (out / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT), len(CONTENT) + 1])
def test_a_spoilt_part_is_no_fault_of_the_server(size, served, out):
    out.mkdir()
    (out / (NAME + ".part")).write_bytes(b"x" * size)
    with standins.Server(served) as server:
        run(out, server)
    assert (out / NAME).read_bytes() == CONTENT


def test_bytes_are_taken_as_sent_whatever_encoding_the_header_claims(served, out):
    with standins.Server(served, {NAME: always("gzip")}) as server:
        run(out, server)
    assert (out / NAME).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing_and_the_next_start_begins_anew(served, out):
    with standins.Server(served, {NAME: [("corrupt", 5)]}) as server:
        line = refused(out, server)
        assert "has the sha256 " in line and SHA256 in line
        assert os.listdir(out) == [] and len(server.requests) == 1
        run(out, server)
        assert server.requests[1:] == [(NAME, 0)]
    assert (out / NAME).read_bytes() == CONTENT


def test_mirrors_stand_in_for_each_other(served, tmp_path, out):
    """One is gone, one sends another file, one a wrong byte, one breaks off: the last ends what that one began."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / NAME).write_bytes(b"<html>please log in</html>")
    with standins.Server(served) as gone:
        pass
    page, wrong = standins.Server(tmp_path / "other"), standins.Server(served, {NAME: [("corrupt", 9)]})
    cut, good = standins.Server(served, {NAME: always(("cut", 400000))}), standins.Server(served)
    with page, wrong, cut, good:
        run(out, gone, page, wrong, cut, good)
        assert good.requests == [(NAME, 400000)]
    assert (out / NAME).read_bytes() == CONTENT


def test_a_page_in_the_files_place_costs_nothing_that_came(served, tmp_path, out):
    """Networks with a login answer every request with a page."""
    with standins.Server(served, {NAME: itertools.chain([("cut", 700000)], always("503"))}) as server:
        refused(out, server)
    (served / NAME).write_bytes(b"<html>please log in</html>")
    with standins.Server(served, {NAME: always("no range")}) as server:
        line = refused(out, server)
    assert "sends a file of 26 bytes, not 1,024,000" in line and "700,000 bytes that came are kept" in line


def test_a_start_ends_where_what_came_is_lost_again_and_again(served, out):
    """Half of the file comes, then a wrong rest, and so on."""
    faults = itertools.islice(itertools.cycle([("cut", 400000), ("corrupt", 500000)]), 40)
    with standins.Server(served, {NAME: faults}) as server:
        refused(out, server)
        assert len(server.requests) < 12


def test_no_mirror_answers(served, out):
    with standins.Server(served) as gone:
        pass
    with standins.Server(served, {NAME: always("404")}) as server:
        line = refused(out, gone, server)
        assert f"{gone.url}/{NAME} cannot be reached; {server.url}/{NAME} answers 404" in line
        assert "Check the network" in line and len(server.requests) == download.ROUNDS
    assert os.listdir(out) == []


def test_a_file_that_must_be_had_by_hand(out, capsys):
    assert refused(out, by_hand="register and ask").endswith("cannot be downloaded: register and ask")
    table = source_table.load(str(out) + ".yaml")
    download.run([NAME], str(out), table["path"], optional=True)
    assert "register and ask" in capsys.readouterr().err
    (out / NAME).write_bytes(CONTENT)
    run(out, by_hand="register and ask")


def test_a_users_own_file_is_checked_and_never_removed(served, out):
    out.mkdir()
    (out / NAME).write_bytes(b"mine")
    with standins.Server(served) as server:
        assert "has 4 bytes, not 1,024,000; remove it" in refused(out, server)
        assert server.requests == []
    assert (out / NAME).read_bytes() == b"mine"


def test_a_disk_too_small_is_seen_before_anything_is_asked_for(served, out):
    with standins.Server(served) as server:
        with pytest.raises(InputError, match=f"{out}: the disk is full: 10{{12}} MB are needed next .*; make room"):
            run(out, server, size=10**18)
        assert server.requests == []


def test_a_disk_that_fills_up_keeps_what_came(served, out):
    """A limit on the size of files makes write() fail as a full disk does, in the middle of a piece."""
    with standins.Server(served) as server:
        with open(str(out) + ".yaml", "w") as file:
            yaml.safe_dump({"files": {NAME: entry(server, size=None)}}, file)
        limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (600123, -1)); "
        start = "from aepsl.data import download; from aepsl.cli import command; command(download.main)"
        arguments = [NAME, "--out", str(out), "--sources", str(out) + ".yaml"]
        full = subprocess.run([sys.executable, "-c", limited + start, *arguments], stderr=subprocess.PIPE, text=True)
        assert full.returncode == 1 and full.stderr.count("\n") == 1
        assert f"error: {out / NAME}.part: File too large after 600,123 bytes; they are kept. Make room" in full.stderr
        done = subprocess.run(
            [sys.executable, "-m", "aepsl", "download", *arguments], stderr=subprocess.PIPE, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert server.requests == [(NAME, 0), (NAME, 600123)]
    assert (out / NAME).read_bytes() == CONTENT


def test_two_starts_at_once(served, out):
    out.mkdir()
    with standins.Server(served) as server, only_one(str(out)):
        with pytest.raises(InputError, match="another command is filling it"):
            run(out, server)
        assert server.requests == []


TABLES = {
    "a: [": "not YAML",
    "just words": "must hold lines",
    "a: 1": "'files' is a required property",
    "files: [a]": "files: .* is not of type 'object'",
    "files: {a: b}": "files.a: 'b' is not of type 'object'",
    "files: {a: {urls: b}}": "files.a.urls: 'b' is not of type 'array'",
    "files: {a: {size: big}}": "files.a.size: 'big' is not of type 'integer'",
    "files: {a: {sha256: 12}}": "files.a.sha256: 12 is not of type 'string'",
    "files: {a: {unpack: {folder: b}}}": "files.a.unpack: 'from' is a required property",
    "files: {a: {unpack: {folder: ../b, from: c}}}": "files.a.unpack.folder: '../b' does not match",
    "files: {../a: {}}": "files: '../a' does not match",
    "files: {..: {}}": "files: '..' does not match",
    "files: {1: {}}": "files: 1 is not of type 'string'",
    "files: {}\nexpected: 3": "expected: 3 is not of type 'object'",
}


def test_a_table_that_is_none(tmp_path, monkeypatch):
    path = str(tmp_path / "table.yaml")
    for text, message in (*TABLES.items(), (None, "no such file")):
        if text:
            with open(path, "w") as file:
                file.write(text)
        elif os.path.exists(path):
            os.unlink(path)
        with pytest.raises(InputError, match=message) as error:
            source_table.load(path)
        assert path in str(error.value) and "\n" not in str(error.value)
    monkeypatch.setenv("SOURCES", path)
    with pytest.raises(InputError, match="no such file"):
        source_table.load()
    monkeypatch.delenv("SOURCES")
    with pytest.raises(InputError, match="does not list nothing.tar; it lists VOCtrainval"):
        source_table.entry(source_table.load(), "nothing.tar")


def test_every_file_of_the_real_table_says_what_it_is_and_how_it_is_checked():
    for name, each in source_table.load()["files"].items():
        assert each["what"] and each["licence"], name
        assert each.get("urls") or each["by_hand"], name
        if each.get("urls"):
            assert download.checksums(each) or each["unchecked"], name
            for kind, checksum in download.checksums(each).items():
                assert len(checksum) == 2 * hashlib.new(kind).digest_size, name


def test_docs_and_table_of_sources_say_the_same():
    """Every file with its size and where it comes from, and the checksums of weights."""
    texts = {}
    for path in ("docs/voc12.md", "weights/README.md"):
        with open(path) as file:
            texts[path] = file.read()
    for name, each in source_table.load()["files"].items():
        if not each.get("urls"):
            continue
        assert f"`{name}`" in texts["docs/voc12.md"]
        assert f"{each['size']:,} bytes" in texts["docs/voc12.md"] if "size" in each else True
        assert urllib.parse.urlsplit(each["urls"][0]).hostname in texts["docs/voc12.md"]
        if name.endswith(".caffemodel"):
            assert all(checksum in texts["weights/README.md"] for checksum in download.checksums(each).values())


# Archives


def unpack(path, out):
    archives.unpack(path, str(out), "top/set", ["images", "list.txt"])


GOOD = {"./top/set/images/a.jpg": b"a", "top/set/images/deep/b.jpg": b"b" * 3000000, "top/set/list.txt": b"a\n"}
IGNORED = {"top/set/imagesque/c": b"c", "top/set/list.txt.orig": b"", "top/images/d": b"", "README": b""}


def test_what_is_wanted_is_unpacked_and_no_more(tmp_path, out):
    path = str(tmp_path / "archive.tgz")
    standins.write_tar(path, {**GOOD, **IGNORED})
    unpack(path, out)
    found = {os.path.relpath(os.path.join(d, f), out) for d, _, files in os.walk(out) for f in files}
    assert found == {"images/a.jpg", "images/deep/b.jpg", "list.txt"}
    assert (out / "images/deep/b.jpg").read_bytes() == b"b" * 3000000
    assert sorted(os.listdir(tmp_path)) == ["archive.tgz", "out"]


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "name, content",
    [
        ("/tmp/escaped", b"x"),
        ("../escaped", b"x"),
        ("top/set/images/../../../../escaped", b"x"),
        ("top/../top/set/images/x", b"x"),
        ("top/set/images/link", special("top/set/images/link", tarfile.SYMTYPE, "/etc")),
        ("top/set/images/hard", special("top/set/images/hard", tarfile.LNKTYPE, "top/set/list.txt")),
        ("top/set/images/device", special("top/set/images/device", tarfile.CHRTYPE)),
        ("top/set/images/pipe", special("top/set/images/pipe", tarfile.FIFOTYPE)),
    ],
)
def test_a_member_that_leads_out_is_refused(name, content, tmp_path, out):
    path = str(tmp_path / "archive.tgz")
    standins.write_tar(path, {**GOOD, name: content})
    with pytest.raises(InputError, match="do not use") as error:
        unpack(path, out)
    assert str(error.value).startswith(path) and name in str(error.value)
    assert os.listdir(tmp_path) == ["archive.tgz"]


def test_a_thousand_folders_in_each_other_are_one_line(tmp_path, out):
    path = str(tmp_path / "archive.tgz")
    standins.write_tar(path, {**GOOD, "top/set/images/" + "d/" * 2000 + "a": b"a"})
    with pytest.raises(InputError, match="is damaged or cut short|File name too long"):
        unpack(path, out)
    assert os.listdir(tmp_path) == ["archive.tgz"]


def test_an_archive_of_something_else(tmp_path, out):
    path = str(tmp_path / "archive.tgz")
    standins.write_tar(path, IGNORED)
    with pytest.raises(InputError, match="holds no top/set/images"):
        unpack(path, out)
    assert os.listdir(tmp_path) == ["archive.tgz"]


@pytest.mark.parametrize("name", ["archive.tgz", "archive.tar"])
@pytest.mark.parametrize("cut", [0, 100, 0.5, 0.999, None])
def test_an_archive_cut_short_or_no_archive(name, cut, tmp_path, out):
    path = str(tmp_path / name)
    noise = {f"top/set/images/{k}": os.urandom(100000) for k in range(10)}
    standins.write_tar(path, noise)
    with open(path, "rb") as file:
        content = file.read().rstrip(b"\0")
    content = (
        b"<html>no such page</html>" * 100 if cut is None else content[: cut if cut > 1 else int(cut * len(content))]
    )
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(InputError, match="is damaged or cut short; remove it"):
        unpack(path, out)
    assert os.listdir(tmp_path) == [name]


def test_an_interrupted_unpacking_is_done_again_and_a_finished_one_is_not(tmp_path, served, out):
    """Killed in the middle, with no time to clean up."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for k in range(300):
            archive.addfile(special(f"top/set/images/{k}", tarfile.REGTYPE))
    (served / NAME).write_bytes(content.getvalue())
    changes = dict(
        size=None,
        sha256=hashlib.sha256(content.getvalue()).hexdigest(),
        unpack={"folder": "set", "from": "top/set", "only": ["images"]},
    )
    with standins.Server(served) as server:
        with open(str(out) + ".yaml", "w") as file:
            yaml.safe_dump({"files": {NAME: entry(server, **changes)}}, file)
        killed = (
            "import os, sys, tarfile; from aepsl.data import download; copy = tarfile.copyfileobj\n"
            "tarfile.copyfileobj = lambda a, b, *c: os._exit(9) if b.name.endswith('/100') else copy(a, b, *c)\n"
            "download.run([sys.argv[1]], sys.argv[2], sys.argv[3])"
        )
        assert subprocess.run([sys.executable, "-c", killed, NAME, str(out), str(out) + ".yaml"]).returncode == 9
        assert sorted(os.listdir(out)) == [".set.unfinished", NAME]
        run(out, server, **changes)
        assert sorted(os.listdir(out)) == ["set", NAME] and len(os.listdir(out / "set" / "images")) == 300
        (out / NAME).unlink()
        run(out, server, **changes)
        assert len(server.requests) == 1


def test_a_disk_that_fills_up_while_unpacking(tmp_path, out):
    path = str(tmp_path / "archive.tgz")
    standins.write_tar(path, GOOD)
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, -1))\n"
        "from aepsl.data import archives; from aepsl.cli import command\n"
        "command(lambda: archives.unpack(sys.argv[1], sys.argv[2], 'top/set', ['images', 'list.txt']))"
    )
    full = subprocess.run([sys.executable, "-c", limited, path, str(out)], stderr=subprocess.PIPE, text=True)
    assert full.returncode == 1
    assert full.stderr == f"error: {out}: File too large while unpacking; mend that, and start again\n"
    assert os.listdir(tmp_path) == ["archive.tgz"]
    unpack(path, out)
