"""Does a JPEG hold all of its picture? Decoders fill what it lacks with grey, or leave it coarse, and say nothing."""

import re

MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")  # what ends the pixels of a scan; d0 ... d7 stand within
END, SCAN = 0xD9, 0xDA
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
COEFFICIENTS = 64


def lacks_scans(data):
    """Whether a JPEG's bytes end before all bits of all coefficients of all its components have come.

    A scan has some of them: of a component all, or in a progressive file the upper bits of a few coefficients.
    """
    progressive, lacking = False, set()
    for marker, content, _ in _segments(data):
        if marker in FRAMES:
            progressive = marker in PROGRESSIVE
            lacking = {(component, k) for component in content[6::3] for k in range(COEFFICIENTS)}
        elif marker == SCAN:
            count = content[0] if content else 0
            first, last, bits = bytes(3) if not progressive else content[1 + 2 * count :].ljust(3, b"\xff")[:3]
            if not bits & 15:  # else lower bits are to come
                which = range(first, last + 1) if progressive else range(COEFFICIENTS)
                lacking -= {(component, k) for component in content[1 : 1 + 2 * count : 2] for k in which}
    return bool(lacking)


def without_end(data):
    """A JPEG's bytes up to its mark of an end, and a few zeros; None if it has several scans, or no such mark.

    Where a decoder sees that mark too early it fills the missing rows with grey. Without it, Pillow refuses the file as
    any that was cut short; the zeros are for decoders that look ahead, and hold no row.
    """
    segments = list(_segments(data))
    scans = sum(marker == SCAN for marker, _, _ in segments)
    if scans != 1 or segments[-1][0] != END:
        return None
    return data[: segments[-1][2]] + bytes(8)


def _segments(data):
    """(marker, content, where it begins) of each segment of a JPEG's bytes, until its first picture ends."""
    at = 2
    while True:
        found = MARKER.search(data, at)
        if not found:
            return
        marker, at = found[1][0], found.end()
        length = 0 if marker == END else int.from_bytes(data[at : at + 2], "big")
        yield marker, data[at + 2 : at + length], found.start()
        if marker == END:
            return
        at += length
