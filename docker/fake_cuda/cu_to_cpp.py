"""Rewrite a .cu file of Caffe's for g++: kernel<<<grid, block>>>(...) to launch<&kernel>(grid, block)(...).

usage: cu_to_cpp.py FROM TO. What it does not know ends it by name: a kernel without CUDA_KERNEL_LOOP, in which one
thread takes all, and a launch of another shape.
"""

import re
import sys

STRING_OR_COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
# a name, perhaps pasted by a macro, perhaps with template arguments
LAUNCH = re.compile(r"((?:\w+##)?[A-Za-z_]\w*(?:##\w+)?(?:\s*<[^<>;(){}]*>)?)\s*(?:\\\n\s*)?<<<([^<>]*)>>>", re.S)
KERNEL = re.compile(r"__global__\s+void\s+([\w#]+)\s*\([^()]*\)[\s\\]*{")
# kernels that are not templates, but functions of one name
OVERLOADED = {"ClipForward": "static_cast<void (*)(const int, const Dtype*, Dtype*, Dtype, Dtype)>(&ClipForward)"}


def without_comments(text):
    """Comments are gone, but for their line breaks."""
    keep = lambda found: found[0] if found[0][0] in "\"'" else re.sub(r"[^\n]+", " ", found[0])  # noqa: E731
    return STRING_OR_COMMENT.sub(keep, text)


def launched(found):
    kernel, shape = found[1], found[2]
    if len(shape.split(",")) != 2:
        sys.exit(f"{kernel}<<<{shape}>>>: only a number of blocks and one of threads is known")
    return f"::fakecuda::launch<{OVERLOADED.get(kernel, '&' + kernel + '<Dtype>' * ('<' not in kernel))}>({shape})"


def rewritten(text):
    text = without_comments(text)
    bodies = KERNEL.split(text)[1:]
    for name, body in zip(bodies[::2], bodies[1::2]):
        if "CUDA_KERNEL_LOOP(" not in body:
            sys.exit(f"{name}: this kernel has no CUDA_KERNEL_LOOP, and the fake CUDA runs one thread")
    text = LAUNCH.sub(launched, text)
    if "<<<" in text:
        sys.exit(f"an unknown form of a launch: {text[text.index('<<<') - 60 :][:100]!r}")
    return text


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        result = rewritten(file.read())
    with open(sys.argv[2], "w") as file:
        file.write(result)
