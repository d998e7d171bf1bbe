"""Unpacks tar archives that others made. Only plain files are written, and only into one new folder."""

import os
import posixpath
import tarfile
import zlib
from collections.abc import Sequence

from tqdm import tqdm

from aepsl.base.errors import InputError
from aepsl.base.files import folder_whole


def unpack(archive: str, out: str, top: str, only: Sequence[str] = ()) -> None:
    """Unpack the archive's folder `top`, or of it the files and folders `only`, into the folder `out`.

    `out` appears whole or not at all; it must not exist yet. Raises InputError for a full disk, and for an archive that
    is damaged, that has a path out of its own folder, whose wanted members include a link or a device, or that has no
    wanted member.
    """
    wanted = [posixpath.join(top, name) for name in only] or [top]
    try:
        with folder_whole(out) as beside, open(archive, "rb") as file:
            bar = dict(desc=f"unpacking {os.path.basename(archive)}", total=os.path.getsize(archive), disable=None)
            with tqdm.wrapattr(file, "read", **bar) as counted, tarfile.open(fileobj=counted, mode="r|*") as members:
                for member in members:
                    name = posixpath.normpath(member.name)
                    if posixpath.isabs(name) or ".." in member.name.split("/"):
                        raise InputError(f"{archive}: holds the path {member.name!r}, which leads out; do not use it")
                    if member.isdir() or not any(name == w or name.startswith(w + "/") for w in wanted):
                        continue
                    if not member.isfile():
                        raise InputError(f"{archive}: {member.name!r} is a link or a device; do not use the archive")
                    member.name = posixpath.relpath(name, top)
                    members.extract(member, beside, set_attrs=False)
            if not os.listdir(beside):
                raise InputError(f"{archive}: holds no {wanted[0]}; it is another archive, remove it and start again")
    except (tarfile.TarError, zlib.error, EOFError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # for damage gzip raises an OSError without a number
            raise InputError(f"{out}: {error.strerror} while unpacking; mend that, and start again") from None
        # RecursionError: a thousand nested folders
        raise InputError(f"{archive}: is damaged or cut short; remove it and start again") from None
