"""Miniature archives and weights in the formats of the real ones, and a web server with faults.

    made = standins.make(folder, train=8, sbd=6, val=4)
    with standins.Server(made.folder, faults={"benchmark.tgz": [("cut", 1000), "503"]}) as server:
        sources = made.sources(server.url)  # the table that --sources and SOURCES take

The archives hold what makes the real ones awkward: SBD lists images of VOC's train and val, VOC holds images that no
list names, XML names parts of persons, and objects marked difficult are in the XML but in no mask.
"""

import contextlib
import hashlib
import http.server
import io
import itertools
import os
import tarfile
import threading

import cv2
import numpy as np
import scipy.io
import scipy.sparse
import yaml
from PIL import Image

from aepsl.base.files import sha256
from aepsl.data.dataset import IGNORE, VOC_CLASSES
from aepsl.images.pictures import palette

VOC, TEST, SBD, SALIENCY = "VOCtrainval_11-May-2012.tar", "VOC2012test.tar", "benchmark.tgz", "saliency.tar"
VGG, SQUEEZENET = "VGG_ILSVRC_16_layers.caffemodel", "squeezenet_v1.0.caffemodel"
REAL_SOURCES = os.path.join(os.path.dirname(__file__), "..", "scripts", "sources.yaml")


class Standins:
    """What `make` made.

    folder: holds the archives; ids: {"train", "val", "test", "sbd_train", "sbd_val", "train_aug"}, each sorted;
    labels: {id: names in the order of VOC_CLASSES} by the XML; masks: {id: H x W uint8} that the built set must have.
    """

    def __init__(self, folder):
        self.folder = str(folder)
        self.ids, self.labels, self.masks = {}, {}, {}

    def table(self, *urls):
        """The table of sources: the real one, with the files served at `urls` (mirrors), their sizes and checksums."""
        with open(REAL_SOURCES) as file:
            table = yaml.safe_load(file)
        for name, entry in table["files"].items():
            path = os.path.join(self.folder, name)
            for key in ("urls", "size", "md5", "sha256", "sha384", "unchecked"):
                entry.pop(key, None)
            if os.path.exists(path):
                entry["urls"] = [f"{url}/{name}" for url in urls]
                entry["size"] = os.path.getsize(path)
                entry["sha256"] = sha256(path)
        table["expected"] = self.expected()
        return table

    def sources(self, *urls):
        """Write `table` to a file beside the served folder; returns its path."""
        path = self.folder + ".sources.yaml"
        with open(path, "w") as file:
            yaml.safe_dump(self.table(*urls), file)
        return path

    def expected(self):
        """What the lists and labels of the built set must be."""
        lists = {}
        for name in ("train", "train_aug", "val", "test"):
            text = "".join(image_id + "\n" for image_id in self.ids[name])
            lists[name] = {"images": len(self.ids[name]), "sha256": hashlib.sha256(text.encode()).hexdigest()}
        labels = [self.labels[image_id] for image_id in self.ids["train_aug"]]
        numbers = [sum(len(names) == n for names in labels) for n in range(1, max(map(len, labels)) + 1)]
        classes = [sum(name in names for names in labels) for name in VOC_CLASSES]
        return {"lists": lists, "labels": {"train_aug": {"by_number": numbers, "by_class": classes}}}


def make(folder, train=8, sbd=6, val=4, test=3, size=(100, 80), seed=1):
    """Write VOC's, SBD's and saliency archives to `folder`: returns a Standins.

    train, val, test: images in VOC's lists; sbd: further images, of which only SBD has masks; size: (width, height),
    about.
    """
    made, rng = Standins(folder), np.random.default_rng(seed)
    os.makedirs(folder, exist_ok=True)
    voc_train, voc_val, only_sbd, unlisted, tested = _ids(made, train, val, sbd, test)
    voc, mats, maps = _scenes(made, rng, size, [*voc_train, *voc_val, *only_sbd, *unlisted], voc_train + voc_val)
    top = "VOCdevkit/VOC2012"
    for name in ("train", "val"):
        voc[f"{top}/ImageSets/Segmentation/{name}.txt"] = _lines(made.ids[name])
    voc[f"{top}/ImageSets/Segmentation/trainval.txt"] = _lines(sorted(voc_train + voc_val))
    voc[f"{top}/ImageSets/Main/cat_train.txt"] = _lines(["2007_000001 -1"])
    tests = {f"{top}/ImageSets/Segmentation/test.txt": _lines(made.ids["test"])}
    for k, image_id in enumerate(tested):
        tests[f"{top}/JPEGImages/{image_id}.jpg"] = _encoded(".jpg", _scene(rng, size, first=k)[0])

    dataset = "benchmark_RELEASE/dataset"
    berkeley = {f"{dataset}/cls/{image_id}.mat": _mat(mask) for image_id, mask in mats.items()}
    berkeley.update({f"{dataset}/{name}.txt": _lines(made.ids[f"sbd_{name}"]) for name in ("train", "val")})
    berkeley[f"{dataset}/img/{only_sbd[0]}.jpg"] = voc[f"{top}/JPEGImages/{only_sbd[0]}.jpg"]
    berkeley["benchmark_RELEASE/README"] = b"stand-in\n"
    for name, members in ((VOC, voc), (TEST, tests), (SBD, berkeley), (SALIENCY, maps)):
        write_tar(os.path.join(folder, name), members)
    return made


def _ids(made, train, val, sbd, test):
    """New ids for VOC's train and val, for images that only SBD has masks of, that no list names, and for test."""
    numbers = itertools.count(1)
    take = lambda count: [f"{2007 + n % 5}_{n:06d}" for n in itertools.islice(numbers, count)]  # noqa: E731
    voc_train, voc_val, only_sbd, unlisted, tested = take(train), take(val), take(sbd), take(2), take(test)
    made.ids = {
        "train": voc_train,
        "val": voc_val,
        "test": tested,
        # As in the real lists, some images of SBD's are in VOC's train, and some in VOC's val.
        "sbd_train": only_sbd[::2] + voc_train[::3] + voc_val[:1],
        "sbd_val": only_sbd[1::2] + voc_train[1::3] + voc_val[1:2],
        "train_aug": voc_train + only_sbd,
    }
    made.ids = {name: sorted(ids) for name, ids in made.ids.items()}
    return voc_train, voc_val, only_sbd, unlisted, tested


def _scenes(made, rng, size, ids, own):
    """What the archives hold of each image: VOC's files, SBD's masks, saliency maps; own: ids that VOC has masks of."""
    voc, mats, maps = {}, {}, {}
    top = "VOCdevkit/VOC2012"
    for k, image_id in enumerate(ids):
        image, mask, names = _scene(rng, size, first=k)
        difficult = VOC_CLASSES[(k + 7) % 20] if k % 4 == 0 else None
        voc[f"{top}/JPEGImages/{image_id}.jpg"] = _encoded(".jpg", image)
        voc[f"{top}/Annotations/{image_id}.xml"] = _annotation(image_id, mask.shape, names, difficult)
        made.labels[image_id] = [name for name in VOC_CLASSES if name in names or name == difficult]
        if image_id in own:
            voc[f"{top}/SegmentationClass/{image_id}.png"] = _palette_png(mask)
            made.masks[image_id] = mask
        if image_id in made.ids["sbd_train"] + made.ids["sbd_val"]:
            coarse = np.where(mask == IGNORE, 0, mask)  # SBD marks no border
            mats[image_id] = coarse
            made.masks.setdefault(image_id, coarse)
        if image_id in made.ids["train_aug"]:
            salient = cv2.GaussianBlur((mask > 0).astype(np.float32), (9, 9), 0) * 230 + rng.uniform(0, 10, mask.shape)
            maps[f"saliency/{image_id}.png"] = _encoded(".png", salient.astype(np.uint8))
    return voc, mats, maps


def write_tar(path, members):
    """An archive of {name: bytes, or a TarInfo for anything that is no plain file}; .tgz is compressed."""
    with tarfile.open(path, "w:gz" if path.endswith("gz") else "w") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def _scene(rng, size, first):
    """Image (BGR), mask (indices, 255 on borders) and class names of one to three coloured objects on noise."""
    width, height = (side - int(rng.integers(0, 6)) for side in size)
    canvas = rng.normal(110, 25, (height // 8 + 1, width // 8 + 1, 3)).astype(np.float32)
    canvas = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((height, width), np.uint8)
    values = [1 + (first * step) % 20 for step in (1, 3, 7)[: 1 + first % 3]]
    for k, value in enumerate(values):
        centre = (int(width * (k + 0.5) / len(values)), int(height * rng.uniform(0.4, 0.6)))
        axes = (int(width * 0.36 / len(values)), int(height * rng.uniform(0.2, 0.35)))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, value, -1)
        cv2.ellipse(mask, centre, axes, 0, 0, 360, IGNORE, 1)
    inside = (mask > 0) & (mask < IGNORE)
    canvas[inside] = palette()[mask[inside]][:, ::-1] * 0.8 + 40
    canvas += rng.normal(0, 8, canvas.shape)
    return np.clip(canvas, 0, 255).astype(np.uint8), mask, [VOC_CLASSES[value - 1] for value in dict.fromkeys(values)]


def _encoded(extension, image):
    return cv2.imencode(extension, image)[1].tobytes()


def _palette_png(mask):
    image, file = Image.fromarray(mask, "P"), io.BytesIO()
    image.putpalette(palette().tobytes())
    image.save(file, "png")
    return file.getvalue()


def _lines(words):
    return "".join(word + "\n" for word in words).encode()


def _annotation(image_id, shape, names, difficult):
    thing = "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>1</xmin></bndbox>{}</object>"
    parts = "<part><name>head</name></part><part><name>foot</name></part>"
    things = [thing.format(name, 0, parts if name == "person" else "") for name in names]
    things += [things[0]] + ([thing.format(difficult, 1, "")] if difficult else [])
    size = f"<size><width>{shape[1]}</width><height>{shape[0]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{image_id}.jpg</filename>{size}{''.join(things)}</annotation>\n".encode()


def _mat(mask):
    """SBD's struct: Boundaries, a sparse matrix for each class; Segmentation; CategoriesPresent."""
    boundaries = np.empty((20, 1), object)
    for k in range(20):
        boundaries[k, 0] = scipy.sparse.csc_matrix(cv2.Laplacian((mask == k + 1).astype(np.uint8), cv2.CV_8U) > 0)
    present = np.setdiff1d(mask, [0]).astype(np.uint8)[:, None]
    struct = {"Boundaries": boundaries, "Segmentation": mask, "CategoriesPresent": present}
    file = io.BytesIO()
    scipy.io.savemat(file, {"GTcls": struct}, do_compression=True)
    return file.getvalue()


def write_vgg(path, channels=(64, 128, 256, 512, 512), fc=4096, outputs=1000, seed=1):
    """VGG_ILSVRC_16_layers.caffemodel with random weights (He's), as Caffe wrote it in 2014: 553 MB as it stands.

    Old `layers`, with 4-dimensional num, channels, height, width. channels: of conv1_x .. conv5_x. The weights are a
    million numbers, again and again.
    """
    numbers = np.random.default_rng(seed).standard_normal(1000003, np.float32)  # a prime: no two rows are equal
    with open(path, "wb") as file:
        file.write(_field(1, b"VGG_ILSVRC_16_layers"))
        before = 3
        for block, (count, width) in enumerate(zip((2, 2, 3, 3, 3), channels), 1):
            for k in range(1, count + 1):
                _write_layer(file, numbers, f"conv{block}_{k}", 4, (width, before, 3, 3))
                before = width
        for name, width, inputs in (("fc6", fc, before * 49), ("fc7", fc, fc), ("fc8", outputs, fc)):
            _write_layer(file, numbers, name, 14, (1, 1, width, inputs))


def _write_layer(file, numbers, name, kind, shape):
    """A V1LayerParameter with weights and biases; kind: 4 is CONVOLUTION, 14 INNER_PRODUCT."""
    weights = np.resize(numbers, shape)
    fan_in = shape[3] if shape[0] == 1 else np.prod(shape[1:])
    weights *= np.float32((2 / fan_in) ** 0.5)
    biases = np.zeros((1, 1, 1, max(shape[0], shape[2]) if shape[0] == 1 else shape[0]), np.float32)
    header = _field(4, name.encode()) + b"\x28" + _varint(kind)
    blobs = [_blob(weights), _blob(biases)]
    size = len(header) + sum(map(len, blobs))
    file.write(b"\x12" + _varint(size) + header)  # NetParameter.layers
    file.writelines(blobs)


def _blob(array):
    """A V1LayerParameter.blobs of legacy shape, in protobuf's wire format: a message of 400 MB takes Python minutes."""
    dims = b"".join(bytes([8 * k]) + _varint(n) for k, n in enumerate(array.shape, 1))
    return _field(6, dims + _field(5, array.tobytes()))


def _field(number, content):
    return bytes([8 * number + 2]) + _varint(len(content)) + content


def _varint(n):
    low, high = n & 127, n >> 7
    return bytes([low | 128]) + _varint(high) if high else bytes([low])


class Server:
    """Serves a folder over HTTP, with Range, from threads; a context manager.

    faults: {file name: faults}, one for each request of that file, in order, then none. A fault is "404", "503",
    "no range" (the whole file comes, whatever was asked for), "gzip" (the header claims an encoding, as some servers do
    for .tgz), ("cut", n) (the connection breaks after n bytes), ("corrupt", n) (byte n of the file is another).
    itertools.repeat(fault) never ends. sent: {file name: bytes of content sent}; requests: [(file name, first byte)].
    """

    def __init__(self, folder, faults=None):
        self.folder = str(folder)
        self.faults = {name: iter(each) for name, each in (faults or {}).items()}
        self.sent, self.requests, self.lock = {}, [], threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    owner = None

    def do_GET(self):
        name = os.path.basename(self.path)
        path = os.path.join(self.owner.folder, name)
        asked = self.headers.get("Range", "")
        first = int(asked[len("bytes=") :].split("-")[0]) if asked else 0
        with self.owner.lock:
            self.owner.requests.append((name, first))
            fault = next(self.owner.faults.get(name, iter(())), None)
        kind, place = fault if isinstance(fault, tuple) else (fault, None)
        if kind in ("404", "503") or not os.path.isfile(path):
            return self.send_error(int(kind or 404))
        with open(path, "rb") as file:
            content = bytearray(file.read())
        size = len(content)
        if kind == "corrupt":
            content[place] ^= 255
        if asked and kind != "no range":
            if first >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
            content = content[first:]
        else:
            self.send_response(200)
        if kind == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        content = content[:place] if kind == "cut" else content
        with self.owner.lock:
            self.owner.sent[name] = self.owner.sent.get(name, 0) + len(content)
        with contextlib.suppress(ConnectionError):  # a client may go away
            self.wfile.write(content)

    def log_message(self, *_):
        pass
