"""The files that editors, packagers and GitHub read: what they say of this repository is true, and their form is right.

These tests need no network. `.pre-commit-config.yaml` holds the checkers that know each format in full.
"""

import configparser
import fnmatch
import hashlib
import importlib
import os
import pathlib
import re
import subprocess
import sys

import jsonschema
import pytest
import tomli
import yaml

import aepsl
import mutations
from aepsl.base import host

PYPROJECT = tomli.loads(pathlib.Path("pyproject.toml").read_text())
TEXT = {"type": "string", "minLength": 1}


def an_object(required, **properties):
    """A JSON schema: an object with the keys `required`, and of what kind they and others are."""
    return dict(type="object", required=required.split(), properties=properties)


def some(schema):
    """A JSON schema: a list of one or more."""
    return dict(type="array", items=schema, minItems=1)


PERSON = an_object("given-names family-names")
STEP = dict(oneOf=[an_object("uses", uses=dict(pattern=r"^[\w-]+/[\w-]+@\w+")), an_object("run", run=TEXT)])
JOB = an_object("runs-on steps", steps=some(STEP))
FIELD = an_object(
    "type id attributes", type=dict(enum=["textarea", "input"]), id=TEXT, attributes=an_object("label", label=TEXT)
)
HOOK = an_object("id name entry language", language=dict(enum=["system", "python", "pygrep"]), entry=TEXT)
FORMS = {  # small: what is relied on here
    "CITATION.cff": an_object(
        "cff-version message title authors version date-released license preferred-citation",
        **{
            "cff-version": dict(const="1.2.0"),
            "authors": some(an_object("name")),
            "license": dict(const=PYPROJECT["project"]["license"]),
            "preferred-citation": an_object("type title authors year doi", authors=some(PERSON)),
        },
    ),
    ".github/workflows/ci.yml": an_object(
        "name permissions jobs",
        permissions=dict(const={"contents": "read"}),
        jobs=dict(type="object", minProperties=1, additionalProperties=JOB),
    ),
    ".github/ISSUE_TEMPLATE/fault.yml": an_object("name description body", body=some(FIELD)),
    ".pre-commit-config.yaml": an_object("repos", repos=some(an_object("repo hooks", hooks=some(HOOK)))),
}


def read(path):
    return pathlib.Path(path).read_text(encoding="utf-8")


def form(path):
    return yaml.safe_load(read(path))


def hooks():
    return [hook for each in form(".pre-commit-config.yaml")["repos"] for hook in each["hooks"]]


@pytest.mark.parametrize("path", FORMS)
def test_a_file_has_the_form_that_its_readers_want(path):
    jsonschema.Draft7Validator(FORMS[path], format_checker=jsonschema.FormatChecker()).validate(form(path))


def test_every_file_of_github_has_its_form():
    assert {str(path) for path in pathlib.Path(".github").rglob("*.*")} == {
        path for path in FORMS if path.startswith(".github/")
    }


# The version


def test_the_version_is_the_same_everywhere():
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "aepsl.__version__"}
    printed = subprocess.run([sys.executable, "-m", "aepsl", "--version"], capture_output=True, text=True, check=True)
    assert printed.stdout == f"aepsl {aepsl.__version__}\n"
    assert host.made_on()["aepsl"] == aepsl.__version__  # in results.json and in the report
    (version, day), *_ = releases()
    citation = form("CITATION.cff")
    assert (version, day) == (aepsl.__version__, str(citation["date-released"])) and version == citation["version"]


def releases():
    """[(version, day)] of CHANGELOG.md, in its order."""
    return re.findall(r"^## (\d+\.\d+\.\d+), (\d{4}-\d\d-\d\d)$", read("CHANGELOG.md"), re.MULTILINE)


def test_the_changelog_has_the_newest_release_first():
    headings = re.findall(r"^## .*", read("CHANGELOG.md"), re.MULTILINE)
    assert len(headings) - headings.count("## Not released yet") == len(releases())
    numbers = [tuple(map(int, version.split("."))) for version, _ in releases()]
    assert numbers == sorted(set(numbers), reverse=True) and numbers[-1] == (1, 0, 0)
    days = [day for _, day in releases()]
    assert days == sorted(days, reverse=True)


# pyproject.toml


def test_the_console_script_is_the_command():
    module, function = PYPROJECT["project"]["scripts"]["aepsl"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_a_package_takes_every_file_with_it():
    (where,) = PYPROJECT["tool"]["setuptools"]["packages"]["find"]["where"]
    patterns = ["*.py", "*.pyc", *PYPROJECT["tool"]["setuptools"]["package-data"]["*"]]
    files = [path for path in pathlib.Path(where, "aepsl").rglob("*") if path.is_file()]
    assert files and not [path for path in files if not any(fnmatch.fnmatch(path.name, each) for each in patterns)]
    assert all((path.parent / "__init__.py").exists() for path in files if path.parent.name != "__pycache__")


def test_pytest_and_ruff_take_their_settings_from_it(request):
    here = os.path.realpath("pyproject.toml")
    assert os.path.realpath(request.config.inifile) == here
    shown = subprocess.run(["ruff", "check", "--show-settings", __file__], capture_output=True, text=True, check=True)
    assert f'Settings path: "{here}"' in shown.stdout


# .editorconfig


@pytest.fixture(scope="module")
def files():
    """Paths of the files that the commit holds."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # the image has no git program, and none is needed
    import git

    try:
        tree = git.Repo(".", odbt=git.GitDB).head.commit.tree
    except git.InvalidGitRepositoryError:
        pytest.skip("this is no clone")
    return [each.path for each in tree.traverse() if each.type == "blob" and os.path.isfile(each.path)]


def editor_settings(name):
    """What .editorconfig says of a file of this name."""
    parsed = configparser.ConfigParser()
    parsed.read_string("[all]\n" + read(".editorconfig"))
    found = {}
    for pattern in parsed.sections():
        if fnmatch.fnmatchcase(name, pattern):
            found.update(parsed[pattern])
    return found


def broken_rules(content, settings):
    """The settings that the bytes of a file break."""
    breaks = {
        "end_of_line = lf": b"\r" in content,
        "insert_final_newline = true": not content.endswith(b"\n"),
        "trim_trailing_whitespace = true": bool(re.search(rb"[ \t]$", content, re.MULTILINE)),
        "indent_style = space": bool(re.search(rb"^ *\t", content, re.MULTILINE)),
    }
    return [rule for rule in (f"{name} = {value}" for name, value in settings.items()) if breaks.get(rule)]


def test_every_text_file_is_as_editors_are_told(files):
    seen = 0
    for path in files:
        content = pathlib.Path(path).read_bytes()
        if b"\0" in content or not content:  # a picture, or weights
            continue
        settings = editor_settings(os.path.basename(path))
        content.decode(settings["charset"])
        assert not broken_rules(content, settings), path
        seen += 1
    assert seen > 100
    assert editor_settings("a.py")["max_line_length"] == str(PYPROJECT["tool"]["ruff"]["line-length"])
    assert editor_settings("Makefile")["indent_style"] == "tab"


def test_a_file_that_breaks_a_rule_is_found():
    for content, rule in (
        (b"a\r\n", "end_of_line"),
        (b"a", "insert_final_newline"),
        (b"a \n", "trim_trailing_whitespace"),
        (b"  a\n\t\tb\n", "indent_style"),
    ):
        (broken,) = broken_rules(content, editor_settings("a.yaml"))
        assert broken.startswith(rule)


# CI


def test_the_workflow_calls_what_ci_runs():
    ((_, job),) = form(".github/workflows/ci.yml")["jobs"].items()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert ".ci/run" in commands and os.access(".ci/run", os.X_OK)
    assert any(re.match(r"pipx run pre-commit run --all-files\b", command) for command in commands)


def test_hooks_run_what_there_is_with_pinned_tools(files):
    for hook in hooks():
        if hook["language"] == "system":
            make, target = hook["entry"].split()
            assert make == "make" and re.search(rf"^{target}:", read("Makefile"), re.MULTILINE)
        elif hook["language"] == "python":
            assert all(re.search(r"==\d", each) for each in hook["additional_dependencies"])
        assert "stages" in hook or any(re.search(hook["files"], path) for path in files), hook["id"]
    assert {"make lint", "make nets"} <= {hook["entry"] for hook in hooks()}


def test_a_subject_of_more_than_72_characters_is_found():
    (hook,) = [hook for hook in hooks() if hook["id"] == "subject"]
    for length, found in ((72, False), (73, True)):
        message = "a" * length + "\n\n" + "b" * 100 + "\n"
        assert bool(re.search(hook["entry"], message, re.MULTILINE | re.DOTALL)) is found  # as pre-commit does


def test_the_issue_form_asks_for_the_status_and_the_figures():
    fields = form(".github/ISSUE_TEMPLATE/fault.yml")["body"]
    assert len({field["id"] for field in fields}) == len(fields)
    text = yaml.safe_dump(fields, width=10**6)
    for wanted in ("`make status`", "`runs/NAME/results.json`", "`aepsl --version`", "`runs/fault-*.log`"):
        assert wanted in text, wanted


def test_what_the_image_has_installed_is_in_its_list_and_the_lists_checksum_in_the_results(tmp_path, monkeypatch):
    listed = pathlib.Path(host.PACKAGES).read_bytes()
    pins = re.findall(r"^(\w\S*==\S+)", pathlib.Path("docker/requirements.txt").read_text(), re.M)
    names = {line.lower().replace("_", "-") for line in listed.decode().splitlines()}
    assert len(pins) > 20 and {pin.lower().replace("_", "-") for pin in pins} <= names
    debian = subprocess.run(["dpkg-query", "--show"], capture_output=True, check=True).stdout
    assert b"python3-caffe" in debian and listed.startswith(debian)
    assert host.made_on()["packages"] == hashlib.sha256(listed).hexdigest()
    monkeypatch.setattr(host, "PACKAGES", str(tmp_path / "missing"))
    assert host.made_on()["packages"] == "unknown"


@pytest.mark.parametrize("name", mutations.MUTATIONS)
def test_the_lines_that_mutations_change_exist(name):
    file, old, new, tests = mutations.MUTATIONS[name]
    assert old in pathlib.Path(file).read_text() and old != new
    assert all(os.path.exists(f"tests/test_{each}.py") for each in tests.split())
