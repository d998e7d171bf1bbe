"""What every command has in common: how it ends with bad input."""

import os
import sys

from aepsl.errors import InputError


def command(main):
    """Run a stage's `main()`; an InputError or a refusal of the system becomes one line on stderr and exit code 1."""
    try:
        main()
        return
    except InputError as error:
        line = str(error)
    except OSError as error:  # no permission, no room
        if not error.filename:
            raise
        line = f"{error.filename}: {error.strerror}"
    sys.stderr.write(f"error: {line}\n")
    sys.stderr.flush()
    # Not sys.exit: Caffe's and OpenBLAS' threads may still run, and nothing is left to clean up.
    os._exit(1)
