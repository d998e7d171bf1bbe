"""Photos with binary masks of their salient object: DIR/ID.jpg (.jpeg, .png) and DIR/ID.png, white for the object."""

import numpy as np

from aepsl.base.errors import InputError
from aepsl.data import lists
from aepsl.images.decoding import check_whole
from aepsl.images.pictures import read_image
from aepsl.saliency.maps import first_of


class Photos:
    """The photos of a list; images, masks: folders, which may be the same.

    Raises InputError for a photo or a mask that is missing or damaged, for a mask whose size is not its photo's, and
    for a mask of one colour.
    """

    def __init__(self, images: str, masks: str, list_path: str) -> None:
        self.ids = lists.read_list(list_path).ids
        self.images = [first_of(images, image_id, (".jpg", ".jpeg", ".png")) for image_id in self.ids]
        self.masks = [first_of(masks, image_id, (".png", ".bmp")) for image_id in self.ids]
        for image, mask in zip(self.images, self.masks):
            photo, other = ("{} x {}".format(*check_whole(path).size) for path in (image, mask))
            if photo != other:
                raise InputError(f"{mask}: is {other}, its photo {photo}; give one of its size")
        for k in range(len(self)):
            self.is_object(k)

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, k: int) -> np.ndarray:
        """H x W x 3 uint8, BGR."""
        return read_image(self.images[k])

    def is_object(self, k: int) -> np.ndarray:
        """H x W booleans; InputError for a mask that is all black or all white. Values of 0 and 1 are black."""
        white = read_image(self.masks[k]).max(axis=2) > 127
        if white.all() or not white.any():
            colour = "white" if white.all() else "black"
            raise InputError(f"{self.masks[k]}: is all {colour}; an object is white (255), and the rest black")
        return white
