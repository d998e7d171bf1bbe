"""Which JPEGs hold all of their picture, told by their headers: made by hand, since few programs write such files."""

import struct

import pytest

from aepsl.images import jpeg

PIXELS = b"\x12\xff\x00\xff\xd0\x34"  # 255 and a restart occur within


def segment(marker, content):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def frame(marker, components=(1, 2, 3)):
    each = b"".join(bytes([component, 0x11, 0]) for component in components)
    return segment(marker, struct.pack(">BHHB", 8, 16, 16, len(components)) + each)


def scan(components, first=0, last=63, bits=0):
    each = b"".join(bytes([component, 0]) for component in components)
    return segment(0xDA, bytes([len(components)]) + each + bytes([first, last, bits])) + PIXELS


SEQUENTIAL, PROGRESSIVE, OF_ONE = frame(0xC0), frame(0xC2), frame(0xC2, (1,))
EACH = [scan([component]) for component in (1, 2, 3)]
DC, DC_COARSE, DC_REST = scan([1, 2, 3], 0, 0), scan([1, 2, 3], 0, 0, 0x01), scan([1, 2, 3], 0, 0, 0x10)
AC = [scan([component], 1, 63) for component in (1, 2, 3)]


@pytest.mark.parametrize(
    "segments, lacks",
    [
        ([SEQUENTIAL, scan([1, 2, 3])], False),
        ([SEQUENTIAL, *EACH], False),
        ([SEQUENTIAL, *EACH[:2]], True),
        ([SEQUENTIAL, *EACH[1:]], True),
        ([SEQUENTIAL, scan([1, 2, 3], 0, 0)], False),  # what a sequential scan says of coefficients is not looked at
        ([SEQUENTIAL], True),
        ([PROGRESSIVE, DC, *AC], False),
        ([PROGRESSIVE, DC_COARSE, *AC, DC_REST], False),
        ([PROGRESSIVE, DC_COARSE, *AC], True),
        ([PROGRESSIVE, *AC], True),
        ([PROGRESSIVE, DC, *AC[:2]], True),
        ([OF_ONE, scan([1], 0, 0), scan([1], 1, 5), scan([1], 6, 63, 0x02), scan([1], 6, 63, 0x21)], True),
        ([OF_ONE, scan([1], 0, 0), scan([1], 1, 5), scan([1], 6, 63, 0x01), scan([1], 6, 63, 0x10)], False),
        ([OF_ONE, scan([1], 0, 0), scan([1], 1, 5), scan([1], 7, 63)], True),
        ([OF_ONE, scan([1], 0, 0), b"\xff\xda\x00\x05\x01\x01\x00"], True),  # a scan's header that ends early
    ],
)
@pytest.mark.parametrize("thumbnail", [b"", segment(0xE1, b"Exif\0\0" + b"\xff\xd8\xff\xd9")], ids=["", "thumbnail"])
def test_scans_are_missing_where_bits_of_a_coefficient_have_not_come(segments, lacks, thumbnail):
    data = b"\xff\xd8" + thumbnail + b"".join(segments) + b"\xff\xd9"
    assert jpeg.lacks_scans(data) == lacks
    assert jpeg.lacks_scans(data + b"\xff\xd8" + SEQUENTIAL + b"\xff\xd9") == lacks  # another picture behind it


def test_only_the_end_of_a_file_of_one_scan_is_taken_away():
    one = b"\xff\xd8" + SEQUENTIAL + scan([1, 2, 3])
    assert jpeg.without_end(one + b"\xff\xd9" + one) == one + bytes(8)
    assert jpeg.without_end(one) is None
    assert jpeg.without_end(b"\xff\xd8" + SEQUENTIAL + b"".join(EACH) + b"\xff\xd9") is None
    assert jpeg.without_end(b"\xff\xd8\xff\xd9") is None
