"""Photos with binary masks of their salient object: DIR/ID.jpg (.jpeg, .png) and DIR/ID.png, white for the object."""

import numpy as np

from aepsl.base.errors import InputError
from aepsl.data import meaning
from aepsl.data.lists import IMAGE_EXTENSIONS, read_list
from aepsl.data.mask_files import check_shape, check_upright
from aepsl.images import looks
from aepsl.images.decoding import check_whole
from aepsl.images.pictures import read_image
from aepsl.saliency.maps import files_of


class Photos:
    """The photos of a list; images, masks: folders, which may be the same.

    Raises InputError for a photo or a mask that is missing or damaged, for a mask whose size is not its photo's, for a
    mask of one colour, for photos whose orientation is unknown, and for photos and masks that mean nothing.
    """

    def __init__(self, images: str, masks: str, list_path: str) -> None:
        self.ids = read_list(list_path).ids
        self.images = [files_of(images, image_id, IMAGE_EXTENSIONS)[0] for image_id in self.ids]
        self.masks = [files_of(masks, image_id, (".png", ".bmp"))[0] for image_id in self.ids]
        for image, mask in zip(self.images, self.masks):
            header = check_whole(image)
            check_upright(image, header, mask)
            check_shape(mask, check_whole(mask).size[::-1], header.size[::-1], "its photo", "give one of its size")
        said = [meaning.map_says(self.is_object(k).astype(np.float32), None) for k in range(len(self))]
        if meaning.are_turned(np.array([border for _, border, _ in said])):
            line = "masks are white at the border and black in the middle: they are inverted"
            raise InputError(f"{masks}: {line}; an object is white (255), and the rest black")
        meaning.of_pictures(images, self.ids, looks.look(self.images))

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
