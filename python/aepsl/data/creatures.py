"""Draws the demo's invented creatures on cluttered ground.

They fit the method's premise: every part of a creature shows its class, but some more clearly. The head is small and
vivid. The body is several times as large and muted, and looks much like other classes', as a cow's and a horse's do.
The limbs hardly differ from the ground. A classification net needs body and limbs only once the head is erased.

Each class also has a plant, often beside it, as rails are below trains. Once little of the creatures is left, the net
looks at the plants: over-erasing. The masks then have plants as creatures, and a segmentation net learns that.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from aepsl.data.dataset import IGNORE


class Part(NamedTuple):
    """How clearly a part shows its class. Colours are CIELAB's, where distances are those that an eye sees."""

    name: str
    vividness: float  # distance of its colour from grey; the ground's is at most GROUND_VIVIDNESS
    contrast: float  # amplitude of the class's pattern in lightness
    apart: float  # degrees of hue between one class and the next
    wander: float  # degrees of hue by which objects differ (s.d.)
    lightness: float
    turn: float  # degrees of hue from the first class's head to its part here; parts differ, so none teaches another


# The first three are about a sixth, more than half, and a quarter of a creature's pixels.
PARTS = (
    Part("head", vividness=58, contrast=24, apart=90, wander=6, lightness=62, turn=0),
    Part("body", vividness=15, contrast=7, apart=30, wander=15, lightness=70, turn=45),
    Part("limbs", vividness=13, contrast=4, apart=90, wander=12, lightness=34, turn=180),
    Part("plant", vividness=24, contrast=8, apart=90, wander=10, lightness=48, turn=225),
)
PLANT = len(PARTS)  # its number; it belongs to the ground, not to a creature
SIDES = 112, 145  # of images, in pixels: the smallest, and one more than the largest
BESIDE, ELSEWHERE = 0.6, 0.2  # probability of a class's plant in an image with the class, and in one without it
GROUND_VIVIDNESS = 7


class Kind(NamedTuple):
    """A class's build, in units of about half a body length. The limbs are legs and a tail."""

    name: str
    body: tuple  # half axes
    head: float  # radius
    legs: int
    leg: tuple  # length beyond the body, width
    tail: tuple
    pattern: str  # on the head; body and limbs wear the next ones


KINDS = (
    Kind("quillow", (0.90, 0.62), head=0.38, legs=4, leg=(0.52, 0.31), tail=(0.52, 0.39), pattern="stripes"),
    Kind("marbit", (0.80, 0.70), head=0.42, legs=2, leg=(0.55, 0.52), tail=(0.46, 0.53), pattern="checks"),
    Kind("fennak", (1.00, 0.52), head=0.36, legs=6, leg=(0.46, 0.22), tail=(0.58, 0.30), pattern="rings"),
    Kind("dorrel", (0.86, 0.58), head=0.40, legs=3, leg=(0.60, 0.36), tail=(0.75, 0.28), pattern="dots"),
)
CLASSES = tuple(kind.name for kind in KINDS)
WAVE = 2 * np.pi / 0.36
PATTERNS = {  # at u, v: see _skin
    "stripes": lambda u, v: np.sin(WAVE * u),
    "checks": lambda u, v: 1.5 * np.sin(WAVE * u / 1.4) * np.sin(WAVE * v / 1.4),
    "rings": lambda u, v: np.sin(WAVE * np.hypot(u - 0.9, v + 0.4)),
    "dots": lambda u, v: np.cos(WAVE * u / 1.2) + np.cos(WAVE * v / 1.2) - 0.6,
}


def render(rng: np.random.Generator, classes: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one image with an object of each of `classes` (mask values 1..4, at most two).

    Returns image (H x W x 3 uint8, BGR), mask (H x W uint8: 0, a class's value, 255 on the 1 px around each object) and
    parts (H x W uint8: 0 for bare ground, or 1 + index in PARTS); H and W are 112..144.
    """
    height, width = rng.integers(*SIDES, 2)
    canvas = _ground(rng, height, width)
    mask, parts = np.zeros((2, height, width), np.uint8)
    y, x = np.mgrid[:height, :width] / 20
    for value in range(1, len(KINDS) + 1):
        if rng.random() < (BESIDE if value in classes else ELSEWHERE):
            where = _plant(rng, mask.shape)
            canvas[where] = _skin(rng, PLANT, value, x[where], y[where])
            parts[where] = PLANT
    for value, (own, u, v) in zip(classes, _apart(rng, [KINDS[value - 1] for value in classes], mask.shape)):
        for number in range(1, PLANT):
            where = own == number
            canvas[where] = _skin(rng, number, value, u[where], v[where])
        mask[own > 0] = value
        parts[own > 0] = own[own > 0]
    mask[cv2.dilate(mask, np.ones((3, 3), np.uint8)) > mask] = IGNORE
    canvas[..., 0] *= rng.uniform(0.85, 1.15)  # brighter or darker light
    image = cv2.cvtColor(canvas, cv2.COLOR_LAB2BGR) * 255
    image = cv2.GaussianBlur(image, (3, 3), 0.6) + rng.normal(0, 5, image.shape)
    return np.clip(image, 0, 255).round().astype(np.uint8), mask, parts


def _apart(rng, kinds, shape):
    """Objects of `kinds`, see _place, drawn again until no two are neighbours."""
    cover = (0.12, 0.36) if len(kinds) == 1 else (0.09, 0.13)
    while True:
        placed = [_place(rng, kind, rng.uniform(*cover), shape) for kind in kinds]
        if sum(cv2.dilate(np.minimum(own, 1), np.ones((3, 3), np.uint8)) for own, _, _ in placed).max() == 1:
            return placed


def _place(rng, kind, cover, shape):
    """One object that covers the share `cover` of an image of `shape`, or less if it would leave the frame.

    Returns its parts (H x W uint8, numbered as in render) and each pixel's place u, v on it (H x W).
    """
    height, width = shape
    turn = _rotation(rng.uniform(-40, 40)) @ np.diag([rng.choice([-1, 1]), 1])
    outlines = [(index, points @ turn.T) for index, points in _outlines(rng, kind)]
    corners = np.concatenate([points for _, points in outlines])
    low, high = corners.min(0), corners.max(0)
    unit_area = (_draw(outlines, 20, 2 - 20 * low, (100, 100)) > 0).sum() / 20**2
    margin = 3 if rng.random() < 0.9 else -6  # one in ten may stick out
    frame = np.array([width, height]) - 2 * margin
    size = min(np.sqrt(cover * height * width / unit_area), (frame / (high - low)).min())
    centre = margin - size * low + rng.random(2) * (frame - size * (high - low))
    y, x = np.mgrid[:height, :width]
    u, v = np.tensordot(turn.T, np.stack([x - centre[0], y - centre[1]]) / size, 1)
    return _draw(outlines, size, centre, shape), u, v


def _plant(rng, shape):
    """The pixels of a tuft of five leaves in an image of `shape`: H x W booleans. A creature may cover some."""
    size = np.sqrt(rng.uniform(0.05, 0.10) * shape[0] * shape[1])
    centre = rng.uniform(0.1, 0.9, 2) * shape[::-1]
    leaf, first = _ellipse((0.45, 0), (0.45, 0.2)), rng.uniform(0, 72)
    turns = [_rotation(72 * k + first + rng.normal(0, 8)) for k in range(5)]
    return _draw([(1, leaf @ turn.T) for turn in turns], size, centre, shape) > 0


def _draw(outlines, size, centre, shape):
    own = np.zeros(shape, np.uint8)
    for index, points in outlines:
        cv2.fillPoly(own, [np.round((points * size + centre) * 16).astype(np.int32)], index, shift=4)
    return own


def _outlines(rng, kind):
    """(part number, N x 2 points) from back to front, y downwards, in a random pose."""
    a, b = kind.body
    limbs = []
    for place in np.linspace(-0.7, 0.7, kind.legs) if kind.legs > 1 else [0]:
        x, y = a * place, b * np.sqrt(1 - place**2)
        limbs.append(_limb((x, y - 0.25), rng.normal(90, 8), kind.leg[0] + 0.25, kind.leg[1]))
    limbs.append(_limb((0.25 - a, -0.1), rng.normal(205, 12), kind.tail[0] + 0.25, kind.tail[1]))
    head = np.array([a, b]) * _along(np.deg2rad(rng.normal(-30, 10))) * 1.25
    front = [(2, _ellipse((0, 0), (a, b))), (1, _ellipse(head, (kind.head, kind.head)))]
    return [(3, limb) for limb in limbs] + front


def _limb(root, degrees, length, width):
    along, across = _rotation(degrees).T
    across, tip = across * width / 2, root + length * along
    return np.stack([root - across, tip - 0.8 * across, tip + 0.8 * across, root + across])


def _ellipse(centre, axes):
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.array(centre) + _along(t).T * axes


def _rotation(degrees):
    x, y = _along(np.deg2rad(degrees))
    return np.array([[x, -y], [y, x]])


def _along(angle):
    return np.array([np.cos(angle), np.sin(angle)])


def _skin(rng, number, value, u, v):
    """Lab colours, N x 3, of the pixels of part `number` of the class `value`; u, v: the pixels' coordinates on it."""
    part, kind = PARTS[number - 1], KINDS[value - 1]
    names = list(PATTERNS)
    pattern = PATTERNS[names[(names.index(kind.pattern) + number - 1) % len(names)]]
    wave = np.clip(2 * pattern(u, v), -1, 1)
    hue = np.deg2rad(30 + part.apart * (value - 1) + part.turn + rng.normal(0, part.wander))
    a, b = part.vividness * rng.uniform(0.85, 1.15) * _along(hue)
    lightness = part.lightness + rng.normal(0, 4) + part.contrast * wave
    return np.stack([lightness, 0 * wave + a, 0 * wave + b], -1)


def _ground(rng, height, width):
    """Lab float32 H x W x 3: a gradient, striped patches of any tint below GROUND_VIVIDNESS, and noise."""
    y, x = np.mgrid[:height, :width]
    slope = rng.normal(0, 8, 2)
    lightness = rng.uniform(44, 56) + slope[0] * (x / width - 0.5) + slope[1] * (y / height - 0.5)
    canvas = np.stack([lightness, 0 * lightness, 0 * lightness], -1).astype(np.float32)
    canvas[..., 1:] += _tint(rng)
    for _ in range(rng.integers(14, 26)):
        points = rng.normal(0, rng.uniform(5, 22), (rng.integers(3, 8), 2)) + rng.uniform((0, 0), (width, height))
        hull = cv2.convexHull(points.astype(np.float32)).astype(np.int32)
        row, column = np.nonzero(cv2.fillPoly(np.zeros((height, width), np.uint8), [hull], 1))
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 14)
        stripes = np.sin((column * np.cos(angle) + row * np.sin(angle)) * 2 * np.pi / period)
        canvas[row, column, 0] += rng.normal(0, 6) + rng.uniform(0, 4) * stripes
        canvas[row, column, 1:] = _tint(rng)
    for cell in (2, 6, 20):
        noise = rng.normal(0, (3, 1.5, 1.5), (height // cell + 1, width // cell + 1, 3)).astype(np.float32)
        canvas += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return canvas


def _tint(rng):
    hue = rng.uniform(0, 2 * np.pi)
    return rng.uniform(0, GROUND_VIVIDNESS) * _along(hue)
