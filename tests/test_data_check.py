"""Data that do not mean what they seem: read as what they plainly are, or one line that says what is wrong."""

import dataclasses
import os
import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from aepsl.base.errors import InputError
from aepsl.base.parallel import in_threads
from aepsl.data import check, lists
from aepsl.data.dataset import Dataset
from aepsl.evaluation import evaluate
from aepsl.images import decoding, pictures
from aepsl.images.pictures import read_image, read_indexed, read_picture, write_grey, write_mask
from aepsl.settings import experiments
from aepsl.store import digests

NAMES = ["cat", "dog", "hot dog"]
DEMO = experiments.load("demo")
EXPERIMENT = dataclasses.replace(experiments.changed(DEMO, {"data.test": "test"}), classes=None)  # the data set's
WIDTH, HEIGHT = 24, 16


def outcome(call, expected):
    """What `call` returns, if `expected` is no text; else its InputError must be one line that holds the text."""
    if not isinstance(expected, str):
        return call()
    with pytest.raises(InputError) as error:
        call()
    assert expected in str(error.value) and "\n" not in str(error.value)
    return None


LISTS = {
    "ids": (b"a\nb\n", ["a", "b"]),
    "no line break at the end": (b"a\nb", ["a", "b"]),
    "jpg": (b"a.jpg\nb.jpg\n", ["a", "b"]),
    "other extensions": (b"a.JPG\nb.jpeg\nc.png\n", ["a", "b", "c"]),
    "dots in the id": (b"a.v1\nb.v2.jpg\n", ["a.v1", "b.v2"]),
    "two columns of paths": (b"/JPEGImages/a.jpg /SegmentationClassAug/a.png\n", ["a"]),
    "two columns without a slash": (b"JPEGImages/a.jpg SegmentationClass/a.png\n", ["a"]),
    "two columns of ids, with a tab": (b"a\ta\nb\tb\n", ["a", "b"]),
    "three columns": (b"a.jpg a.png a\n", ["a"]),
    "only paths": (b"JPEGImages/a.jpg\n", ["a"]),
    "main": (b"a  1\nb -1\nc  0\n", ["a", "c"]),
    "main, one flag": (b"a -1\nb -1\n", ["a", "b"]),
    "windows": (b"a\r\nb\r\n", ["a", "b"]),
    "old macintosh": (b"a\rb\r", ["a", "b"]),
    "byte order mark": (b"\xef\xbb\xbfa\nb\n", ["a", "b"]),
    "empty lines": (b"\n\na\n\n \t\nb\n\n", ["a", "b"]),
    "spaces at the ends": (b" a  \nb\t\n", ["a", "b"]),
    "no ascii": ("käse\n猫\n".encode(), ["käse", "猫"]),
    "what a shell would read": (b"$(x)\n'a'\n{1}\n*\n", ["$(x)", "'a'", "{1}", "*"]),
    "utf-16": ("a\nb\n".encode("utf-16"), "line 1 is not UTF-8, but UTF-16"),
    "utf-16 without a mark": ("a\nb\n".encode("utf-16-le"), "an id has no control characters"),
    "latin-1": ("a\nkäse\n".encode("latin-1"), "line 2 is not UTF-8, but UTF-16, Latin-1"),
    "empty": (b"", "is empty"),
    "only spaces": (b" \n\t\n", "is empty"),
    "two images a line": (b"a b\n", "line 1 names 'a' and 'b'; give one id a line"),
    "columns of two images": (b"a.jpg b.png\n", "line 1 names 'a' and 'b'"),
    "a space in the name": (b"my photo.jpg\n", "line 1 names 'my' and 'photo'"),
    "a label": (b"a 7\n", "line 1 names 'a' and '7'"),
    "up": (b"a\n../b\n", "line 2 names '../b'; an id is the name of an image"),
    "up in paths": (b"JPEGImages/../../b.jpg\n", "line 1 names"),
    "dots": (b"..\n", "line 1 names '..'"),
    "absolute": (b"/etc/passwd\n", "line 1 names '/etc/passwd'"),
    "absolute below JPEGImages": (b"/JPEGImages//etc/passwd\n", "line 1 names"),
    "folder": (b"sub/0001\n", "line 1 names 'sub/0001'"),
    "backslash": (b"sub\\0001\n", "line 1 names"),
    "control character": (b"a\x07b\n", "an id has no control characters"),
    "escape": (b"\x1b[31mred\n", "an id has no control characters"),
    "no-break space": ("a\u00a0b\n".encode(), "an id has no control characters"),
    "right to left": ("a\u202eb\n".encode(), "an id has no control characters"),
    "null": (b"a\0b\n", "an id has no control characters"),
    "only an extension": (b"JPEGImages/\n", "line 1 names"),
    "too long": (b"a" * 201 + b"\n", "an id of 201 bytes"),
    "too long in bytes": ("猫".encode() * 67 + b"\n", "an id of 201 bytes"),
    "as long as can be": (b"a" * 200 + b"\n", ["a" * 200]),
    "what a pattern would match": (b"[x]*?\n[!a]\n", ["[x]*?", "[!a]"]),
    "per cent": (b"%s%d%20\n", ["%s%d%20"]),
    "two dots in a row": (b"a.b..c\n", ["a.b..c"]),
    "like an option": (b"-rf\n--help\n", ["-rf", "--help"]),
    "hidden, home": (b".a\n~\n", [".a", "~"]),
    "like numbers": (b"007\n1e5\nnan\n", ["007", "1e5", "nan"]),
    "emoji": ("🐈\n".encode(), ["🐈"]),
    "utf-32": ("a\nb\n".encode("utf-32"), "line 1 is not UTF-8"),
    "compressed": (b"\x1f\x8b\x08\0\0\0\0\0", "line 1 is not UTF-8"),
    "shift-jis": ("猫\n".encode("shift-jis"), "line 1 is not UTF-8"),
    "a lone surrogate": (b"a\n\xed\xa0\x80\n", "line 2 is not UTF-8"),
    "form feed": (b"a\x0cb\n", "an id has no control characters"),
    "line separator": ("a\u2028b\n".encode(), "an id has no control characters"),
    "a comment": (b"# my list\na\n", "line 1 names '#' and 'my'"),
    "another flag": (b"a 2\nb 1\n", "line 1 names 'a' and '2'"),
    "a million empty lines": (b"\n" * 10**6 + b"a\n", ["a"]),
    "no line break for megabytes": (b"x" * 10**7, "an id of 10000000 bytes"),
    "twice": (b"a\nb\na\n", "names a twice"),
    "twice, once with extension": (b"a\na.jpg\n", "names a twice"),
}


@pytest.mark.parametrize("case", LISTS)
def test_lists(tmp_path, case):
    content, expected = LISTS[case]
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    assert outcome(lambda: lists.read_list(str(path)).ids, expected) in (expected, None)


def test_a_long_list_is_read_at_once(tmp_path):
    """300,000 ids, one twice at the end; comparing each with all before would take minutes."""
    (tmp_path / "list.txt").write_text("".join(f"{n}\n" for n in range(300000)) + "7\n")
    outcome(lambda: lists.read_list(str(tmp_path / "list.txt")), "names 7 twice")


LABELS = {
    "names": ("a cat dog\n", {"cat", "dog"}),
    "united": ("a cat\nb dog\na dog\n", {"cat", "dog"}),
    "twice the same": ("a cat\na cat\n", {"cat"}),
    "tabs": ("a\tcat\thot dog\n", {"cat", "hot dog"}),
    "commas": ("a, hot dog, cat\n", {"cat", "hot dog"}),
    "commas without spaces": ("a,hot dog,cat\n", {"cat", "hot dog"}),
    "a comma after the first name": ("a hot dog, cat\n", {"cat", "hot dog"}),
    "tab, then spaces": ("a\tcat dog\n", {"cat", "dog"}),
    "one name of two words": ("a hot dog\n", {"hot dog"}),
    "with extension": ("a.jpg cat\n", {"cat"}),
    "windows and a mark": ("\ufeffa cat\r\n", {"cat"}),
    "spaces": ("  a   cat   dog  \n", {"cat", "dog"}),
    "a header": ("image label\na cat\n", {"cat"}),
    "two words among spaces": ("a cat hot dog\n", "names with spaces need tabs or commas"),
    "an unknown name": ("a cat unicorn\n", "a has the label 'unicorn', which is no class of cat, dog, hot dog"),
    "numbers": ("a 0 14\n", "a has the label '0'"),
    "another case": ("a Cat\n", "a has the label 'Cat'"),
    "no name": ("a\n", "no label for a"),
    "no line": ("b cat\n", "no label for a"),
    "empty": ("\n", "image_labels.txt: is empty"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels(tmp_path, case):
    text, expected = LABELS[case]
    (tmp_path / "image_labels.txt").write_bytes(text.encode())
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    labels = outcome(lambda: Dataset(str(tmp_path)).labels(["a"]), expected)
    assert labels is None or {name for name, there in zip(NAMES, labels[0]) if there} == expected


CLASSES = {
    "names": (b"cat\ndog\n", ["cat", "dog"]),
    "of two words": (b"traffic light\ndog\n", ["traffic light", "dog"]),
    "windows and a mark": (b"\xef\xbb\xbfcat\r\ndog\r\n", ["cat", "dog"]),
    "254": ("\n".join(f"c{n}" for n in range(254)).encode(), [f"c{n}" for n in range(254)]),
    "255": ("\n".join(f"c{n}" for n in range(255)).encode(), "names 255 classes; masks have room for 254"),
    "background": (b"background\ncat\n", "line 1 names 'background', which always has the value 0"),
    "labelme's background": (b"cat\n_background_\n", "line 2 names '_background_'"),
    "another background": (b"__Background__\ncat\n", "line 1 names '__Background__'"),
    "twice": (b"cat\ndog\ncat\n", "names 'cat' twice"),
    "on one line": (b"cat dog bird\n", "has all on one line"),
    "words of YAML": (b"yes\nnull\n~\n<<\n", ["yes", "null", "~", "<<"]),
    "like numbers": (b"1\n1e5\n0x1F\n2001-01-01\n", ["1", "1e5", "0x1F", "2001-01-01"]),
    "signs": ("#a\n- x\n'\n{a}\n%s\n../x\n🐈\n".encode(), ["#a", "- x", "'", "{a}", "%s", "../x", "🐈"]),
    "Persian, with a joiner": ("می\u200cز\nc\n".encode(), ["می\u200cز", "c"]),
    "emoji of three": (
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\nc\n".encode(),
        ["\U0001f468\u200d\U0001f469\u200d\U0001f467", "c"],
    ),
    "a spreadsheet's space": ("hot\u00a0dog\nc\n".encode(), "a name has no commas, no tabs and no hidden signs"),
    "invisible": ("a\u200bb\nc\n".encode(), "line 1 is 'a\\u200bb'"),
    "right to left": ("a\u202eb\nc\n".encode(), "line 1 is 'a\\u202eb'"),
    "escape": (b"\x1b[31m\nc\n", "line 1 is '\\x1b[31m'"),
    "a comment": (
        b"# my classes\ncat\ndog\n",
        "line 1 is '# my classes'; a name has no commas, no tabs",
    ),
    "a comma": (b"cat, tabby\ndog\n", "a name has no commas"),
    "a tab": (b"1\tcat\n2\tdog\n", "no tabs"),
    "empty": (b"\n", "classes.txt: is empty"),
    "utf-16": ("cat\ndog\n".encode("utf-16"), "UTF-16"),
    "latin-1": ("cat\nkäse\n".encode("latin-1"), "line 2 is not UTF-8"),
}


@pytest.mark.parametrize("case", CLASSES)
def test_class_names(tmp_path, case):
    content, expected = CLASSES[case]
    (tmp_path / "classes.txt").write_bytes(content)
    assert outcome(lambda: Dataset(str(tmp_path)).classes, expected) in (expected, None)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A data set of 40 training images and 20 of val, each with one class in its mask and its label."""
    root, rng = tmp_path_factory.mktemp("original") / "data", np.random.RandomState(3)
    for folder in ("JPEGImages", "SegmentationClassAug", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    labels = []
    for k in range(60):
        cv2.imwrite(f"{root}/JPEGImages/i{k}.jpg", rng.randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8))
        write_mask(f"{root}/SegmentationClassAug/i{k}.png", mask_of(1 + k % 3))
        labels.append(f"i{k}\t{NAMES[k % 3]}\n")
    (root / "image_labels.txt").write_text("".join(labels))
    (root / "classes.txt").write_text("\n".join(NAMES))
    for name, numbers in (("train_aug", range(40)), ("val", range(40, 60))):
        (root / f"ImageSets/Segmentation/{name}.txt").write_text("".join(f"i{k}\n" for k in numbers))
    return root


@pytest.fixture
def root(original, tmp_path):
    return shutil.copytree(original, tmp_path / "data")


def mask_of(value, shape=(HEIGHT, WIDTH)):
    mask = np.zeros(shape, np.uint8)
    mask[3:9, 4:12] = value
    mask[0] = 255
    return mask


def masks(change, numbers):
    """A fault: `change` of the masks of these images."""

    def fault(root):
        for k in numbers:
            path = f"{root}/SegmentationClassAug/i{k}.png"
            write_mask(path, change(read_indexed(path)).astype(np.uint8))

    return fault


def write(name, content):
    def fault(root):
        (root / name).unlink(missing_ok=True)
        (root / name).write_bytes(content)

    return fault


def replaced(name, old, new):
    return lambda root: (root / name).write_text((root / name).read_text().replace(old, new))


def as_file(name, make):
    """A fault: `make(path)` in the place of a file."""

    def fault(root):
        (root / name).unlink()
        make(root / name)

    return fault


def exif(number, orientation, mask_shape=(HEIGHT, WIDTH), shape=(HEIGHT, WIDTH)):
    """A fault: an image stored at `shape` with an orientation, and its mask at another."""

    def fault(root):
        photo(root / f"JPEGImages/i{number}.jpg", np.full((*shape, 3), 90, np.uint8), orientation)
        path = f"{root}/SegmentationClassAug/i{number}.png"
        os.unlink(path)
        if mask_shape:
            write_mask(path, mask_of(1 + number % 3, mask_shape))

    return fault


def photo(path, image, orientation=None, **settings):
    tags = Image.Exif()
    if orientation:
        tags[decoding.ORIENTATION] = orientation
    Image.fromarray(image).save(path, exif=tags.tobytes(), **settings)


def renamed(old, new):
    return lambda root: (root / old).rename(root / new)


def without_labels(numbers):
    """A fault: lines that say of these images that they have no object."""

    def fault(root):
        path = root / "image_labels.txt"
        rows = (line.split("\t") for line in path.read_text().splitlines())
        none = {f"i{k}" for k in numbers}
        path.write_text("".join(row[0] + "\n" if row[0] in none else "\t".join(row) + "\n" for row in rows))

    return fault


def both(*faults):
    return lambda root: [fault(root) for fault in faults]


def large_png(path):
    """A picture of 19000 x 9500, one colour: 180 million pixels in few bytes."""
    Image.new("1", (19000, 9500)).save(path)


def png_of_two_bits(path):
    """Grey values 0 ... 3 as stored, which Pillow would show as 0, 85, 170, 255."""
    rows = np.repeat(np.array([[0, 0b01000000] + [0] * 4]), HEIGHT, axis=0)  # pixel 4 is 1
    path.write_bytes(png_of(WIDTH, HEIGHT, b"".join(b"\0" + bytes(row.astype(np.uint8)) for row in rows), bits=2))


def png_of(width, height, rows, bits=8):
    """A grey PNG that says it is of this size, and holds these bytes of rows."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def of_size(width, height):
    """A fault: an image of this size, and its mask."""

    def fault(root):
        cv2.imwrite(str(root / IMAGE), np.full((height, width, 3), 90, np.uint8))
        os.unlink(root / MASK)
        write_mask(str(root / MASK), np.full((height, width), 1, np.uint8))

    return fault


def jpeg(changed, *options):
    """Noise as a JPEG whose bytes are `changed`."""
    noise = np.random.RandomState(0).randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    data = cv2.imencode(".jpg", noise, options)[1].tobytes()
    return lambda root: (root / IMAGE).write_bytes(changed(data))


def with_rows(data, rows):
    """The JPEG with a frame that says it has so many."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + rows.to_bytes(2, "big") + data[at + 2 :]


def closed(data, at):
    """The JPEG's first bytes, with a mark of the end behind them."""
    return data[:at] + b"\xff\xd9"


def stereo(data):
    """Two pictures in one file of the kind MPO, of which the first is the JPEG."""
    tags = b"II*\0" + struct.pack("<IH", 8, 3) + struct.pack("<HHI4s", 0xB000, 7, 4, b"0100")
    tags += struct.pack("<HHII", 0xB001, 4, 1, 2) + struct.pack("<HHIII", 0xB002, 7, 32, 50, 0)
    size = len(data) + 90
    tags += struct.pack("<IIIHH", 0x20030000, size, 0, 0, 0) + struct.pack("<IIIHH", 0, len(data), size, 0, 0)
    body = b"MPF\0" + tags
    return data[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + data[2:] + data


def moving(kind):
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
    return lambda root: frames[0].save(root / IMAGE, format=kind, save_all=True, append_images=frames[1:])


def append(path, content):
    with open(path, "ab") as file:
        file.write(content)


def mask_of_four_bits(root):
    image = Image.fromarray(np.where(mask_of(1) == 1, 1, 0).astype(np.uint8), "P")
    image.putpalette([0, 0, 0] * 16)
    image.save(root / MASK, bits=4)


def recoloured(order, palette=None):
    """A mask's values v become order.index(v), with its colour, as programs save that optimise palettes."""

    def fault(root):
        place = np.zeros(256, np.uint8)
        place[order] = np.arange(len(order))
        image = Image.fromarray(place[read_indexed(str(root / MASK))], "P")
        image.putpalette((pictures.palette() if palette is None else palette)[order].tobytes())
        image.save(root / MASK)

    return fault


def bright():
    """A palette of another kind, in which one class happens to have the colour that VOC gives the next."""
    colours = 255 - pictures.palette()
    colours[[0, 1]] = pictures.palette()[[0, 2]]
    return colours


ALL, VAL = range(60), range(40, 60)


def with_cat(mask):
    mask = mask.copy()
    mask[10:14, 4:12] = 1
    return mask


def images(change, numbers=ALL):
    """A fault: these images are PNGs of what `change` makes of them."""

    def fault(root):
        for k in numbers:
            path = f"{root}/JPEGImages/i{k}"
            cv2.imwrite(f"{path}.png", change(cv2.imread(f"{path}.jpg")))
            os.unlink(f"{path}.jpg")

    return fault


def flipped(data, at, count, bits=0x55):
    """The JPEG's bytes, `count` of which, from `at` on, have other `bits`."""
    return data[:at] + bytes(byte ^ bits for byte in data[at : at + count]) + data[at + count :]


def as_folder(name, make):
    """A fault: `make(path)` in the place of a folder."""

    def fault(root):
        shutil.rmtree(root / name)
        make(root / name)

    return fault


ORDER = np.r_[0, 2, 1, 3, np.zeros(251, int), 255]
SHIFT = np.r_[0, 2, 3, 1, np.zeros(251, int), 255]
IMAGE, MASK, VAL_MASK = "JPEGImages/i3.jpg", "SegmentationClassAug/i3.png", "SegmentationClassAug/i42.png"
LIST = "ImageSets/Segmentation/train_aug.txt"
SETS = {  # what is done to the data set: None (works), the text of the one line, or (text,) of a warning
    "nothing": (lambda root: None, None),
    # masks and labels
    "classes in another order": (replaced("classes.txt", "cat\ndog", "dog\ncat"), "write classes.txt in the order"),
    "two values swapped in val": (
        masks(lambda mask: ORDER[mask], VAL),
        "'cat' they have the value of 'dog'",
    ),
    "two values swapped in train": (masks(lambda mask: ORDER[mask], range(40)), "write classes.txt in the order"),
    "values shifted": (masks(lambda mask: SHIFT[mask], ALL), "write classes.txt in the order"),
    "masks 0/255 in val": (masks(lambda mask: np.where(mask, 255, 0), VAL), "masks hold 0, class 1, 2, ... and 255"),
    "masks 0/255 in train": (masks(lambda mask: np.where(mask, 255, 0), range(40)), "most of them have no class"),
    "empty masks": (masks(np.zeros_like, VAL), "most of them have no class"),
    "binary masks": (masks(lambda mask: np.where(mask == 255, 255, mask > 0), ALL), "(i1, i2, i4, ...)"),
    "one mask of another class": (masks(lambda mask: ORDER[mask], [43]), ("1 of 20 masks do not have", "i43")),
    "one empty training mask": (masks(np.zeros_like, [3]), ("1 of 40 masks do not have", "i3")),
    "a label more for one": (replaced("image_labels.txt", "i5\t", "i5\tcat\t"), ("lack a class of the labels (i5)",)),
    "a label more for 5 of 40": (
        lambda root: [replaced("image_labels.txt", f"i{k}\t", f"i{k}\tcat\t")(root) for k in (1, 2, 4, 5, 7)],
        ("5 of 40 masks lack a class of the labels (i1, i2, i4, ...)",),
    ),
    "a label more for 8 of 40": (
        lambda root: [
            replaced("image_labels.txt", f"i{k}\t", f"i{k}\tcat\t")(root) for k in (1, 2, 4, 5, 7, 8, 10, 11)
        ],
        "8 of 40 masks lack a class of the labels (i1, i2, i4, ...)",
    ),
    "a label more for 4 of 14": (
        both(
            write(LIST, "".join(f"i{k}\n" for k in range(14)).encode()),
            lambda root: [replaced("image_labels.txt", f"i{k}\t", f"i{k}\tcat\t")(root) for k in (1, 2, 4, 5)],
        ),
        ("4 of 14 masks lack a class of the labels",),
    ),
    "a label more for all": (replaced("image_labels.txt", "\t", "\tcat\t"), "lack a class of the labels"),
    "three wrong labels of 40": (
        lambda root: [replaced("image_labels.txt", f"i{k}\t", f"i{k}\tcat\ni900\t")(root) for k in (1, 5, 8)],
        "3 of 40 masks do not have the classes of the labels (i1, i5, i8)",
    ),
    "an unknown value in val": (
        masks(lambda mask: np.where(mask, 9, 0), [42]),
        "i42.png: has the value 9",
    ),
    "an unknown value in train": (
        masks(lambda mask: np.where(mask, 9, 0), [3]),
        "i3.png: has the value 9",
    ),
    "no training mask": (lambda root: [os.unlink(root / f"SegmentationClassAug/i{k}.png") for k in range(40)], None),
    "no mask of val": (lambda root: (root / VAL_MASK).unlink(), "i42.png: no such file; check the list of ids"),
    "a mask of val that ends in .bmp": (
        renamed(VAL_MASK, "SegmentationClassAug/i42.bmp"),
        "i42.png: no such file; i42.bmp is there; rename it, or save it anew under this name",
    ),
    "a training mask in capitals": (
        renamed(MASK, "SegmentationClassAug/i3.PNG"),
        ("masks that end in .PNG are not used, 1 of these images (i3.PNG); rename them to .png",),
    ),
    "masks that lead nowhere, beside others": (
        lambda root: [
            os.rename(root / "SegmentationClassAug", root / "SegmentationClass"),
            (root / "SegmentationClassAug").symlink_to("/nowhere/masks"),
        ],
        "SegmentationClassAug: is a link to /nowhere/masks, which is not there",
    ),
    "no masks": (lambda root: shutil.rmtree(root / "SegmentationClassAug"), "the masks of val go there"),
    "coloured mask": (lambda root: Image.new("RGB", (WIDTH, HEIGHT)).save(root / MASK), "i3.png: has colours (RGB)"),
    "jpeg mask": (
        lambda root: Image.new("L", (WIDTH, HEIGHT)).save(root / MASK, format="JPEG"),
        "i3.png: is JPEG, no PNG",
    ),
    "mask of 16 bits": (lambda root: write_grey(str(root / VAL_MASK), mask_of(1).astype(np.uint16)), None),
    "mask of 16 bits, too large a value": (
        lambda root: write_grey(str(root / MASK), mask_of(1).astype(np.uint16) * 257),
        "i3.png: has the value 257",
    ),
    "mask of 2 bits": (lambda root: png_of_two_bits(root / MASK), None),
    "mask of another size": (lambda root: write_mask(f"{root}/{MASK}", mask_of(1, (9, 20))), "i3.png: is 20 x 9"),
    "mask cut short": (lambda root: os.truncate(root / MASK, 60), "i3.png: cannot be decoded"),
    "mask that leads nowhere": (
        as_file(MASK, lambda path: path.symlink_to("/nowhere/m.png")),
        "is a link to",
    ),
    "masks that are JPEGs inside": (
        lambda root: Image.open(root / MASK).convert("L").save(root / MASK, format="JPEG"),
        "i3.png: is JPEG, no PNG; make it anew as PNG",
    ),
    # what labels say
    "a class that no training image has": (
        lambda root: (root / LIST).write_text("".join(f"i{k}\n" for k in range(40) if k % 3)),
        ("no training image has cat, 1 of 3 classes; 6 of 20 validation images do",),
    ),
    "a class that no image has": (
        lambda root: append(root / "classes.txt", b"\nunicorn\n"),
        ("no training image has unicorn, 1 of 4 classes; nor has val",),
    ),
    "every training image of the same class": (
        lambda root: (root / LIST).write_text("".join(f"i{k}\n" for k in range(0, 40, 3))),
        "all 14 training images have the same labels (cat), so a net has nothing to tell apart",
    ),
    "a class that every training image has": (
        both(replaced("image_labels.txt", "\t", "\tcat\t"), masks(with_cat, range(60))),
        ("all 40 training images have the label cat",),
    ),
    "no image of val has an object": (
        both(masks(np.zeros_like, VAL), without_labels(VAL)),
        ("none of 20 validation images has an object, so mIoU is that of background alone; add images with objects",),
    ),
    "half of val without an object": (both(masks(np.zeros_like, VAL[::2]), without_labels(VAL[::2])), None),
    "no training image has an object": (
        both(masks(np.zeros_like, range(40)), without_labels(range(40))),
        "no label for i0, i1, i2, ..., 40 of 40 images; add a line 'ID NAME ...', or take an image without an",
    ),
    "a label for no object": (
        replaced("image_labels.txt", f"i45\t{NAMES[0]}", "i45\tnone"),
        "i45 has the label 'none', which is no class of cat, dog, hot dog; correct it",
    ),
    "a mask of val that is not counted": (
        masks(lambda mask: np.full_like(mask, 255), [42]),
        ("1 of 20 masks do not have the classes of the labels (i42); look at them",),
    ),
    "an image of val of one pixel": (
        both(
            lambda root: cv2.imwrite(f"{root}/JPEGImages/i42.jpg", np.full((1, 1, 3), 99, np.uint8)),
            lambda root: write_mask(f"{root}/SegmentationClassAug/i42.png", np.ones((1, 1), np.uint8)),
        ),
        None,
    ),
    # names in another case
    "a list in another case": (renamed(LIST, "ImageSets/Segmentation/Train_aug.txt"), "has Train_aug.txt, val.txt"),
    "an id in another case": (replaced(LIST, "i3\n", "I3\n"), "image_labels.txt: no label for I3, 1 of 40 images"),
    "a label's id in another case": (replaced("image_labels.txt", "i3\t", "I3\t"), "no label for i3, 1 of 40 images"),
    "an image in another case": (renamed(IMAGE, "JPEGImages/I3.jpg"), "JPEGImages/i3.jpg: no such file"),
    "a mask in another case": (renamed(VAL_MASK, "SegmentationClassAug/I42.png"), "i42.png: no such file"),
    "a class in another case": (
        replaced("image_labels.txt", "\tdog", "\tDog"),
        "i1 has the label 'Dog', which is no class",
    ),
    "a folder in another case": (
        renamed("JPEGImages", "jpegimages"),
        "JPEGImages: no such folder; a data set in VOC layout has it",
    ),
    "two classes that case tells apart": (
        write("classes.txt", b"cat\ndog\nhot dog\nCat\n"),
        ("no training image has Cat, 1 of 4 classes; nor has val: add such images, or take the class out",),
    ),
    # too few
    "one training image": (
        write(LIST, b"i1\n"),
        ("no training image has cat, hot dog, 2 of 3 classes", "validation images do, and all of it will be wrong"),
    ),
    "two training images of one class": (write(LIST, b"i1\ni4\n"), "all 2 training images have the same labels (dog)"),
    "three training images": (write(LIST, b"i0\ni1\ni2\n"), None),
    "an empty list": (write(LIST, b"\n"), "train_aug.txt: is empty"),
    "no list": (lambda root: (root / LIST).unlink(), "train_aug.txt: no such list, and its folder has val.txt; write"),
    "an image of val without an object": (
        both(replaced("image_labels.txt", "i42\tcat", "i42"), masks(np.zeros_like, [42])),
        None,
    ),
    "an image of val without its label": (
        replaced("image_labels.txt", "i42\tcat", "i42"),
        ("1 of 20 masks do not have the classes of the labels (i42)",),
    ),
    "an image of val without a line": (
        replaced("image_labels.txt", "i42\tcat", "i99\tcat"),
        "no label for i42, 1 of 20 images; add a line 'ID NAME ...', or 'ID' alone for an image without an object",
    ),
    "training images without an object": (
        both(replaced("image_labels.txt", "i3\tcat", "i3"), replaced("image_labels.txt", "i6\tcat", "i6")),
        "no label for i3, i6, 2 of 40 images; add a line 'ID NAME ...', or take an image without an object out",
    ),
    # what images show
    "white images": (images(lambda image: 0 * image + 255), "60 of 60 (i0, i1, i2, ...) are images of one brightness"),
    "grey images, four of 60": (
        images(lambda image: 0 * image + 128, range(4)),
        ("4 of 60 (i0, i1, i2, ...) are images of one brightness, within 16 of 255",),
    ),
    "grey images, two of 60": (images(lambda image: 0 * image + 128, range(2)), None),
    "images of little contrast": (images(lambda image: image // 8 + 100), None),
    "no background in val": (
        masks(lambda mask: np.where(mask, mask, 255), VAL),
        ("none of 20 masks has a pixel of ba",),
    ),
    "12 bits in files of 16": (images(lambda image: np.uint16(image) * 16), "60 of 60 (i0, i1, i2, ...) are images wi"),
    "0 to 1 in 8 bits": (images(lambda image: image // 128), "without a pixel brighter than 16 of 255"),
    "14 bits in files of 16": (images(lambda image: np.uint16(image) * 64), ("no pixel of 60 images is brighter th",)),
    "16 bits": (images(lambda image: np.uint16(image) * 257), None),
    "black images, four of 60": (images(np.zeros_like, range(4)), ("4 of 60 (i0, i1, i2, ...) are images without",)),
    "black images, two of 60": (images(np.zeros_like, range(2)), None),
    "a copy in val": (
        lambda root: shutil.copy(root / IMAGE, root / "JPEGImages/i42.jpg"),
        ("1 of 20 validation images are copies of training images (i42 is i3)",),
    ),
    "copies in val, saved anew": (
        lambda root: [
            Image.open(root / f"JPEGImages/i{k}.jpg").save(root / f"JPEGImages/i{k + 40}.jpg", quality=95)
            for k in range(20)
        ],
        ("20 of 20 validation images are copies of training images (i40 is i0, i41 is i1, i42 is i2, ...)",),
    ),
    "bytes of a JPEG that are others": (
        jpeg(lambda data: flipped(data, -300, 20)),
        ("1 of 60 (i3) are damaged JPEGs, of which the decoder says 'Corrupt JPEG data: 251 extraneous bytes before",),
    ),
    "a byte of a JPEG that is another": (
        jpeg(lambda data: flipped(data, -25, 1, 0xFF)),
        "1 of 60 (i3) are damaged JPEGs, of which the decoder says 'Corrupt JPEG data: premature end of data segment'",
    ),
    "a byte of a progressive JPEG that is another": (
        jpeg(lambda data: flipped(data, -400, 1), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "the decoder says 'Corrupt JPEG data: bad Huffman code'; copy them from where they came",
    ),
    "a JPEG with restarts, bytes of which are others": (
        jpeg(lambda data: flipped(data, -280, 20), cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
        "the decoder says 'Corrupt JPEG data: found marker",
    ),
    "17 labels": (
        both(
            write("classes.txt", "\n".join([*NAMES, *"abcdefghijklmn"]).encode()),
            replaced("image_labels.txt", "i0\tcat", "i0\tcat\tdog\thot dog\t" + "\t".join("abcdefghijklmn")),
        ),
        "i0 has 17 labels; mining has room for 16",
    ),
    # lists
    "a list of VOC's Main": (
        lambda root: (root / LIST).write_text("".join(f"i{k} {1 if k % 4 else -1}\n" for k in range(40))),
        ("train_aug.txt: 30 images are used; 10 with -1",),
    ),
    "a list of two columns": (
        lambda root: (root / LIST).write_text("".join(f"/JPEGImages/i{k}.jpg /Seg/i{k}.png\n" for k in range(4))),
        "line 1 names 'i0' and '/Seg/i0'",
    ),
    "a list that is a pipe": (as_file(LIST, os.mkfifo), "train_aug.txt: cannot be read: is no file, but a folder, a"),
    "labels that are a folder": (as_file("image_labels.txt", os.mkdir), "image_labels.txt: cannot be read: is no file"),
    "no labels": (
        as_file("image_labels.txt", lambda path: None),
        "cannot be read: no such file; it gives each image's",
    ),
    "labels that lead nowhere": (
        as_file("image_labels.txt", lambda path: path.symlink_to("/nowhere/labels.txt")),
        "image_labels.txt: cannot be read: is a link to /nowhere/labels.txt, which is not there",
    ),
    "an image in both lists": (
        replaced("ImageSets/Segmentation/val.txt", "i42\n", "i3\n"),
        ("1 images of val are training images too (i3)",),
    ),
    "a broken test image": (
        both(write("ImageSets/Segmentation/test.txt", b"new\n"), write("JPEGImages/new.jpg", b"")),
        "new.jpg: is empty",
    ),
    "no image of test": (write("ImageSets/Segmentation/test.txt", b"i99\n"), "i99.jpg: no such file"),
    # files of images
    "jpeg": (renamed(IMAGE, "JPEGImages/i3.jpeg"), None),
    "JPG": (renamed(IMAGE, "JPEGImages/i3.JPG"), None),
    "png": (as_file(IMAGE, lambda path: Image.new("RGB", (WIDTH, HEIGHT)).save(path.with_suffix(".png"))), None),
    "two of one name": (lambda root: shutil.copy(root / IMAGE, root / "JPEGImages/i3.png"), "has i3.jpg and i3.png"),
    "an image that ends in .webp": (
        lambda root: [Image.open(root / IMAGE).save(root / "JPEGImages/i3.webp"), (root / IMAGE).unlink()],
        "i3.jpg: no such file; i3.webp is there; rename it",
    ),
    "another format": (lambda root: Image.new("RGB", (WIDTH, HEIGHT)).save(root / IMAGE, format="BMP"), None),
    "a link": (both(renamed(IMAGE, "other.jpg"), lambda root: (root / IMAGE).symlink_to("../other.jpg")), None),
    "a link to nowhere": (
        as_file(IMAGE, lambda path: path.symlink_to("/nowhere/i.jpg")),
        "is a link to /nowhere",
    ),
    "a link to itself": (as_file(IMAGE, lambda path: path.symlink_to("i3.jpg")), "is a link to i3.jpg"),
    "a pipe": (as_file(IMAGE, os.mkfifo), "i3.jpg: is no file, but a folder, a pipe or a device"),
    "a device": (as_file(IMAGE, lambda path: path.symlink_to("/dev/zero")), "i3.jpg: is no file"),
    "a folder": (as_file(IMAGE, os.mkdir), "i3.jpg: is no file"),
    "an empty image": (write(IMAGE, b""), "i3.jpg: is empty"),
    "text": (write(IMAGE, b"this is text"), "i3.jpg: cannot be decoded"),
    "a program": (write(IMAGE, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 16\nshowpage\n"), "cannot be decoded"),
    "cut short": (lambda root: os.truncate(root / IMAGE, 700), "i3.jpg: cannot be decoded"),
    "cut short and closed": (jpeg(lambda data: closed(data, len(data) // 2)), "i3.jpg: cannot be decoded"),
    "its last tenth is missing": (jpeg(lambda data: closed(data, -len(data) // 10)), "i3.jpg: cannot be decoded"),
    "stereo, its last tenth is missing": (
        jpeg(lambda data: stereo(closed(data, -len(data) // 10))),
        "i3.jpg: cannot be",
    ),
    "progressive, cut short and closed": (
        jpeg(lambda data: closed(data, len(data) // 2), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "i3.jpg: cannot be decoded",
    ),
    "progressive, without its last scan": (
        jpeg(lambda data: closed(data, data.rindex(b"\xff\xda")), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "i3.jpg: cannot be decoded",
    ),
    "progressive, cut short": (
        jpeg(lambda data: data[: len(data) // 2], cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "i3.jpg: cannot be decoded",
    ),
    "more rows than it has": (jpeg(lambda data: with_rows(data, 2 * HEIGHT)), "i3.jpg: cannot be decoded"),
    "without a mark of the end": (jpeg(lambda data: data[:-2]), "i3.jpg: cannot be decoded"),
    "whole, noise": (jpeg(lambda data: data), None),
    "whole, stereo": (jpeg(stereo), None),
    "whole, progressive": (jpeg(lambda data: data, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), None),
    "whole, with restarts": (jpeg(lambda data: data, cv2.IMWRITE_JPEG_RST_INTERVAL, 1), None),
    "whole, with bytes behind it": (jpeg(lambda data: data + data), None),
    "only a beginning": (lambda root: os.truncate(root / IMAGE, 3), "i3.jpg: cannot be decoded"),
    "bomb": (lambda root: large_png(root / IMAGE.replace("jpg", "png")) or (root / IMAGE).unlink(), "19000 x 9500"),
    "bomb of a mask": (lambda root: large_png(root / MASK), "i3.png: has 19000 x 9500 pixels"),
    # odd sizes
    "1 x 1": (of_size(1, 1), None),
    "1 x 5000": (of_size(1, 5000), None),
    "5000 x 1": (of_size(5000, 1), None),
    "too long a side": (of_size(20001, 1), "20001 x 1 pixels: more than 134,217,728, or a side of more than 20,000"),
    "0 x 0": (write(IMAGE, png_of(0, 0, b"")), "i3.jpg: cannot be decoded"),
    "pixels missing": (write(IMAGE, png_of(WIDTH, HEIGHT, bytes(30))), "i3.jpg: cannot be decoded"),
    "a mask without pixels": (write(MASK, png_of(0, 0, b"")), "i3.png: cannot be decoded"),
    "a mask with pixels missing": (write(MASK, png_of(WIDTH, HEIGHT, bytes(30))), "i3.png: cannot be decoded"),
    # what is not what it is called
    "moving pictures": (moving("GIF"), None),
    "pages": (moving("TIFF"), None),
    "icon": (lambda root: Image.new("RGB", (WIDTH, HEIGHT)).save(root / IMAGE, format="ICO"), "cannot be decoded"),
    "pdf": (lambda root: Image.new("RGB", (WIDTH, HEIGHT)).save(root / IMAGE, format="PDF"), "cannot be decoded"),
    "svg": (write(IMAGE, b"<svg xmlns='http://www.w3.org/2000/svg' width='24' height='16'/>"), "cannot be decoded"),
    "html": (write(IMAGE, b"<html>404</html>"), "i3.jpg: cannot be decoded"),
    "a pointer of git-lfs": (write(IMAGE, b"version https://git-lfs.github.com/spec/v1\n"), "cannot be decoded"),
    "more behind the image": (lambda root: append(root / IMAGE, b"junk" * 1000), None),
    "a resource fork beside it": (write("JPEGImages/._i3.jpg", b"\0\5\x16\7"), None),
    "a folder beside it": (lambda root: (root / "JPEGImages/sub.jpg").mkdir(), None),
    "a mask of 4 bits": (mask_of_four_bits, None),
    "VOC's colours alone, in order": (recoloured([0, 1, 255]), "i3.png: has VOC's colours at other indices than VOC"),
    "VOC's colours, by frequency": (recoloured([0, 255, 1]), "i3.png: has VOC's colours at other indices than VOC"),
    "VOC's colours, background not first": (recoloured([1, 0, 255]), "i3.png: has VOC's colours at other indices"),
    "another palette": (recoloured(list(range(256)), bright()), None),
    "another palette, all of one colour": (recoloured(list(range(256)), 0 * bright()), None),
    "a mask that is a GIF": (
        lambda root: Image.fromarray(mask_of(1)).save(root / MASK, format="GIF"),
        "i3.png: is GIF, no PNG",
    ),
    "a mask with transparency": (lambda root: Image.open(root / MASK).save(root / MASK, transparency=0), None),
    # folders and rights
    "images that may not be read": (lambda root: (root / "JPEGImages").chmod(0), "JPEGImages: may not be read"),
    "masks that may not be read": (
        lambda root: (root / "SegmentationClassAug").chmod(0),
        "SegmentationClassAug: may not be read",
    ),
    "an image that may not be read": (lambda root: (root / IMAGE).chmod(0), "i3.jpg: may not be read"),
    "a mask that may not be read": (lambda root: (root / MASK).chmod(0), "i3.png: may not be read"),
    "a list that may not be read": (lambda root: (root / LIST).chmod(0), "train_aug.txt: cannot be read"),
    "a file for the images": (as_folder("JPEGImages", lambda path: path.write_text("x")), "JPEGImages: no such folder"),
    "images that lead to themselves": (
        as_folder("JPEGImages", lambda path: path.symlink_to("JPEGImages")),
        "JPEGImages: is a link to JPEGImages, which is not there",
    ),
    "a file for the masks": (
        as_folder("SegmentationClassAug", lambda path: path.write_text("x")),
        "SegmentationClassAug: no such folder",
    ),
    "lists that lead to themselves": (
        as_folder("ImageSets", lambda path: path.symlink_to("ImageSets")),
        "train_aug.txt: cannot be read",
    ),
    "labels that never end": (
        as_file("image_labels.txt", lambda path: path.symlink_to("/dev/zero")),
        "image_labels.txt: cannot be read",
    ),
    # EXIF
    "upright": (exif(3, 1), None),
    "no orientation": (exif(3, 9), None),
    "turned, its mask as stored": (exif(3, 6), "i3.jpg: EXIF's orientation is 6, and no mask tells"),
    "turned, its mask upright": (exif(3, 6, mask_shape=(WIDTH, HEIGHT)), None),
    "turned the other way": (exif(43, 8, mask_shape=(WIDTH, HEIGHT)), None),
    "by 180 degrees": (exif(43, 3), "i43.jpg: EXIF's orientation is 3"),
    "mirrored": (exif(43, 2), "i43.jpg: EXIF's orientation is 2"),
    "square": (exif(43, 6, mask_shape=(20, 20), shape=(20, 20)), "i43.jpg: EXIF's orientation is 6"),
    "turned, no mask": (exif(3, 6, mask_shape=None), "i3.jpg: EXIF's orientation is 6, and no mask tells"),
}


def may_read_all(root):
    path = root / "secret"
    path.write_text("")
    path.chmod(0)
    return os.access(path, os.R_OK)


@pytest.mark.parametrize("case", SETS)
def test_data_sets(root, case, capsys):
    fault, expected = SETS[case]
    fault(root)
    if "may not be read" in case and may_read_all(root):
        pytest.skip("root may read everything here")
    found = outcome(lambda: check.run(EXPERIMENT, str(root)), expected)
    said = capsys.readouterr().err
    if isinstance(expected, tuple):
        assert said.startswith("warning: ") and said.count("\n") == 1 and all(text in said for text in expected)
    else:
        assert said == ""
    assert found is None or found["val"] == 20


def test_a_name_whose_accents_are_characters_of_their_own_is_named(tmp_path):
    """As macOS writes them; printed, the two names are the same."""
    (tmp_path / "cafe\u0301.jpg").write_bytes(b"")
    line = str(decoding.unreadable(str(tmp_path / "caf\u00e9.jpg")))
    assert line.endswith("no such file; 'cafe\\u0301.jpg' is there; rename it, or save it anew under this name")


def test_classes_that_no_file_gives_are_vocs(tmp_path):
    """As where DATA= names a folder above or below the data set."""
    with pytest.raises(InputError, match="classes.txt: is missing, so the classes are VOC's, without yak, which"):
        Dataset(str(tmp_path), ["cat", "yak"])


@pytest.mark.parametrize("part", ["²/²", "1", "0/2", "3/2", "1/2/3", "-1/2", "1/"])
def test_a_share_that_is_none_is_one_line(part):
    outcome(lambda: lists.shard(["a", "b"], part), f"--shard {part}: must be K/N with K from 1 to N")


def test_images_that_the_scale_makes_specks_are_refused(root):
    """They are of 24 x 16 pixels."""
    of = lambda scale: dataclasses.replace(EXPERIMENT, data=dataclasses.replace(EXPERIMENT.data, scale=scale))  # noqa: E731
    check.run(of(0.34), str(root))
    outcome(lambda: check.run(of(0.33), str(root)), "no image has a side of more than 8 pixels at `data.scale` 0.33")


def test_two_rare_classes_that_are_swapped(original):
    """Too few images for the share of all to tell; 3 of 400."""
    labels, drawn = np.zeros((400, 3), bool), np.zeros((400, 4), bool)
    labels[:, 0], labels[:3] = True, [0, 0, 1]
    drawn[:, 1], drawn[:3] = True, [0, 0, 1, 0]
    compare = lambda: check.compare("masks", [f"i{k}" for k in range(400)], NAMES, labels, drawn[:, 1:])  # noqa: E731
    outcome(compare, "3 of 400 masks do not have the classes of the labels (i0, i1, i2)")
    outcome(compare, "where labels say 'hot dog' they have the value of 'dog'")


def test_labels_that_vocs_masks_lack_are_warned_of():
    """VOC's XML names difficult objects, its masks do not: the paper's own data must pass."""
    assert 10582 * check.MOST_GAPS > 16458 - 15555  # labels by XML, and by masks, of train_aug


def test_a_pipe_has_no_contents(tmp_path):
    """What is asked before the check is: its digest would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    assert digests.of([str(tmp_path / "pipe")]) == [None]


RAMP = np.tile(np.linspace(0, 1, 256), (8, 1))  # black to white


def saved(array, **settings):
    return lambda path: Image.fromarray(array, settings.pop("mode", None)).save(path, **settings)


def cmyk(path):
    Image.fromarray(np.uint8(RAMP * 255)).convert("RGB").convert("CMYK").save(path, quality=100)


def palette(path):
    Image.fromarray(np.uint8(RAMP * 255)).convert("RGB").quantize(256).save(path)


def transparent(path):
    grey = np.uint8(RAMP * 255)
    Image.fromarray(np.dstack([grey] * 3 + [np.zeros_like(grey)])).save(path)


PICTURES = {  # a file of the ramp, or the text of the one line
    "grey.jpg": (saved(np.uint8(RAMP * 255), quality=100), None),
    "grey.png": (saved(np.uint8(RAMP * 255)), None),
    "rgb.png": (saved(np.repeat(np.uint8(RAMP * 255)[:, :, None], 3, 2)), None),
    "rgba.png": (transparent, None),
    "la.png": (lambda path: Image.fromarray(np.uint8(RAMP * 255)).convert("LA").save(path), None),
    "palette.png": (palette, None),
    "palette.gif": (palette, None),
    "cmyk.jpg": (cmyk, None),
    "cmyk.tif": (cmyk, None),
    "16 bits.png": (lambda path: cv2.imwrite(str(path), np.uint16(RAMP * 65535)), None),
    "16 bits.tif": (lambda path: cv2.imwrite(str(path), np.uint16(RAMP * 65535)), None),
    "16 bits rgb.png": (lambda path: cv2.imwrite(str(path), np.dstack([np.uint16(RAMP * 65535)] * 3)), None),
    "16 bits rgba.png": (lambda path: cv2.imwrite(str(path), np.dstack([np.uint16(RAMP * 65535)] * 4)), None),
    "white is 15.pgm": (lambda path: path.write_bytes(b"P5 256 8 15\n" + np.uint8(RAMP * 15).tobytes()), "white is"),
    "white is 300.pgm": (
        lambda path: path.write_bytes(b"P5\n# a comment\n256 8 300\n" + (RAMP * 300).astype(">u2").tobytes()),
        "white is neither 255 nor 65535",
    ),
    "16 bits.pgm": (
        lambda path: path.write_bytes(b"P5 256 8\n65535\n" + (RAMP * 65535).astype(">u2").tobytes()),
        None,
    ),
    "float to 1.tif": (saved(np.float32(RAMP)), None),
    "float to 255.tif": (saved(np.float32(RAMP * 255)), None),
    "float to 1000.tif": (saved(np.float32(RAMP * 1000)), "has values from 0 to 1000, and nothing says"),
    "negative.tif": (saved(np.float32(RAMP - 0.5)), "has values from -0.5 to 0.5"),
    "nan.tif": (saved(np.float32(RAMP) * np.nan), "has values from nan to nan"),
    "32 bits.tif": (saved(np.int32(RAMP * 1e6)), "has values from 0 to 1e+06"),
    "bmp.bmp": (saved(np.uint8(RAMP * 255)), None),
    "one bit.png": (lambda path: Image.fromarray(np.uint8(RAMP * 255)).convert("1", dither=0).save(path), False),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_read_with_their_full_range(tmp_path, name):
    """By both ways to read one, alike."""
    make, expected = PICTURES[name]
    path = tmp_path / name
    make(path)
    image = outcome(lambda: read_picture(str(path)), expected)
    if image is None:
        outcome(lambda: read_image(str(path)), expected)
        return
    assert image.shape == (8, 256, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, read_image(str(path)))
    wanted = np.uint8(RAMP * 255) if expected is None else np.where(RAMP > 0.5, 255, 0)
    assert np.abs(image.astype(int) - wanted[:, :, None]).max() <= (6 if "jpg" in name else 1)


@pytest.mark.parametrize("extension", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_both_ways_to_read_turn_alike(tmp_path, extension, orientation):
    """As Pillow turns, which follows the standard."""
    image = cv2.resize(np.random.RandomState(1).randint(0, 256, (3, 4, 3)).astype(np.uint8), (40, 24))
    path = str(tmp_path / f"a.{extension}")
    photo(path, image, orientation)
    with Image.open(path) as opened:
        expected = np.array(ImageOps.exif_transpose(opened))[:, :, ::-1]
    assert decoding.header(path).size == expected.shape[1::-1]
    np.testing.assert_array_equal(read_picture(path), read_image(path))
    assert np.abs(read_image(path).astype(int) - expected).max() <= 2


def test_exif_behind_the_pixels_of_a_png_turns_it(tmp_path):
    """Where exiftool writes it; masks without it are not decoded for that."""
    path = tmp_path / "a.png"
    photo(path, np.zeros((24, 40, 3), np.uint8), 6)
    data = path.read_bytes()
    at = data.index(b"eXIf") - 4
    size = 12 + int.from_bytes(data[at : at + 4], "big")
    path.write_bytes(data[:at] + data[at + size : -12] + data[at : at + size] + data[-12:])
    assert decoding.header(str(path)).size == (24, 40) and read_image(str(path)).shape == (40, 24, 3)


def test_a_header_is_read_without_the_pixels(tmp_path, monkeypatch):
    """Of thousands of photos and masks."""
    photo(tmp_path / "a.jpg", np.zeros((24, 40, 3), np.uint8), 6)
    write_mask(f"{tmp_path}/a.png", np.zeros((24, 40), np.uint8))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("it was decoded"))
    assert [decoding.header(f"{tmp_path}/{name}").size for name in ("a.jpg", "a.png")] == [(24, 40), (40, 24)]


@pytest.mark.parametrize("name", "a.jpg turned.jpg a.png turned.png indexed.png a.gif a.webp".split())
def test_broken_files_are_one_line(tmp_path, name, rng):
    """Cut at every place, and with bytes that are others: read, or refused, both ways."""
    path = str(tmp_path / name)
    image = rng.randint(0, 256, (6, 7, 3)).astype(np.uint8)
    if name == "indexed.png":
        write_mask(path, image[:, :, 0])
    else:
        photo(path, image, 6 if "turned" in name else None)
    with open(path, "rb") as file:
        content = file.read()
    cut = [content[:length] for length in range(0, len(content), 1 + len(content) // 200)]
    changed = [bytearray(content) for _ in range(200)]
    for each in changed:
        each[rng.randint(len(each))] ^= 1 << rng.randint(8)
    for each in [*cut, *changed]:
        with open(path, "wb") as file:
            file.write(each)
        for read in (read_picture, read_image, read_indexed):
            try:
                read(path)
            except InputError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("settings", [dict(), dict(progressive=True), dict(subsampling=0), dict(comment=b"x" * 40000)])
def test_a_plain_jpeg_is_what_opencv_reads(tmp_path, settings, rng):
    """The bytes of every run hang on it."""
    path = str(tmp_path / "a.jpg")
    photo(path, cv2.resize(rng.randint(0, 256, (9, 12, 3)).astype(np.uint8), (120, 90)), **settings)
    assert decoding.header(path) == (120, 90, 1, True, 8)
    np.testing.assert_array_equal(read_image(path), cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION))


def test_threads_find_images_together(root):
    """Of many that ask at once, none sees a half-read folder."""
    for _ in range(20):
        dataset = Dataset(str(root))
        (root / "JPEGImages/i3.jpg").rename(root / "JPEGImages/i3.JPG")
        paths = in_threads(dataset.image_path, [("i3",)] * 8, workers=8)
        assert set(paths) == {f"{root}/JPEGImages/i3.JPG"}
        (root / "JPEGImages/i3.JPG").rename(root / "JPEGImages/i3.jpg")


@pytest.mark.parametrize("orientation", [6, 3])
def test_no_stage_reads_an_image_that_may_be_turned(root, orientation):
    """Also where no check went before."""
    shape = (WIDTH, HEIGHT) if orientation == 6 else (HEIGHT, WIDTH)
    exif(3, orientation, mask_shape=shape)(root)
    expected = None if orientation == 6 else "i3.jpg: EXIF's orientation is 3"
    image = outcome(lambda: Dataset(str(root)).image("i3"), expected)
    assert image is None or image.shape == (WIDTH, HEIGHT, 3)


EVALUATIONS = {
    "nothing": (lambda ours, truth: None, None),
    "16 bits": (lambda ours, truth: write_grey(f"{ours}/i2.png", mask_of(1).astype(np.uint16)), "i2.png: has 16 bits"),
    "true mask of 16 bits": (lambda ours, truth: write_grey(f"{truth}/i2.png", mask_of(1).astype(np.uint16)), None),
    "colours": (lambda ours, truth: Image.new("RGB", (WIDTH, HEIGHT)).save(f"{ours}/i2.png"), "i2.png: has colours"),
    "another size": (lambda ours, truth: write_mask(f"{ours}/i2.png", mask_of(1, (9, 20))), "i2.png: is 20 x 9, the"),
    "none of ours": (lambda ours, truth: os.unlink(f"{ours}/i2.png"), "ours/i2.png: no such file"),
    "none of theirs": (lambda ours, truth: os.unlink(f"{truth}/i2.png"), "truth/i2.png: no such file"),
    "empty": (lambda ours, truth: open(f"{ours}/i2.png", "w").close(), "ours/i2.png: is empty"),
}


@pytest.fixture
def folders(tmp_path):
    for folder in ("ours", "truth"):
        for k in range(3):
            write_mask(f"{tmp_path}/{folder}/i{k}.png", mask_of(1))
    return f"{tmp_path}/ours", f"{tmp_path}/truth"


@pytest.mark.parametrize("case", EVALUATIONS)
def test_evaluations(folders, case, monkeypatch):
    """Found by the headers, before the first file is decoded."""
    fault, expected = EVALUATIONS[case]
    fault(*folders)
    if expected:
        monkeypatch.setattr(evaluate, "read_indexed", lambda path: pytest.fail(f"{path} was decoded"))
    outcome(lambda: evaluate.run(*folders, ["i0", "i1", "i2"], [0, 1], ["background", "cat"]), expected)


@pytest.mark.parametrize("ids, complaint", [(["i0", "i1", "i0"], "i0 is there twice"), ([], "the list is empty")])
def test_evaluations_of_other_ids(folders, ids, complaint):
    outcome(lambda: evaluate.run(*folders, ids, [0, 1], ["background", "cat"]), complaint)
