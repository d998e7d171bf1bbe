"""What docker/build, run and rootfs ask of an engine, with an engine that only writes down what it was asked.

No test can rely on a real engine, let alone one with a GPU.
"""

import csv
import fcntl
import hashlib
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import tarfile
import termios
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.path.exists("/etc/aepsl.env"), reason="docker/run runs nothing in an engine here")

ENGINE = r"""#!/usr/bin/env python3
import json, os, sys, tarfile, time
arguments = sys.argv[1:]
with open(os.environ["ASKED"], "a") as file:
    file.write(json.dumps([arguments, dict(os.environ)]) + "\n")
if arguments[:2] == ["image", "inspect"]:
    kind = arguments[-1].partition(":")[2].partition("-")[0]
    if "--format" not in arguments and os.environ.get("IMAGES", kind) != kind:
        sys.exit("no such image")
    print("PATH=/bin\nQUOTED=it's = quoted")
elif arguments[0] == "info":
    print(os.environ.get("SECURITY", "[name=seccomp,profile=default]"))
elif arguments[0] == "run" and os.environ.get("REFUSES"):
    sys.exit("a line before\n" + os.environ["REFUSES"])
elif arguments[0] == "run" and os.environ.get("RUNS"):
    time.sleep(float(os.environ["RUNS"]))
elif arguments[0] == "create":
    print("container1")
elif arguments[0] == "export":
    if "CUT" in os.environ:
        sys.exit("disk full")
    tarfile.open(fileobj=sys.stdout.buffer, mode="w|").close()
"""


class Repository:
    """A folder with this repository's docker/ and the engines docker and podman that write down what they are asked."""

    def __init__(self, root):
        self.root = root
        shutil.copytree("docker", root / "docker")
        (root / "bin").mkdir()
        for name, text in (("docker", ENGINE), ("podman", ENGINE), ("nvidia-smi", "#!/bin/sh\n")):
            (root / "bin" / name).write_text(text)
            (root / "bin" / name).chmod(0o755)

    def processor(self, flags):
        """Give docker/run a processor with these flags."""
        (self.root / "cpuinfo").write_text(f"processor : 0\nflags : fpu {flags}\n")
        script = self.root / "docker" / "settings"
        script.write_text(script.read_text().replace("/proc/cpuinfo", str(self.root / "cpuinfo")))

    def no_gpu(self):
        """Give docker/run a machine without GPUs."""
        script = self.root / "docker" / "settings"
        text = script.read_text()
        for sign in ("/dev/nvidiactl", "/dev/dxg", "nvidia-smi"):
            assert sign in text
            text = text.replace(f"[ -e {sign} ]", "false").replace(f"command -v {sign}", "false")
        script.write_text(text)

    def environment(self):
        """A user's, with the engines on its PATH."""
        keep = {key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ}
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return {"ENGINE": "docker", "ASKED": str(self.root / "asked"), **keep, "PATH": path}

    def call(self, script, *arguments, **environment):
        """Run docker/`script`; returns the process and [(arguments, environment)] of the engine's calls."""
        (self.root / "asked").write_text("")
        environment = {**self.environment(), **environment}
        process = subprocess.run(
            [str(self.root / "docker" / script), *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
        )
        return process, [[call, given] for call, given in self.asked() if not ends(call)]

    def asked(self):
        """[(arguments, environment)] of the engine's calls until now."""
        return [json.loads(line) for line in (self.root / "asked").read_text().splitlines()]

    def run(self, **environment):
        """The arguments and environment of the engine that docker/run hands `caffe --version` to."""
        process, asked = self.call("run", "caffe", "--version", **environment)
        assert process.returncode == 0, process.stderr
        arguments, environment = asked[-1]
        assert arguments[0] == "run" and arguments[-2:] == ["caffe", "--version"]
        return arguments, environment


def ends(arguments):
    """Whether that call of an engine removes a container of docker/run, which it does some time after its own end."""
    return arguments[:2] == ["rm", "--force"] and arguments[2].startswith("aepsl-")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "repository")


def tag(repository, target):
    """The name of the image that a repository's recipe makes."""
    process, asked = repository.call("tag", target)
    assert asked == [] and re.fullmatch(rf"aepsl:{target}-[0-9]+\n", process.stdout), process.stderr
    return process.stdout.rstrip()


def values(arguments, option):
    return [value for key, value in zip(arguments, arguments[1:]) if key == option]


def mounts(arguments):
    """{path: whether the container may write to it}, as docker and podman read --mount, a line of CSV."""
    found = {}
    for value in values(arguments, "--mount"):
        (fields,) = csv.reader([value], strict=True)
        options = dict(field.partition("=")[::2] for field in fields)
        assert options["type"] == "bind" and options["source"] == options["target"] and options["source"] not in found
        found[options["source"]] = "readonly" not in options
    return found


def test_the_container_has_no_rights_that_it_does_not_need(repository):
    for engine in ("docker", "podman"):
        arguments, _ = repository.run(ENGINE=engine)
        assert {"--cap-drop=all", "--read-only", "--network=none"}.issubset(arguments)
        assert "no-new-privileges" in values(arguments, "--security-opt")
        assert values(arguments, "--pids-limit") == ["4096"]
        ((folder, options),) = [value.split(":") for value in values(arguments, "--tmpfs")]
        assert folder == "/tmp" and {"nosuid", "nodev", "size=4g"}.issubset(options.split(","))
        assert not [each for each in arguments if "privileged" in each and each != "no-new-privileges"]
        assert values(arguments, "--label") == [f"aepsl={repository.root}"]


def test_only_what_commands_write_is_writable(repository):
    root = str(repository.root)
    arguments, _ = repository.run()
    assert mounts(arguments) == {root: False, f"{root}/runs": True}
    (repository.root / "prototxt").mkdir()
    (repository.root / "data").mkdir()
    arguments, _ = repository.run(AEPSL_TARGET="cuda", WRITABLE="data")
    written = {path for path, writable in mounts(arguments).items() if writable}
    assert written == {f"{root}/{name}" for name in ("runs", "prototxt", ".cuda-cache", "data")}


@pytest.mark.parametrize("folder", [".", "..", "/", "/etc", "/usr/bin", "docker/../"])
def test_what_runs_outside_the_image_cannot_be_made_writable(repository, folder):
    process, asked = repository.call("run", "true", WRITABLE=folder)
    assert (process.returncode, asked) == (2, []) and process.stderr.startswith(f"{folder}: ")
    assert process.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["nothing", "a file", "a dangling link", "a loop"])
def test_writable_is_a_folder_that_is_there(repository, kind):
    path = repository.root / "masks, mine"
    if kind == "a file":
        path.touch()
    elif kind != "nothing":
        path.symlink_to("gone" if kind == "a dangling link" else path)
    process, asked = repository.call("run", "true", WRITABLE=str(path))
    assert (process.returncode, asked) == (2, []) and process.stderr.count("\n") == 1
    assert process.stderr.startswith(f"WRITABLE={path}: is no folder; make it first, with mkdir -p")


@pytest.mark.parametrize("kind", ["a file", "a dangling link", "a loop"])
def test_runs_that_is_no_folder_is_one_line(repository, kind):
    path = repository.root / "runs"
    if kind == "a file":
        path.touch()
    else:
        path.symlink_to("/gone/runs" if kind == "a dangling link" else "runs")
    process, asked = repository.call("run", "true")
    assert (process.returncode, asked) == (2, []) and process.stderr.count("\n") == 1
    assert process.stderr.startswith(f"{path}: is no folder (") and "remove it, or make" in process.stderr


@pytest.mark.parametrize(
    "engine", ["dokcer", "podman-remote", "/usr/bin/podman", "-x", "docker podman", "a\nb", "cuda"]
)
@pytest.mark.parametrize("script", ["run", "build", "rootfs"])
def test_another_engine_is_one_line_before_any_work(repository, script, engine):
    process, asked = repository.call(script, *["true"] * (script == "run"), ENGINE=engine)
    assert (process.returncode, asked) == (2, []) and process.stderr.count("\n") == 1
    assert process.stderr.startswith(f"ENGINE={engine}: is no container engine".replace("\n", "?"))


@pytest.mark.parametrize("script", ["run", "build"])
@pytest.mark.parametrize("state, why", [("silent", "is the daemon running?"), ("missing", "not installed")])
def test_an_engine_that_does_not_answer_is_one_line_before_any_work(repository, script, state, why):
    for name in ("docker", "podman"):
        program = repository.root / "bin" / name
        program.write_text("#!/bin/sh\necho 'is the daemon running?' >&2\nexit 1\n")
    if state == "missing":
        program.unlink()
        if shutil.which("podman"):
            pytest.skip("this machine has podman")
    process, _ = repository.call(script, *["true"] * (script == "run"), ENGINE="podman")
    assert process.returncode == 2 and process.stderr.count("\n") == 1
    assert process.stderr.startswith(f"ENGINE=podman: does not answer ({why})")


@pytest.mark.parametrize("path", ["/data", "~/voc", "s3://bucket/voc", "True", "a\nb"])
@pytest.mark.parametrize("name", ["DATA", "WEIGHTS", "SALIENCY", "SOURCES", "MODEL", "DEPLOY"])
def test_a_path_that_is_not_there_is_told_with_its_setting(repository, name, path):
    """It may be a variable of the user's shell, which he did not type here."""
    process, asked = repository.call("run", "true", **{name: path})
    assert (process.returncode, asked) == (2, []) and process.stderr.count("\n") == 1
    line = f"{name}={path}: no such file or folder; name another, or leave {name} out (unset {name})\n"
    assert process.stderr == line.replace("a\nb", "a?b")


SHELL = {
    "python": dict(PYTHONSTARTUP="/x.py", PYTHONPATH="/x", PYTHONOPTIMIZE="2", PYTHONWARNINGS="ignore"),
    "threads": dict(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_WAIT_POLICY="active"),
    "locale": dict(LC_ALL="tr_TR.UTF-8", LC_NUMERIC="de_DE.UTF-8", LANGUAGE="de"),
    "bash": dict(CDPATH="/:/tmp", IFS=",", POSIXLY_CORRECT="1", BASH_ENV="/no/such", SHELLOPTS="noglob:noclobber"),
    "folders": dict(TMPDIR="/no/such/folder", HOME="/no such/home", XDG_CACHE_HOME="/x", OLDPWD="/x"),
    "proxies": dict(http_proxy="http://x:1", https_proxy="http://x:1", no_proxy="*"),
    "charts": dict(MPLBACKEND="TkAgg", MPLCONFIGDIR="/x", DISPLAY=":0"),
    "desktop": dict(NAME="DESKTOP-1", FORMAT="%F", SHELL="/bin/fish", TERM="dumb", COLUMNS="1"),
    "gpus": dict(CUDA_VISIBLE_DEVICES="3", NVIDIA_VISIBLE_DEVICES="all", CUDA_DEVICE_ORDER="PCI_BUS_ID"),
    "a cluster": dict(SLURM_JOB_ID="7", SLURM_CPUS_PER_TASK="3", SLURM_ARRAY_TASK_ID="2"),
}


@pytest.mark.parametrize("kind", SHELL)
def test_what_a_command_is_given_does_not_depend_on_the_users_shell(repository, kind):
    """Neither by --env nor by a mount; the engine itself has the shell's environment, as any program."""
    expected, _ = repository.run()
    arguments, _ = repository.run(**SHELL[kind])
    for each in (arguments, expected):
        del each[each.index("--name") + 1]  # a new one each time
    assert arguments == expected
    handed = {name for name in values(arguments, "--env") if "=" not in name}
    assert not handed & {*SHELL[kind]} - {"PYTHONPATH"}


OTHERS = dict(NETWORK="host", TARGET="arm64", IMAGE="x", BASE="/srv", MIRROR="http://x", CI="true", HOSTNAME="x")


def test_variables_of_other_software_mean_nothing(repository):
    expected, clean = repository.run()
    arguments, environment = repository.run(**OTHERS)
    for each in (arguments, expected):
        del each[each.index("--name") + 1]  # a new one each time
    assert arguments == expected and "--network=none" in arguments
    _, asked = repository.call("build", "cpu", **OTHERS)
    _, plain = repository.call("build", "cpu")
    assert [arguments for arguments, _ in asked] == [arguments for arguments, _ in plain]


def test_every_variable_that_is_read_of_the_shell_is_documented():
    """Scripts read them as ${NAME:-...}, make as NAME ?=, Python by their names."""
    scripts = [f"docker/{name}" for name in ("run", "settings", "mounts", "rights", "gpus", "network", "watch")]
    scripts += [f"docker/{name}" for name in ("tag", "build", "engine", "rootfs")]
    scripts += ["scripts/gpu_session", "scripts/reproduce", "Makefile"]
    text = "\n".join(Path(path).read_text() for path in scripts)
    read = set(re.findall(r"(?:\$\{|--env )([A-Z_0-9]{2,})(?::?-|[ \n])", text) + re.findall(r"([A-Z]+) \?=", text))
    for path in Path("python").rglob("*.py"):
        read.update(re.findall(r"environ\.get\(\"([A-Z_0-9]+)\"", path.read_text()))
    ours = "AEPSL_ENGINE AEPSL_IMAGE AEPSL_NAMESPACE AEPSL_START PYTHONPATH FAKECUDA_GPUS".split()  # set, not asked for
    ours += "CUDA_CACHE_PATH CUDA_VISIBLE_DEVICES HOME MPLCONFIGDIR".split()
    ours += "NVIDIA_TF32_OVERRIDE OPENBLAS_CORETYPE MAKELEVEL".split()
    told = "\n".join(path.read_text() for path in (Path("README.md"), Path("SECURITY.md"), *Path("docs").glob("*.md")))
    assert not [name for name in sorted(read.difference(ours)) if not re.search(rf"\b{name}\b", told)]
    assert {"DATA", "AEPSL_NETWORK", "ENGINE", "SOURCES", "SSL_CERT_FILE", "AEPSL_MIRROR", "ROW", "TF32"} <= read


@pytest.mark.parametrize(
    "security, given",
    [
        ("[name=seccomp,profile=default]", ["--user"]),
        ("[name=seccomp,profile=default name=userns]", ["--user", "--userns=host"]),
        ("[name=seccomp,profile=default name=rootless]", []),
    ],
)
def test_files_belong_to_the_caller_whatever_the_daemon_does_with_users(repository, security, given):
    arguments, _ = repository.run(SECURITY=security)
    assert [each for each in arguments if each in ("--user", "--userns=host")] == given
    assert values(arguments, "--user") == [f"{os.getuid()}:{os.getgid()}"] * ("--user" in given)


def ended_after(repository, how, **environment):
    """Whether docker/run's container is removed within some seconds of `how`, a function of its process and parent."""
    (repository.root / "asked").write_text("")
    given = dict(repository.environment(), RUNS="20", **environment)
    command = 'docker/run true & echo "$!"; wait'
    with subprocess.Popen(
        ["sh", "-c", command], cwd=repository.root, env=given, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        pid = int(parent.stdout.readline())
        try:
            assert within(20, lambda: [call for call, _ in repository.asked() if call[0] == "run"])
            how(pid, parent.pid)
            removed = within(5, lambda: [call for call, _ in repository.asked() if ends(call)])
            (name,) = values(next(call for call, _ in repository.asked() if call[0] == "run"), "--name")
            assert removed in (None, [["rm", "--force", name]])
            return bool(removed)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


def within(seconds, found):
    """What `found` returns as soon as that is true; None after so many seconds."""
    end = time.time() + seconds
    while time.time() < end:
        result = found()
        if result:
            return result
        time.sleep(0.1)
    return None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_container_outlives_docker_run(repository, number):
    assert ended_after(repository, lambda pid, parent: os.kill(pid, number))


def test_no_container_outlives_the_make_that_began_it(repository):
    """Outside of make a command may outlive the shell that it was typed in: nohup docker/run ... &"""
    kill_parent = lambda pid, parent: os.kill(parent, signal.SIGKILL)  # noqa: E731
    assert ended_after(repository, kill_parent, MAKELEVEL="1")
    assert not ended_after(repository, kill_parent, MAKELEVEL="")


def test_no_container_outlives_its_terminal(repository):
    """The kernel tells the first process of the session alone that it is gone, and make does not tell docker run."""
    (repository.root / "asked").write_text("")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["sh", "-c", "trap '' HUP; docker/run true; :"],
        cwd=repository.root,
        env=dict(repository.environment(), RUNS="20"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        calls = within(20, lambda: [call for call, _ in repository.asked() if call[0] == "run"])
        assert "--tty" in calls[0]
        assert not within(3, lambda: [call for call, _ in repository.asked() if ends(call)])
        os.close(ours)
        assert within(5, lambda: [call for call, _ in repository.asked() if ends(call)])
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_root_overrides_rights_only_among_files_of_others(repository):
    for uid, owner, added in ((0, 0, []), (0, 1234, ["--cap-add=dac_override"]), (1234, 1234, []), (1234, 0, [])):
        for name, number in (("id", uid), ("stat", owner)):
            path = repository.root / "bin" / name
            path.write_text(f"#!/bin/sh\necho {number}\n")
            path.chmod(0o755)
        arguments, _ = repository.run()
        assert [each for each in arguments if each.startswith("--cap-add")] == added


def test_links_are_followed_once_and_never_into_the_system(repository, tmp_path):
    """Links to where they lie, to parents, to each other; to folders and files elsewhere; to what the image has too."""
    data, disk, photos = (tmp_path / name for name in ("one/data", "two/disk", "three/photos"))
    for folder in (data / "JPEGImages", disk, photos):
        folder.mkdir(parents=True)
    leads = dict(here=".", up="..", disk=disk, root="/", usr="/usr", proc="/proc/self", etc="/etc/passwd", gone="gone")
    for name, target in dict(leads, home=repository.root).items():
        (data / name).symlink_to(target)
    (disk / "back").symlink_to(data)
    for k in range(400):
        (photos / f"{k}.jpg").touch()
        (data / f"JPEGImages/{k}.jpg").symlink_to(photos / f"{k}.jpg")
    expected = {str(path): False for path in (data, data.parent, disk, photos, repository.root)}
    expected[f"{repository.root}/runs"] = True
    assert mounts(repository.run(DATA=str(data))[0]) == expected
    (repository.root / "data").symlink_to(data)
    assert mounts(repository.run()[0]) == expected


def test_links_that_a_command_can_make_are_not_followed(repository, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in ("runs", "prototxt"):
        (repository.root / folder).mkdir()
        (repository.root / folder / "link").symlink_to(elsewhere)
    arguments, _ = repository.run(DATA=str(repository.root / "runs"))
    assert set(mounts(arguments)) == {str(repository.root / each) for each in (".", "runs", "prototxt")}


@pytest.mark.parametrize(
    "path", ["/", "/usr", "/etc/passwd", "/proc", "/dev/null", "/tmp", "..", "/nowhere", "/usr/bin/../share"]
)
@pytest.mark.parametrize("name", ["DATA", "WEIGHTS", "SALIENCY", "SOURCES", "MODEL", "DEPLOY"])
def test_folders_of_the_system_and_around_the_repository_are_one_line(repository, name, path):
    process, asked = repository.call("run", "true", **{name: path})
    assert (process.returncode, asked) == (2, []) and process.stderr.count("\n") == 1 and path in process.stderr


def test_without_a_gpu_nothing_is_built_for_one(repository):
    repository.no_gpu()
    process, asked = repository.call("run", "true", GPU="0")
    assert (process.returncode, asked) == (125, [])
    assert process.stderr.startswith("GPU=0: there is no NVIDIA GPU here") and process.stderr.count("\n") == 1


def test_a_gpu_is_asked_for_before_the_hour_of_building(repository):
    process, asked = repository.call("run", "true", GPU="0", REFUSES="no such device", IMAGES="cpu")
    assert process.returncode == 125 and "(no such device)" in process.stderr.splitlines()[-1]
    assert asked[-1][0][-2:] == [tag(repository, "cpu"), "true"]
    assert not [arguments for arguments, _ in asked if arguments[0] == "build" and "cuda" in arguments]


@pytest.mark.parametrize("target", ["x; touch pwned", "gpu", "--help", "cpu\n"])
@pytest.mark.parametrize("script", ["build", "rootfs"])
def test_another_image_is_one_line(repository, script, target):
    process, asked = repository.call(script, target)
    assert {arguments[0] for arguments, _ in asked} <= {"info", "--version"}  # whether it answers
    assert process.returncode == 2 and process.stderr.startswith(f"TARGET={target}: ")
    assert not (repository.root / "pwned").exists()


def test_without_a_gpu_the_cpu_image_runs(repository):
    arguments, environment = repository.run()
    assert arguments[-3] == tag(repository, "cpu")
    assert not values(arguments, "--gpus") and not values(arguments, "--device")
    assert environment["NVIDIA_TF32_OVERRIDE"] == "0"
    assert not (repository.root / ".cuda-cache").exists()


def test_docker_is_asked_for_gpus_as_one_quoted_value(repository):
    """Docker's manual: --gpus '"device=0,2"', with the inner quotes."""
    arguments, environment = repository.run(GPU="0,2")
    assert arguments[-3] == tag(repository, "cuda")
    assert values(arguments, "--gpus") == ['"device=0,2"']
    assert "CUDA_CACHE_PATH" in values(arguments, "--env")
    assert environment["CUDA_CACHE_PATH"] == str(repository.root / ".cuda-cache")
    assert (repository.root / ".cuda-cache").is_dir()


def test_podman_is_asked_for_every_gpu_by_its_cdi_name(repository):
    arguments, _ = repository.run(GPU="0,2", ENGINE="podman")
    assert arguments[-3] == tag(repository, "cuda")
    assert values(arguments, "--device") == ["nvidia.com/gpu=0", "nvidia.com/gpu=2"]
    assert not values(arguments, "--gpus")


@pytest.mark.parametrize("given, count, numbers", [("fake", "1", "0"), ("fake,fake", "2", "0,1")])
def test_fake_gpus_are_not_asked_of_the_engine(repository, given, count, numbers):
    repository.no_gpu()
    for target in ("fake", "cuda-on-fake"):
        arguments, environment = repository.run(
            GPU=given, FAKECUDA_GIB="1", **({} if target == "fake" else dict(AEPSL_TARGET=target))
        )
        assert arguments[-3] == tag(repository, target)
        assert not values(arguments, "--gpus") and not values(arguments, "--device")
        assert {"FAKECUDA_GPUS", "FAKECUDA_GIB", "GPU"}.issubset(values(arguments, "--env"))
        assert (environment["FAKECUDA_GPUS"], environment["GPU"]) == (count, numbers)


def test_without_a_fake_gpu_none_is_seen(repository):
    _, environment = repository.run(AEPSL_TARGET="fake")
    assert environment["FAKECUDA_GPUS"] == "0"
    process, _ = repository.call("run", "printenv", "FAKECUDA_GPUS", AEPSL_IMAGE="fake", GPU="0", FAKECUDA_GPUS="1")
    assert process.stdout == "1\n"  # in the image already


def test_a_fake_gpu_needs_avx2(repository):
    repository.processor("sse2 avx")
    process, asked = repository.call("run", "true", GPU="fake")
    assert (process.returncode, asked) == (125, []) and process.stderr.startswith("GPU=fake: ")


def test_an_image_can_be_named_and_tf32_allowed(repository):
    """NVIDIA_TF32_OVERRIDE=0 forbids it to every library; no other value is documented."""
    for tf32 in ("0", "1"):
        arguments, environment = repository.run(AEPSL_TARGET="cuda", TF32=tf32)
        assert arguments[-3] == tag(repository, "cuda")
        assert not values(arguments, "--gpus")
        assert {"TF32", "NVIDIA_TF32_OVERRIDE"}.issubset(values(arguments, "--env"))
        assert environment["TF32"] == tf32
        assert environment.get("NVIDIA_TF32_OVERRIDE") == (None if tf32 == "1" else "0")
    process, asked = repository.call("run", "true", TF32="yes")
    assert (process.returncode, asked) == (2, []) and process.stderr.startswith("TF32=yes: ")


@pytest.mark.parametrize(
    "engine, why, remedy",
    [
        ("docker", "could not select device driver", "nvidia-ctk runtime configure --runtime=docker"),
        (
            "podman",
            "unresolvable CDI devices nvidia.com/gpu=0",
            "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
        ),
    ],
)
def test_an_engine_without_gpus_ends_in_one_line_with_the_remedy(repository, engine, why, remedy):
    process, asked = repository.call("run", "caffe", ENGINE=engine, GPU="0", REFUSES=why)
    assert process.returncode == 125
    (line,) = process.stderr.splitlines()
    assert line.startswith(f"GPU=0: {engine} cannot give it to a container ({why})") and remedy in line
    assert asked[-1][0][-1] == "true"


@pytest.mark.parametrize("gpu", ["first", "0,", "0 1", "-1", "fake,0", "fakefake"])
def test_a_gpu_that_is_no_number_is_refused(repository, gpu):
    process, asked = repository.call("run", "caffe", GPU=gpu)
    assert (process.returncode, asked) == (2, [])
    assert process.stderr.startswith(f"GPU={gpu}: ")


def test_in_the_image_already_only_those_gpus_are_seen_unless_a_cluster_chose(repository):
    for environment, seen in (({}, "2,3"), ({"CUDA_VISIBLE_DEVICES": "5"}, "5")):
        process, asked = repository.call(
            "run", "printenv", "CUDA_VISIBLE_DEVICES", AEPSL_IMAGE="cuda", GPU="2,3", **environment
        )
        assert process.stdout.strip() == seen and not asked


def test_inside_the_image_the_command_simply_runs(repository):
    process, asked = repository.call("run", "printenv", "NVIDIA_TF32_OVERRIDE", AEPSL_IMAGE="cuda", GPU="0")
    assert (process.returncode, process.stdout, asked) == (0, "0\n", [])


@pytest.mark.parametrize(
    "flags, asked, kernel",
    [
        ("sse2 avx avx2 fma", {}, "Haswell"),
        ("sse2 avx", {}, ""),
        ("sse2 avx avx2 avx512f", {"BLAS_KERNEL": "SkylakeX"}, "SkylakeX"),
    ],
)
def test_openblas_computes_the_same_everywhere_unless_a_kernel_is_asked_for(repository, flags, asked, kernel):
    repository.processor(flags)
    host = {"OPENBLAS_CORETYPE": "Zen", "OPENBLAS_NUM_THREADS": "3", "OMP_NUM_THREADS": "3", **asked}
    arguments, environment = repository.run(**host)
    names = values(arguments, "--env")
    assert "OPENBLAS_CORETYPE" in names and environment["OPENBLAS_CORETYPE"] == kernel
    assert "BLAS_KERNEL" in names  # for docker/run in the container
    assert "OPENBLAS_NUM_THREADS" not in names and "OMP_NUM_THREADS" not in names
    process, _ = repository.call("run", "env", AEPSL_IMAGE="cpu", **host)
    inside = dict(line.split("=", 1) for line in process.stdout.splitlines())
    assert inside["OPENBLAS_CORETYPE"] == kernel
    assert "OPENBLAS_NUM_THREADS" not in inside and "OMP_NUM_THREADS" not in inside


@pytest.mark.parametrize("there", [True, False])
def test_a_clone_runs_and_exports_the_image_of_its_own_recipe(tmp_path, there):
    """Another version's start, between a build and what follows, makes aepsl:cpu another image."""
    names = []
    for version in ("7.32.4", "7.32.3"):
        repository = Repository(tmp_path / version)
        pins = repository.root / "docker" / "requirements.txt"
        pins.write_text(pins.read_text().replace("snakemake==7.32.4", f"snakemake=={version}"))
        given = {} if there else dict(IMAGES="none")
        arguments, _ = repository.run(**given)
        names.append(arguments[-3])
        process, asked = repository.call("rootfs", "cpu", **given)
        calls = [arguments for arguments, _ in asked]
        assert process.returncode == 0 and ["create", names[-1], "true"] in calls
        assert [call[-1] for call in calls if call[:2] == ["image", "inspect"]][-1] == names[-1]
        assert [values(call, "--tag") for call in calls if call[0] == "build"] == [[names[-1]]] * (not there)
        assert names[-1] == tag(repository, "cpu")
    assert names[0] != names[1]


def test_an_image_is_built_anew_when_its_own_stages_change(repository):
    before = {target: tag(repository, target) for target in ("cpu", "cuda")}
    path = repository.root / "docker" / "Dockerfile"
    text = path.read_text()
    path.write_text("# A comment\n" + text)
    assert {target: tag(repository, target) for target in before} == before
    path.write_text(text.replace("USE_NCCL=ON", "USE_NCCL=OFF"))
    assert tag(repository, "cpu") == before["cpu"]
    assert tag(repository, "cuda") != before["cuda"]
    path.write_text(text)
    pins = repository.root / "docker" / "requirements.txt"
    pins.write_text(pins.read_text().replace("snakemake==7.32.4", "snakemake==7.32.3"))
    assert all(tag(repository, target) != before[target] for target in before)


def test_an_image_with_a_fake_gpu_is_built_anew_when_that_changes(repository):
    before = {target: tag(repository, target) for target in ("cuda", "fake", "cuda-on-fake")}
    for name in ("memory.cpp", "kernels.hpp", "cu_to_cpp.py", "Makefile", "include/curand.h"):
        path = repository.root / "docker" / "fake_cuda" / name
        text = path.read_text()
        path.write_text(text + "\n")
        assert [target for target in before if tag(repository, target) != before[target]] == ["fake", "cuda-on-fake"]
        path.write_text(text)


@pytest.mark.parametrize("version, code", [("1.0.0+git20180821.99bd997-8", 0), ("1.0.0+git20180821.99bd997-8+b1", 1)])
def test_another_version_of_caffe_ends_the_build_with_what_to_look_at(repository, version, code):
    text = (repository.root / "docker" / "Dockerfile").read_text()
    check = re.search(r"(if ! grep.*?fi) \\\n", text, re.DOTALL)[1].replace("\\\n", "")
    (repository.root / "caffe-1/debian").mkdir(parents=True)
    (repository.root / "caffe-1/debian/changelog").write_text(f"caffe ({version}) unstable; urgency=medium\n")
    done = subprocess.run(["sh", "-c", check], cwd=repository.root, stdout=subprocess.PIPE, text=True)
    assert done.returncode == code
    assert not code or (version in done.stdout and "docker/fake_cuda and nets/cuda.py" in done.stdout)


MIRRORS = {  # and Debian's archive to each
    "https://deb.debian.test/debian/": "https://archive.debian.test/debian/",
    "http://ftp.xx.debian.test/debian": "http://archive.debian.test/debian",
}


def program(repository, name, text):
    """A program in place of one of the machine's, which asks for Debian 11 and writes each source line to `asked`."""
    path = repository.root / "bin" / name
    path.write_text("#!/bin/bash\n" + text)
    path.chmod(0o755)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("mirror", MIRRORS)
def test_the_build_takes_debians_archive_once_the_mirror_has_no_debian_11(repository, mirror, there):
    """The Dockerfile's own lines, with an apt-get to which only one of the two answers."""
    answers = mirror if there else MIRRORS[mirror]
    sources = repository.root / "sources.list"
    sources.write_text(f"deb {mirror} bullseye main\n")
    program(repository, "apt-get", f"grep -qxF 'deb {answers} bullseye main' {sources}")
    text = (repository.root / "docker" / "Dockerfile").read_text()
    lines = re.search(r"(if ! apt-get.*?fi) \\\n", text, re.DOTALL)[1].replace("\\\n", "")
    path = f"{repository.root / 'bin'}:{os.environ['PATH']}"
    command = ["sh", "-c", lines.replace("/etc/apt/sources.list", str(sources))]
    done = subprocess.run(command, env=dict(os.environ, PATH=path), capture_output=True, text=True)
    assert done.returncode == 0 and sources.read_text() == f"deb {answers} bullseye main\n"
    assert done.stderr.count("\n") == (not there) == ("Debian's archive" in done.stderr)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("mirror", MIRRORS)
def test_a_base_made_here_is_taken_from_debians_archive_too(repository, mirror, there):
    answers = mirror if there else MIRRORS[mirror]
    for engine in ("docker", "podman"):  # no registry answers
        program(repository, engine, f'case $1 in image | pull) exit 1 ;; esac; echo "$@" >> {repository.root}/asked')
    program(repository, "mmdebstrap", f'echo "${{@: -1}}" >> {repository.root}/asked; [[ ${{@: -1}} = *{answers}* ]]')
    done = subprocess.run(
        [str(repository.root / "docker" / "build")],
        env=dict(repository.environment(), AEPSL_ENGINE="docker", AEPSL_MIRROR=mirror),
        capture_output=True,
        text=True,
    )
    asked = (repository.root / "asked").read_text().splitlines()
    tried = [f"deb {each} bullseye main" for each in dict.fromkeys([mirror, answers])]
    assert done.returncode == 0 and asked[: len(tried)] == tried and asked[len(tried)].startswith("import ")
    assert ("Debian's archive" in done.stderr) is not there


def test_rootfs_keeps_the_images_environment(repository):
    process, asked = repository.call("rootfs", "cuda")
    assert process.returncode == 0, process.stderr
    with tarfile.open(repository.root / "aepsl-cuda.tar") as archive:
        assert archive.getmember("etc/aepsl.env").mode == 0o644
        environment = archive.extractfile("etc/aepsl.env").read().decode()
    script = environment + 'echo "$PATH"; echo "$QUOTED"'
    assert subprocess.run(["/bin/bash", "-c", script], stdout=subprocess.PIPE, text=True).stdout == (
        "/bin\nit's = quoted\n"
    )
    assert ["rm", "--force", "container1"] in [arguments for arguments, _ in asked]


def test_slices_are_the_export_compressed_with_their_checksums(repository):
    process, _ = repository.call("rootfs", "cuda", "the slices")
    assert process.returncode == 0, process.stderr
    folder = repository.root / "the slices"
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert [name for _, name in lines] == sorted(set(os.listdir(folder)) - {"SHA256SUMS"})
    for checksum, name in lines:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
    whole = io.BytesIO(b"".join((folder / name).read_bytes() for _, name in lines))
    with tarfile.open(fileobj=whole, mode="r:gz") as archive:
        assert archive.getmember("etc/aepsl.env").mode == 0o644
    assert not (repository.root / "aepsl-cuda.tar").exists()


@pytest.mark.parametrize("slices", [(), ("slices",)])
def test_an_export_that_fails_leaves_nothing(repository, slices):
    before = sorted(os.listdir(repository.root))
    process, asked = repository.call("rootfs", "cpu", *slices, CUT="1")
    assert process.returncode != 0
    assert sorted(set(os.listdir(repository.root)) - {"asked"}) == before
    assert asked[-1][0] == ["rm", "--force", "container1"]
