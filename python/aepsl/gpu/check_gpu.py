"""Is the GPU ready for training? `make check-gpu`: one line a check, 'ok' or what to do; exit code 1 if one failed.

Caffe ends the process at any error of CUDA, so each check has a process of its own.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Optional

import caffe

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import read_text
from aepsl.bench.processes import in_a_process
from aepsl.gpu import agreement
from aepsl.nets import cuda
from aepsl.paper import published
from aepsl.run import costs
from aepsl.settings import experiments
from aepsl.settings.typed import Experiment
from aepsl.training.stand_ins import trained

ARCHITECTURES = "/opt/cuda/architectures"  # a file with those of the image's libcaffe.so: 'compute_80 sm_70 ...'
OLDEST_DRIVER = (11, 0)  # its newest CUDA; NVIDIA promises that it runs every 11.x
LARGEST = "psl"  # the net that needs most memory
GIB = 2**30


def caffe_itself() -> str:
    """Caffe's CUDA libraries and architectures; InputError if it is built without CUDA."""
    if not cuda.BUILT_IN:
        raise InputError("this Caffe is built without CUDA; `make check-gpu` on the host takes the image that has it")
    tf32 = "on" if cuda.is_tf32_asked_for() else "off"
    return (
        f"cuBLAS {_dotted(cuda.versions()['cuBLAS'])}, NCCL {'yes' if caffe.has_nccl() else 'no'}, TF32 {tf32}; "
        f"code for {' '.join(architectures())}"
    )


def architectures() -> list[str]:
    """Those of the image's libcaffe.so, see code_for."""
    text = read_text(ARCHITECTURES)
    if text is None:
        raise InputError(f"{ARCHITECTURES}: is missing; this Caffe is not the image's, which `make image-cuda` builds")
    return text.split()


def driver() -> str:
    """The driver's version; InputError if it is missing or too old, or if no GPU is visible."""
    newest, runtime = cuda.versions()["driver"], cuda.versions()["runtime"]
    if newest == (0, 0):
        raise InputError(
            "no driver, so no GPU is visible here: if nvidia-smi on the host shows one, give it with GPU=0 "
            "(Apptainer: --nv); if not, install NVIDIA's driver on the host"
        )
    if newest < OLDEST_DRIVER:
        raise InputError(f"it only runs CUDA up to {_dotted(newest)}; upgrade it to version 450.80.02 or later")
    if not cuda.count():
        raise InputError("it is there, but no GPU is visible: give it with GPU=0, nvidia-smi's number")
    return f"{cuda.driver_release()}, up to CUDA {_dotted(newest)}; Caffe's runtime is CUDA {_dotted(runtime)}"


def card(gpu: int) -> str:
    """The GPU's model, and how Caffe runs on it."""
    capability = cuda.capability(gpu)
    return f"{cuda.name(gpu)}, compute capability {_dotted(capability)}: {code_for(capability, architectures())}"


def code_for(capability: tuple[int, ...], architectures: Sequence[str]) -> str:
    """How Caffe runs on a GPU of a compute capability, (8, 6); InputError if it cannot.

    architectures: 'sm_70' is a binary for compute capability 7.0, 'compute_80' is PTX for 8.0 and later.
    """
    binaries, portable = ([int(a[-2:]) for a in architectures if a.startswith(kind)] for kind in ("sm", "compute"))
    major, minor = capability
    if any(number // 10 == major and number % 10 <= minor for number in binaries):
        return "Caffe has a binary for it"
    if any(number <= 10 * major + minor for number in portable):
        return "the driver compiles Caffe for it, once (kept in .cuda-cache)"
    raise InputError(f"it has compute capability {_dotted(capability)}; Caffe is built for {' '.join(architectures)}")


def memory(gpu: int, experiment: Experiment) -> str:
    """The GPU's free memory; InputError if it is too small to train the experiment's largest net."""
    free, total = cuda.memory(gpu)
    if not total:
        raise InputError("CUDA does not start on it; the kernel's log (dmesg) may say why, a restart often helps")
    needed = costs.memory_of_training(experiment, LARGEST)
    text = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free; training {LARGEST} takes about {needed / GIB:.1f}"
    if free + costs.CONTEXT < needed:  # this process has a context, too
        raise InputError(f"{text}: end what else runs on it (nvidia-smi shows it), or take a larger GPU")
    return text


def agrees(gpu: int) -> str:
    """The largest differences of the demo's net from the CPU's; InputError if they are too large."""
    found = agreement.largest_differences(agreement.net_with_inputs(experiments.load("demo"), "psl"), gpu)
    text = f"the demo's net against the CPU's: {found[0]}, {found[1]}"
    if not all(each.is_allowed for each in found):
        raise InputError(f"{text}; with TF32=1 that is to be expected")
    return text


def training(gpu: int, name: str, batch: int, iterations: int = 2) -> str:
    """The speed of training the largest net of the experiment `name`."""
    seconds, _ = trained(gpu, name, LARGEST, batch, iterations)
    return f"{LARGEST}, {iterations} iterations: {iterations * batch / seconds:.1f} images/s"


def _dotted(version):
    return ".".join(map(str, version))


def report(name: str, check: Callable[..., str], *arguments: Any) -> bool:
    """Run a check in a process of its own and print its line; returns whether it passed."""
    try:
        word, text = "ok", in_a_process(check, *arguments)
    except InputError as error:
        word, text = "FAILED", str(error)
    print(f"{name:18}{word:8}{text}", flush=True)
    return word == "ok"


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--experiment", type=experiments.load, default=published.PAPERS_EXPERIMENT, help="whose nets")
    parser.add_argument("--quick", action="store_true", help="only the checks that take seconds; nothing is computed")
    asked = parser.parse_args(argv)
    experiment = asked.experiment
    ready = report("Caffe", caffe_itself) and report("driver", driver)
    if not ready:
        print(f"{'all else':18}{'-':8}needs a GPU, and was not run")
    for gpu in range(cuda.count() if ready else 0):
        ready &= report(f"GPU {gpu}", card, gpu)
        ready &= report(f"GPU {gpu} memory", memory, gpu, experiment)
        if asked.quick:
            continue
        ready &= report(f"GPU {gpu} agreement", agrees, gpu)
        for batch in (2, experiment.training.of(LARGEST).batch):
            ready &= report(f"GPU {gpu} batch {batch}", training, gpu, experiment.name, batch)
    sys.exit(not ready)
