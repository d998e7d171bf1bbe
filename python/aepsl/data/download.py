"""Downloads files, checks each before it gets its name, and unpacks archives.

The bytes of a download that broke off stay in NAME.part, and the next start continues it. A file that is there is not
downloaded again. An archive that was unpacked is no longer needed.
"""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Optional

import requests
import urllib3
from tqdm import tqdm

from aepsl import cli
from aepsl.base.errors import InputError
from aepsl.base.files import check_room, digest, make_folder
from aepsl.base.locks import only_one
from aepsl.data import source_table
from aepsl.data.archives import unpack

ROUNDS = 4  # rounds through all mirrors without a new byte, after which it gives up
PAUSE = 1  # seconds after the first such round; doubled after each
TIMEOUT = (15, 60)  # seconds to connect, and between two pieces
REASONS = {  # {kind of error: what the mirror does}; the first kind that fits counts
    (requests.Timeout, urllib3.exceptions.TimeoutError): "does not answer in time",
    requests.exceptions.SSLError: "shows a certificate that this machine does not trust",
    requests.RequestException: "cannot be reached",
    urllib3.exceptions.HTTPError: "broke off",
}


def run(names: Sequence[str], out: str, sources: Optional[str] = None, optional: bool = False) -> None:
    """Download the files `names` of the table of sources into the folder `out`, and unpack those with `unpack`.

    sources: path of the table, None for the usual one; optional: a missing file that can only be fetched by hand is a
    note on stderr, not an error. Raises InputError, see `fetch`.
    """
    table = source_table.load(sources)
    entries = {name: source_table.entry(table, name) for name in names}
    make_folder(out)
    with only_one(out):
        for name, entry in entries.items():
            path, folder = os.path.join(out, name), entry.get("unpack")
            if folder and os.path.isdir(os.path.join(out, folder["folder"])):
                continue
            if optional and not entry.get("urls") and not os.path.exists(path):
                print(_by_hand(path, entry), file=sys.stderr)
                continue
            fetch(path, entry)
            if folder:
                unpack(path, os.path.join(out, folder["folder"]), folder["from"], folder.get("only", ()))


def fetch(path: str, entry: dict) -> None:
    """Download one file to `path` and check it; a file that is there is only checked.

    entry: its entry in the table of sources. Raises InputError if no mirror gives the file, if its checksum is wrong,
    if the disk is full, or if it can only be fetched by hand.
    """
    if os.path.exists(path):
        if fault := _fault(path, entry):
            raise InputError(f"{path}: {fault}; remove it and start again")
        return
    if not entry.get("urls"):
        raise InputError(_by_hand(path, entry))
    if not checksums(entry) and "unchecked" not in entry:
        raise InputError(f"{path}: the table of sources has no checksum; add sha256, or `unchecked` with a reason")
    check_room(os.path.dirname(os.path.abspath(path)), entry.get("size", 0) - _size(path + ".part"))
    _from_mirrors(list(entry["urls"]), path, entry)


def _from_mirrors(mirrors, path, entry):
    """Try the URLs in order, and again while more bytes come; InputError if none gives the file."""
    part, reasons, idle = path + ".part", {}, 0
    most = _size(part)
    while mirrors and idle < ROUNDS:
        for url in list(mirrors):
            resumed = _size(part) > 0
            try:
                _get(url, part, entry.get("size"))
                reasons[url] = _fault(part, entry)
            except (OSError, urllib3.exceptions.HTTPError) as error:
                reasons[url] = next((told for kind, told in REASONS.items() if isinstance(error, kind)), str(error))
                continue
            if not reasons[url]:
                os.replace(part, path)
                return
            os.unlink(part)
            if not resumed:  # else the wrong bytes may come from another mirror, or from an earlier start
                mirrors.remove(url)
        idle = 0 if _size(part) > most else idle + 1
        most = max(most, _size(part))
        if mirrors and 0 < idle < ROUNDS:
            time.sleep(PAUSE * 2 ** (idle - 1))
    kept, told = _size(part), "; ".join(f"{url} {reason}" for url, reason in reasons.items())
    if kept:
        remedy = f"the {kept:,} bytes that came are kept. Start again, it continues there"
        raise InputError(f"{path}: is not whole yet ({told}); {remedy}")
    hand = entry.get("by_hand", "fetch it by other means and put it there")
    raise InputError(f"{path}: could not be downloaded ({told}). Check the network and start again, or {hand}")


def _get(url, part, size):
    """Append to `part` the missing bytes of `url`; OSError or HTTPError if the connection breaks off."""
    have = _size(part)
    # No encoding: the bytes must be those of the file, even if a server calls a .tgz an encoded .tar.
    headers = {"User-Agent": "aepsl", "Accept-Encoding": "identity", "Range": f"bytes={have}-"}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if have and answer.status_code == 416:
            return  # `part` has all bytes already
        if answer.status_code >= 400:
            raise OSError(f"answers {answer.status_code}")
        if answer.status_code != 206:
            have = 0  # this server always sends the whole file
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise OSError("sends another part than asked for")
        length = answer.headers.get("Content-Length")
        end = have + int(length) if length else size
        if size and end != size:
            raise OSError(f"sends a file of {end:,} bytes, not {size:,}")
        bar = dict(desc=os.path.basename(part)[: -len(".part")], initial=have, total=end, disable=None)
        try:
            with tqdm.wrapattr(answer.raw, "read", **bar) as counted, open(part, "ab") as file:
                file.truncate(have)
                shutil.copyfileobj(counted, file)
        except OSError as error:  # of the file: urllib3 has its own errors for the connection
            kept = f"{error.strerror} after {_size(part):,} bytes; they are kept"
            remedy = "Make room, or give a folder that you may write to, and start again, it continues there"
            raise InputError(f"{part}: {kept}. {remedy}") from None
        if end and _size(part) < end:
            raise OSError("broke off")


def checksums(entry: dict) -> dict[str, str]:
    """{kind: checksum in hexadecimal} of an entry."""
    return {kind: entry[kind] for kind in sorted(hashlib.algorithms_available & set(entry))}


def _fault(path, entry):
    """What is wrong with a file, or None."""
    if "size" in entry and _size(path) != entry["size"]:
        return f"has {_size(path):,} bytes, not {entry['size']:,}"
    for kind, expected in checksums(entry).items():
        if (found := digest(path, kind)) != expected:
            return f"has the {kind} {found}, not {expected}"
    return None


def _by_hand(path, entry):
    return f"{path}: cannot be downloaded: {entry.get('by_hand', 'the table of sources gives no URL; add one')}"


def _size(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def main(argv: Optional[list[str]] = None) -> None:
    parser = cli.parser(__doc__, places=lambda asked: dict(out=[os.path.join(asked.out, name) for name in asked.names]))
    parser.add_argument("names", nargs="+", metavar="NAME", help="a file of the table of sources")
    parser.add_argument("--out", required=True, help="folder for the files, and for the folders unpacked from them")
    source_table.add_option(parser)
    parser.add_argument("--optional", action="store_true", help="a file that must be fetched by hand is no error")
    run(**vars(parser.parse_args(argv)))
