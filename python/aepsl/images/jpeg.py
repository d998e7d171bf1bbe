"""Is a JPEG complete? Decoders fill missing parts with grey, or leave them coarse, without a message."""

import re
from typing import Optional

MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")  # ends the pixels of a scan; d0 ... d7 occur within them
END, SCAN = 0xD9, 0xDA
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
COEFFICIENTS = 64


def lacks_scans(data: bytes) -> bool:
    """Whether a JPEG's bytes lack some bits of some coefficients of its components.

    A scan has all coefficients of its components or, in a progressive file, bits of some coefficients.
    """
    progressive, lacking = False, set()
    for marker, content, _ in _segments(data):
        if marker in FRAMES:
            progressive = marker in PROGRESSIVE
            lacking = {(component, k) for component in content[6::3] for k in range(COEFFICIENTS)}
        elif marker == SCAN:
            count = content[0] if content else 0
            first, last, bits = bytes(3) if not progressive else content[1 + 2 * count :].ljust(3, b"\xff")[:3]
            if not bits & 15:  # else a later scan has the lower bits
                which = range(first, last + 1) if progressive else range(COEFFICIENTS)
                lacking -= {(component, k) for component in content[1 : 1 + 2 * count : 2] for k in which}
    return bool(lacking)


def without_end(data: bytes) -> Optional[bytes]:
    """A JPEG's bytes up to its end marker, and a few zeros; None if it has several scans, or no end marker.

    If the end marker comes too early, a decoder fills the missing rows with grey. Without the marker, Pillow refuses
    such a file as cut short. The zeros, too few for a row, are for decoders that read ahead.
    """
    segments = list(_segments(data))
    scans = sum(marker == SCAN for marker, _, _ in segments)
    if scans != 1 or segments[-1][0] != END:
        return None
    return data[: segments[-1][2]] + bytes(8)


def _segments(data):
    """(marker, content, offset) of each segment of a JPEG's bytes, up to the end of its first picture."""
    at = 2
    while found := MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        length = 0 if marker == END else int.from_bytes(data[at : at + 2], "big")
        yield marker, data[at + 2 : at + length], found.start()
        if marker == END:
            return
        at += length
