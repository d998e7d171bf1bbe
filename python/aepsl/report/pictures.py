"""The report's pictures, as data URIs: training images in each stage, and predictions."""

import base64
import io
import os
from typing import NamedTuple, Optional

import cv2
import numpy as np
from matplotlib import cm
from matplotlib.colors import to_rgb
from PIL import Image

from aepsl.data.dataset import IGNORE, Dataset, png
from aepsl.graph.run_folder import RunFolder
from aepsl.images.pictures import VOC_PALETTE, palette, read_indexed, within
from aepsl.report.charts import STEP_COLOURS
from aepsl.settings.typed import Experiment
from aepsl.stages import mine

PICTURE_SIDE = 360  # most pixels of a picture's longer side
NO_PICTURE = "not kept"


class Picture(NamedTuple):
    """A picture; pixels: H x W x 3 uint8, RGB, or a mask, H x W uint8; None if the run has no such picture; note: a
    figure below it, or ''."""

    title: str
    pixels: Optional[np.ndarray]
    alt: str
    note: str = ""

    @property
    def uri(self) -> str:
        """A data URI of at most PICTURE_SIDE: a photo as WebP, a mask in VOC's palette, without loss, as PNG."""
        data = io.BytesIO()
        pixels = np.ascontiguousarray(self.pixels)
        image = Image.fromarray(pixels)
        if pixels.ndim == 3:
            image.save(data, kind := "webp", quality=80)
        else:
            image.putpalette(VOC_PALETTE)
            image.save(data, kind := "png", optimize=True)
        return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


class Strip(NamedTuple):
    """Pictures of one image, side by side; title: the image's id and labels."""

    title: str
    pictures: list


class Album:
    """Makes the strips of pictures of a run; NO_PICTURE replaces a picture that the run does not have."""

    def __init__(self, experiment: Experiment, dataset: Dataset) -> None:
        self.experiment, self.dataset = experiment, dataset
        self.folder = RunFolder(experiment.name)
        self.names = {**dict(zip(dataset.values, ["background", *dataset.classes])), IGNORE: "ignored"}
        self.seen: set[int] = set()  # mask values that occur in the pictures
        self.merge = experiment.mining.merge

    def by_section(self, found: dict) -> dict[str, list[Strip]]:
        """{section of the page: its Strips}; found: report.gathered."""
        examples = found.get("examples", {})
        kinds = [kind for kind in ("best", "median", "worst") if kind in examples]
        drawn = mine.shown(self.experiment, self.dataset.ids(self.experiment.data.train))
        return {
            "erasing": [self.story(image_id) for image_id in drawn],
            "over-erased": [self.over_erased(each) for each in examples.get("over_erased", [])],
            "predictions": [self.prediction(each, kind, found["main"]) for kind in kinds for each in examples[kind]],
        }

    def story(self, image_id: str) -> Strip:
        """Figures 1, 2 and 6 of one training image."""
        relabelled = self.folder.relabelled("psl")
        return Strip(
            self.title(image_id),
            [
                self.image(image_id, "image"),
                *(self.heat(image_id, t) for t in range(1, self.experiment.mining.steps + 1)),
                self.erased(image_id, self.merge, f"erased by {self.merge} steps"),
                self.regions(image_id, self.merge, "merged regions"),
                self.mask(self.folder.masks(self.merge), image_id, "mask S"),
                self.mask(os.path.join(relabelled, "s_hat"), image_id, "Ŝ of PSL"),
                self.mask(os.path.join(relabelled, "plain"), image_id, "PSL, no CRF"),
                self.mask(os.path.join(relabelled, "crf"), image_id, "PSL, with CRF"),
                self.truth(image_id),
            ],
        )

    def first(self, story: Strip) -> list[Picture]:
        """The pictures of the first screen, chosen from a story."""
        last = self.experiment.mining.steps
        wanted = "image", "heat map 1", f"heat map {last}", "merged regions", "mask S", "PSL, with CRF", "truth"
        return [each for each in story.pictures if each.title in wanted and each.pixels is not None]

    def over_erased(self, example: dict) -> Strip:
        """Figure 5b: regions before and after one step too many."""
        image_id, pictures = example["id"], [self.image(example["id"], "image")]
        for step, key in ((self.merge, "before"), (self.merge + 1, "after")):
            note = f"precision {100 * example[key]:.1f}%"
            pictures.append(self.regions(image_id, step, f"steps 1 to {step}", note))
        return Strip(self.title(image_id), [*pictures, self.truth(image_id)])

    def prediction(self, example: dict, kind: str, row: str) -> Strip:
        """Figure 4: an image of val, without and with CRF, and the truth."""
        image_id, place = example["id"], self.folder.segmented("val", row)
        return Strip(
            f"{kind.capitalize()}. {self.title(image_id)}: mIoU {example['miou']:.1f}",
            [
                self.image(image_id, "image"),
                self.mask(os.path.join(place, "plain"), image_id, "without CRF"),
                self.mask(os.path.join(place, "crf"), image_id, "with CRF"),
                self.truth(image_id),
            ],
        )

    def title(self, image_id: str) -> str:
        labels = np.flatnonzero(self.dataset.labels([image_id], may_lack=True)[0])
        return f"{image_id} ({', '.join(self.dataset.classes[c] for c in labels)})"

    def image(self, image_id: str, title: str) -> Picture:
        """The image itself."""
        return Picture(title, within(self.dataset.image(image_id)[:, :, ::-1], PICTURE_SIDE), f"The image {image_id}")

    def _grey(self, image_id):
        return cv2.cvtColor(self.dataset.image(image_id), cv2.COLOR_BGR2GRAY)[:, :, None]

    def heat(self, image_id: str, t: int) -> Picture:
        """The map of step t over its image in grey."""
        heat = _there(os.path.join(self.folder.regions(t), "heat"), image_id)
        if heat is None:
            return Picture(f"heat map {t}", None, NO_PICTURE)
        heat, grey = heat[:, :, None] / 255, self._grey(image_id)
        colours = cm.get_cmap("inferno")(heat[:, :, 0])[:, :, :3] * 255
        shown = np.round(grey * (1 - 0.8 * heat) * 0.8 + 0.8 * heat * colours + 0.2 * heat * grey).clip(0, 255)
        alt = f"Where the classification net of step {t} looks at in {image_id}, bright for most"
        return Picture(f"heat map {t}", within(shown.astype(np.uint8), PICTURE_SIDE), alt)

    def erased(self, image_id: str, t: int, title: str) -> Picture:
        """The image with the regions of steps 1 to t erased."""
        bits = _there(self.folder.regions(t), image_id)
        if bits is None:
            return Picture(title, None, NO_PICTURE)
        mean = np.round(self.experiment.data.mean[::-1]).astype(np.uint8)
        left = np.where(bits[:, :, None] > 0, mean, self.dataset.image(image_id)[:, :, ::-1])
        alt = f"{image_id} with the mined regions filled with the mean colour"
        return Picture(title, within(left, PICTURE_SIDE), alt)

    def regions(self, image_id: str, last: int, title: str, note: str = "") -> Picture:
        """The mined regions of steps 1 to `last` over the image in grey, in the colour of the step that found them."""
        all_bits = [_there(self.folder.regions(t), image_id) for t in range(1, last + 1)]
        if any(bits is None for bits in all_bits):
            return Picture(title, None, NO_PICTURE)
        mined, grey = np.stack(all_bits) > 0, 0.75 * self._grey(image_id)
        colours = 255 * np.array([to_rgb(STEP_COLOURS[k % len(STEP_COLOURS)]) for k in range(last)])
        of_steps = 0.35 * grey + 0.65 * colours[mined.argmax(axis=0)]  # of the first step that found a pixel
        shown = np.where(mined.any(axis=0)[:, :, None], of_steps, grey)
        alt = f"The regions of {image_id} that each step mined, each in its step's colour"
        return Picture(title, within(np.round(shown).astype(np.uint8), PICTURE_SIDE), alt, note)

    def mask(self, folder: Optional[str], image_id: str, title: str) -> Picture:
        """A mask in VOC's palette."""
        mask = _there(folder, image_id)
        if mask is None:
            return Picture(title, None, NO_PICTURE)
        values = np.unique(mask).tolist()
        self.seen.update(values)
        shares = (f"{self.names.get(v, v)} {100 * np.mean(mask == v):.0f}%" for v in values)
        return Picture(title, within(mask, PICTURE_SIDE), f"{title} of {image_id}: {', '.join(shares)}")

    def truth(self, image_id: str) -> Picture:
        """The true mask."""
        return self.mask(self.dataset.mask_folder(), image_id, "truth")

    def legend(self) -> list[tuple[str, str]]:
        """[(name, colour)] of the mask values in the pictures."""
        colours = palette()
        return [(self.names.get(v, str(v)), "#{:02x}{:02x}{:02x}".format(*colours[v])) for v in sorted(self.seen)]


def _there(folder, image_id):
    """The content of an image's PNG in a folder; None without the folder or the file."""
    path = png(folder or "", image_id)
    return read_indexed(path) if folder and os.path.exists(path) else None
