"""The report's pictures: what becomes of training images, and predictions, as data URIs."""

import base64
import io
import os
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib import cm
from PIL import Image

from aepsl.data.dataset import IGNORE
from aepsl.graph.run_folder import RunFolder
from aepsl.images.pictures import VOC_PALETTE, palette, read_indexed
from aepsl.report.charts import STEP_COLOURS
from aepsl.stages import mine

PICTURE_SIDE = 360  # pixels of a picture's longer side at most
NO_PICTURE = "not kept"


class Picture(NamedTuple):
    """title; uri: a data URI, or None where the run has no such picture; alt; note: a figure below it, or ''."""

    title: str
    uri: str
    alt: str
    note: str = ""


class Strip(NamedTuple):
    """Pictures of one image, side by side; title: what the image is."""

    title: str
    pictures: list


class Album:
    """Makes the strips of pictures of a run; what the run has not, is said in its place."""

    def __init__(self, experiment, dataset):
        self.experiment, self.dataset = experiment, dataset
        self.folder = RunFolder(experiment.name)
        self.names = names_of(dataset)
        self.seen = set()  # mask values that any picture has
        self.all_steps = range(1, experiment.mining.steps + 1)
        self.steps = list(self.all_steps)[: experiment.mining.merge]

    def story(self, image_id):
        """Figures 1, 2 and 6 of one training image."""
        heat = [self.heat(image_id, t) for t in self.all_steps]
        relabelled = self.folder.relabelled("psl")
        masks = self.folder.masks(self.experiment.mining.merge)
        return Strip(
            self.title(image_id),
            [
                self.image(image_id, "image"),
                *heat,
                *self.erased(image_id),
                self.mask(masks, image_id, "mask S"),
                self.mask(os.path.join(relabelled, "s_hat"), image_id, "Ŝ of PSL"),
                self.mask(os.path.join(relabelled, "plain"), image_id, "PSL, no CRF"),
                self.mask(os.path.join(relabelled, "crf"), image_id, "PSL, with CRF"),
                self.mask(self.dataset.mask_folder(), image_id, "truth"),
            ],
        )

    def first(self, image_id):
        """The row of the first screen: the story of a training image in short."""
        story = self.story(image_id).pictures
        last = len(self.all_steps)
        merged, S, crf, truth = story[last + 2], story[last + 3], story[-2], story[-1]
        return [each for each in (story[0], story[1], story[last], merged, S, crf, truth) if each.uri]

    def over_erased(self, example):
        """Figure 5b: regions before and after one step too many."""
        t = self.experiment.mining.merge
        pictures = [self.image(example["id"], "image")]
        for step, key in ((t, "before"), (t + 1, "after")):
            note = f"precision {100 * example[key]:.1f}%"
            pictures.append(self.regions(example["id"], range(1, step + 1), f"steps 1 to {step}", note))
        pictures.append(self.mask(self.dataset.mask_folder(), example["id"], "truth"))
        return Strip(self.title(example["id"]), pictures)

    def prediction(self, example, row):
        """Figure 4: an image of val, without and with CRF, and the truth."""
        place = self.folder.segmented("val", row)
        return Strip(
            f"{self.title(example['id'])}: mIoU {example['miou']:.1f}",
            [
                self.image(example["id"], "image"),
                self.mask(os.path.join(place, "plain"), example["id"], "without CRF"),
                self.mask(os.path.join(place, "crf"), example["id"], "with CRF"),
                self.mask(self.dataset.mask_folder(), example["id"], "truth"),
            ],
        )

    def title(self, image_id):
        labels = np.flatnonzero(self.dataset.labels([image_id])[0])
        return f"{image_id} ({', '.join(self.dataset.classes[c] for c in labels)})"

    def image(self, image_id, title):
        return Picture(title, photo(self.dataset.image(image_id)[:, :, ::-1]), f"The image {image_id}")

    def heat(self, image_id, t):
        """The map of step t over its image in grey."""
        path = os.path.join(self.folder.regions(t), "heat", image_id + ".png")
        if not os.path.exists(path):
            return Picture(f"heat map {t}", None, NO_PICTURE)
        grey = cv2.cvtColor(self.dataset.image(image_id), cv2.COLOR_BGR2GRAY)[:, :, None]
        heat = read_indexed(path)[:, :, None] / 255
        colours = cm.get_cmap("inferno")(heat[:, :, 0])[:, :, :3] * 255
        shown = np.round(grey * (1 - 0.8 * heat) * 0.8 + 0.8 * heat * colours + 0.2 * heat * grey).clip(0, 255)
        alt = f"Where the classification net of step {t} looks at in {image_id}, bright for most"
        return Picture(f"heat map {t}", photo(shown.astype(np.uint8)), alt)

    def erased(self, image_id):
        """[what the merged steps leave of the image, the regions by step]."""
        path = os.path.join(self.folder.regions(self.steps[-1]), image_id + ".png")
        titles = f"erased by {len(self.steps)} steps", "merged regions"
        if not os.path.exists(path):
            return [Picture(title, None, NO_PICTURE) for title in titles]
        image = self.dataset.image(image_id)[:, :, ::-1]
        left = erased(self.experiment, image, read_indexed(path) > 0)
        alt = f"{image_id} with the mined regions filled with the mean colour"
        return [Picture(titles[0], photo(left), alt), self.regions(image_id, self.steps, titles[1])]

    def regions(self, image_id, steps, title, note=""):
        """The mined regions over the image in grey, in the colour of the step that found them."""
        grey = cv2.cvtColor(self.dataset.image(image_id), cv2.COLOR_BGR2GRAY)
        shown = np.repeat(grey[:, :, None], 3, axis=2) * 0.75
        before = np.zeros(grey.shape, bool)
        for t in steps:
            path = os.path.join(self.folder.regions(t), image_id + ".png")
            if not os.path.exists(path):
                return Picture(title, None, NO_PICTURE)
            region = read_indexed(path) > 0
            colour = [int(STEP_COLOURS[(t - 1) % len(STEP_COLOURS)][k : k + 2], 16) for k in (1, 3, 5)]
            new = region & ~before
            shown[new] = 0.35 * shown[new] + 0.65 * np.array(colour)
            before = region
        alt = f"The regions of {image_id} that each step mined, each in its step's colour"
        return Picture(title, photo(np.round(shown).astype(np.uint8)), alt, note)

    def mask(self, folder, image_id, title):
        """A mask in VOC's palette."""
        path = os.path.join(folder or "", image_id + ".png")
        if not folder or not os.path.exists(path):
            return Picture(title, None, NO_PICTURE)
        mask = read_indexed(path)
        values = [int(value) for value in np.unique(mask)]
        self.seen.update(values)
        shares = (f"{self.names.get(v, v)} {100 * np.mean(mask == v):.0f}%" for v in values)
        return Picture(title, drawing(mask), f"{title} of {image_id}: {', '.join(shares)}")

    def legend(self):
        """[(name, colour)] of the mask values in the pictures."""
        colours = palette()
        return [(self.names.get(v, str(v)), "#{:02x}{:02x}{:02x}".format(*colours[v])) for v in sorted(self.seen)]


def names_of(dataset):
    """{mask value: its name}."""
    return {**dict(zip(dataset.values, ["background", *dataset.classes])), IGNORE: "ignored"}


def erased(experiment, image, region):
    """The image, H x W x 3 uint8 RGB, with the mean pixel in `region`, H x W booleans."""
    return np.where(region[:, :, None], np.round(experiment.data.mean[::-1]).astype(np.uint8), image)


def photo(array):
    """H x W x 3 uint8 RGB as a data URI: WebP."""
    return _uri(_fitted(Image.fromarray(np.ascontiguousarray(array)), Image.LANCZOS), "webp", quality=80)


def drawing(mask):
    """H x W uint8, a mask, in VOC's palette, without loss: PNG."""
    image = Image.fromarray(mask, "P")
    image.putpalette(VOC_PALETTE)
    return _uri(_fitted(image, Image.NEAREST), "png", optimize=True)


def _fitted(image, how):
    factor = min(1, PICTURE_SIDE / max(image.size))
    return image.resize([max(1, round(side * factor)) for side in image.size], how) if factor < 1 else image


def _uri(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


def chosen(experiment, dataset):
    """The training images whose maps the mining keeps: see mine.shown."""
    return mine.shown(experiment, dataset.ids(experiment.data.train))
