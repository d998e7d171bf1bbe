"""docker/mounts: which folders a command in the container sees, and which of them it may write to."""

import os
import shutil
import subprocess

import pytest

NAMES = ("DATA", "WEIGHTS", "SALIENCY", "SOURCES", "MODEL", "DEPLOY")


@pytest.fixture
def repository(tmp_path):
    """A folder clone/ with docker/mounts in it; the caller's HOME is beside it."""
    (tmp_path / "clone/docker").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    shutil.copy("docker/mounts", tmp_path / "clone/docker")
    return tmp_path / "clone"


def asked(repository, **given):
    """What docker/mounts does for these variables; names in its output are as os.fsdecode gives them."""
    environment = dict(PATH=os.environ["PATH"], HOME=str(repository.parent / "home"), **given)
    command = [str(repository / "docker/mounts")]
    return subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, errors="surrogateescape"
    )


def mounts(repository, **given):
    """{path, relative to the folder around the repository: "rw" or "ro"}."""
    done = asked(repository, **{name: str(path) for name, path in given.items()})
    assert done.returncode == 0 and not done.stderr, done.stderr
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    found = {os.path.relpath(path, repository.parent): kind for kind, path in lines}
    assert len(found) == len(lines)
    return found


OWN = {"clone": "ro", "clone/runs": "rw"}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_mounted_alone_and_a_folder_whole(repository, name):
    disk = repository.parent / "disk"
    disk.mkdir()
    (disk / "a").touch()
    assert mounts(repository, **{name: disk / "a"}) == dict(OWN, **{"disk/a": "ro"})
    assert mounts(repository, **{name: disk}) == dict(OWN, disk="ro")
    assert mounts(repository, **{name: repository / "docker"}) == OWN


def test_what_is_given_twice_is_mounted_once(repository):
    (repository.parent / "disk/inner").mkdir(parents=True)
    given = dict.fromkeys(NAMES, repository.parent / "disk/inner")
    assert mounts(repository, WRITABLE=repository / "runs", **given) == dict(OWN, **{"disk/inner": "ro"})
    given.update(DATA=repository.parent / "disk", WRITABLE=repository.parent / "disk/inner")
    assert mounts(repository, **given) == dict(OWN, disk="ro", **{"disk/inner": "rw"})


def test_links_of_links_are_followed_to_folders_three_levels_deep(repository):
    """data/ is a link to disk/, in which a/b/c is the deepest that is looked at; from each folder on anew."""
    top = repository.parent
    for folder in ("disk/a/b/c", "one", "two/x", "three", "four"):
        (top / folder).mkdir(parents=True)
    (repository / "data").symlink_to(top / "disk")
    (top / "disk/a/b/to_one").symlink_to(top / "one")
    (top / "disk/a/b/c/too_deep").symlink_to(top / "four")
    (top / "one/to_two").symlink_to(top / "two")
    (top / "two/x/to_three").symlink_to("../../three")
    assert mounts(repository) == dict(OWN, disk="ro", one="ro", two="ro", three="ro")


def test_of_a_linked_file_the_folder_is_mounted_unless_the_callers_home_is_in_it(repository):
    top = repository.parent
    (top / "photos").mkdir()
    for name in ("photos/a.jpg", "photos/b.jpg", "home/c.jpg", "d.jpg"):
        (top / name).touch()
        link = repository / "data" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(top / name)
    assert mounts(repository) == dict(OWN, photos="ro", **{"home/c.jpg": "ro", "d.jpg": "ro"})


def test_links_in_weights_and_beside_the_readme_are_followed_and_deeper_ones_are_not(repository):
    top = repository.parent
    for name in ("weights", "disk", "large"):
        (top / name).mkdir()
        (repository / "docs" / name).parent.mkdir(exist_ok=True)
    (repository / "weights").mkdir()
    (repository / "weights/vgg16").symlink_to(top / "weights")
    (repository / "here").symlink_to(top / "disk")
    (repository / "docs/there").symlink_to(top / "large")
    assert mounts(repository) == dict(OWN, weights="ro", disk="ro")


def test_links_in_a_folder_that_a_command_fills_are_not_followed(repository):
    top = repository.parent
    for name in ("filled", "elsewhere"):
        (top / name).mkdir()
    (top / "filled/link").symlink_to(top / "elsewhere")
    assert mounts(repository, WRITABLE=top / "filled", DATA=top / "filled") == dict(OWN, filled="rw")
    assert mounts(repository, DATA=top / "filled") == dict(OWN, filled="ro", elsewhere="ro")


def test_links_to_hundreds_of_folders_are_one_line(repository):
    top = repository.parent
    (top / "links").mkdir()
    for k in range(300):
        (top / f"disk/{k}").mkdir(parents=True)
        (top / f"links/{k}").symlink_to(top / f"disk/{k}")
    done = asked(repository, DATA=str(top / "links"))
    assert done.returncode == 2 and not done.stdout and done.stderr.count("\n") == 1
    assert "links lead to some hundred folders; copy what they lead to" in done.stderr


NO_UTF8 = os.fsdecode(b"photos \xff, \xc3")  # Latin-1, cut short


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("name", [*NAMES, "WRITABLE"])
def test_a_name_that_is_no_utf8_is_one_line(repository, name, locale):
    """Engines hand names on as JSON; what is not UTF-8 gets lost there, and the folder is not found."""
    (repository.parent / NO_UTF8).mkdir()
    done = asked(repository, LC_ALL=locale, **{name: str(repository.parent / NO_UTF8)})
    assert done.returncode == 2 and not done.stdout and done.stderr.count("\n") == 1
    assert f"{NO_UTF8}: is not UTF-8, and no engine mounts such a name; rename it" in done.stderr
    (repository.parent / "Bäume 木").mkdir()
    assert asked(repository, LC_ALL=locale, **{name: str(repository.parent / "Bäume 木")}).returncode == 0


def test_links_to_names_that_are_no_utf8_are_not_followed_and_a_clone_of_such_a_name_is_one_line(repository):
    (repository.parent / NO_UTF8).mkdir()
    (repository / "data").mkdir()
    (repository / "data/link").symlink_to(repository.parent / NO_UTF8)
    assert mounts(repository) == OWN
    moved = repository.rename(repository.parent / NO_UTF8 / "clone")
    done = asked(moved)
    assert done.returncode == 2 and not done.stdout and done.stderr.count("\n") == 1
    assert "clone: is not UTF-8, and no engine mounts such a name; move this repository" in done.stderr
