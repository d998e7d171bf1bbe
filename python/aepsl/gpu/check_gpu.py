"""Is the GPU ready for training? `make check-gpu`: one line a check, 'ok' or what to do; exit code 1 if one failed.

Caffe ends the process at any error of CUDA, so each check has a process of its own.
"""

import sys
import tempfile
import time

import caffe

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import read_text
from aepsl.bench.processes import in_a_process
from aepsl.gpu import agreement
from aepsl.nets import cuda, device
from aepsl.paper import published
from aepsl.run import costs
from aepsl.settings import experiments
from aepsl.training import stand_ins

ARCHITECTURES = "/opt/cuda/architectures"  # of the code in the image's libcaffe.so: 'compute_80 sm_70 ...'
OLDEST_DRIVER = (11, 0)  # NVIDIA promises that it runs every 11.x
LARGEST = "psl"  # the net of voc12 that takes most memory
WARM_UP = 3  # iterations: the first allocates, and compiles where there is no binary; then the decoding is ahead
GIB = 2**30


def caffe_itself():
    if not cuda.BUILT_IN:
        raise InputError("this Caffe is built without CUDA; `make check-gpu` on the host takes the image that has it")
    tf32 = "on" if cuda.is_tf32_asked_for() else "off"
    return (
        f"cuBLAS {_dotted(cuda.versions()['cuBLAS'])}, NCCL {'yes' if caffe.has_nccl() else 'no'}, TF32 {tf32}; "
        f"code for {' '.join(architectures())}"
    )


def architectures():
    return read_text(ARCHITECTURES).split()


def driver():
    newest, runtime = cuda.versions()["driver"], cuda.versions()["runtime"]
    if newest == (0, 0):
        raise InputError(
            "no driver, so no GPU is visible here: if nvidia-smi on the host shows one, give it with GPU=0 "
            "(Apptainer: --nv); if not, install NVIDIA's driver on the host"
        )
    if newest < OLDEST_DRIVER:
        raise InputError(f"it ends at CUDA {_dotted(newest)}; upgrade it to version 450.80.02 or later")
    if not cuda.count():
        raise InputError("it is there, but no GPU is visible: give it with GPU=0, nvidia-smi's number")
    return f"{cuda.driver_release()}, up to CUDA {_dotted(newest)}; Caffe's runtime is CUDA {_dotted(runtime)}"


def card(gpu):
    capability = cuda.capability(gpu)
    return f"{cuda.name(gpu)}, compute capability {_dotted(capability)}: {code_for(capability, architectures())}"


def code_for(capability, architectures):
    """How Caffe runs on a GPU. architectures: 'sm_70' is a binary for compute capability 7.0, 'compute_80' PTX."""
    binaries, portable = ([int(a[-2:]) for a in architectures if a.startswith(kind)] for kind in ("sm", "compute"))
    major, minor = capability
    if any(number // 10 == major and number % 10 <= minor for number in binaries):
        return "Caffe has a binary for it"
    if any(number <= 10 * major + minor for number in portable):
        return "the driver compiles Caffe for it, once (kept in .cuda-cache)"
    raise InputError(f"it has compute capability {_dotted(capability)}; Caffe is built for {' '.join(architectures)}")


def memory(gpu):
    free, total = cuda.memory(gpu)
    if not total:
        raise InputError("CUDA does not start on it; the kernel's log (dmesg) may say why, a restart often helps")
    needed = costs.memory_of_training(experiments.load(published.PAPERS_EXPERIMENT), LARGEST)
    text = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free; training {LARGEST} takes about {needed / GIB:.1f}"
    if free < needed:
        raise InputError(f"{text}: end what else runs on it (nvidia-smi shows it), or take a larger GPU")
    return text


def agrees(gpu):
    net = agreement.net_with_inputs(experiments.load("demo"), "psl")
    name, difference = agreement.largest_difference(net, gpu)
    if not difference <= agreement.TOLERANCE:
        raise InputError(f"{name} is {difference:.1e} away from the CPU's; with TF32=1 that is to be expected")
    return f"the demo's net, forward and backward, is within {difference:.1e} of the CPU's ({name})"


def training(gpu, batch, iterations=2):
    rate, _ = trained(gpu, LARGEST, batch, iterations)
    return f"{LARGEST}, {iterations} iterations: {rate:.1f} images/s"


def trained(gpu, task, batch, iterations):
    """(images a second, bytes of the card in use) of a training of voc12's net on generated images."""
    device.use(gpu)
    with tempfile.TemporaryDirectory() as folder:
        solver = stand_ins.solver(experiments.load(published.PAPERS_EXPERIMENT), task, folder, batch)
        solver.step(WARM_UP)
        begun = time.time()
        solver.step(iterations)
        seconds = time.time() - begun
        free, total = cuda.memory(gpu)
    return iterations * batch / seconds, total - free


def _dotted(version):
    return ".".join(map(str, version))


def report(name, check, *arguments):
    """Run a check in a process of its own and print its line; returns whether it passed."""
    try:
        word, text = "ok", in_a_process(check, *arguments)
    except InputError as error:
        word, text = "FAILED", error
    print(f"{name:18}{word:8}{text}", flush=True)
    return word == "ok"


def main(argv=None):
    cli.parser(__doc__).parse_args(argv)
    ready = report("Caffe", caffe_itself) and report("driver", driver)
    if not ready:
        print(f"{'all else':18}{'-':8}needs a GPU, and was not run")
    for gpu in range(cuda.count() if ready else 0):
        for name, check in (("", card), ("memory", memory), ("agreement", agrees)):
            ready &= report(f"GPU {gpu} {name}", check, gpu)
        for batch in (2, experiments.load(published.PAPERS_EXPERIMENT)["training"][LARGEST]["batch"]):
            ready &= report(f"GPU {gpu} batch {batch}", training, gpu, batch)
    sys.exit(not ready)
