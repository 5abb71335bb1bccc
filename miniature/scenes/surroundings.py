"""Backgrounds of scenes, from a plain wall to clutter, without any object of the vocabulary."""

from collections.abc import Callable

import cv2
import numpy as np

from miniature import backgrounds

SIDE_PX = 256


def enlarged(rng: np.random.Generator) -> np.ndarray:
    """A background of the compositions at twice its size."""
    background = backgrounds.render_background(rng)[0]
    image: np.ndarray = cv2.resize(background, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return image


def any_colour(rng: np.random.Generator) -> np.ndarray:
    """A random colour, float32 (3,) in [0, 255]."""
    return backgrounds.colour(rng, rng.choice(backgrounds.NAMES))


def clouds(rng: np.random.Generator) -> np.ndarray:
    """Noise of several octaves, the coarse ones coloured, like foliage or stone out of focus."""
    image = np.broadcast_to(40 + 0.7 * any_colour(rng), (SIDE_PX, SIDE_PX, 3)).copy()
    for cells, strength, tint in ((3, 28, 18), (7, 22, 10), (18, 12, 4), (40, 4, 0)):
        noise = (rng.normal(0, strength, (cells, cells, 1)) + rng.normal(0, tint, (cells, cells, 3))).astype(np.float32)
        image += cv2.resize(noise, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return image


def littered(rng: np.random.Generator) -> np.ndarray:
    """One of the two above with random discs, bars and polygons: contours that belong to no object."""
    image = enlarged(rng) if rng.random() < 0.6 else clouds(rng)
    for _ in range(int(rng.integers(5, 26))):
        over = image.copy()
        centre = rng.uniform(0, SIDE_PX, 2)
        size = np.exp(rng.uniform(np.log(6), np.log(60)))
        shade = any_colour(rng).tolist()
        kind = rng.integers(3)
        if kind == 0:
            axes = (int(size / 2) + 1, int(size * rng.uniform(0.2, 0.5)) + 1)
            cv2.ellipse(over, centre.astype(int).tolist(), axes, rng.uniform(0, 180), 0, 360, shade, -1, cv2.LINE_AA)
        elif kind == 1:
            end = centre + rng.normal(0, size, 2)
            width = int(rng.integers(1, 7))
            cv2.line(over, centre.astype(int).tolist(), end.astype(int).tolist(), shade, width, cv2.LINE_AA)
        else:
            corners = centre + rng.normal(0, size / 2, (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(over, [corners.astype(np.int32)], shade, cv2.LINE_AA)
        opacity = rng.uniform(0.4, 1)
        image = opacity * over + (1 - opacity) * image
    return image


def shelves(rng: np.random.Generator) -> np.ndarray:
    """Shelves with upright blocks of many colours."""
    image = np.broadcast_to(any_colour(rng) * 0.6, (SIDE_PX, SIDE_PX, 3)).copy()
    board = any_colour(rng)
    bottom = int(rng.integers(40, 90))
    while bottom < SIDE_PX + 80:
        left = int(rng.integers(-20, 5))
        while left < SIDE_PX:
            width, height = int(rng.integers(8, 34)), int(rng.integers(25, 66))
            if rng.random() < 0.8:
                cv2.rectangle(image, (left, bottom - height), (left + width - 2, bottom), any_colour(rng).tolist(), -1)
            left += width
        cv2.rectangle(image, (0, bottom), (SIDE_PX, bottom + 6), board.tolist(), -1)
        bottom += int(rng.integers(70, 100))
    return image


def tiles(rng: np.random.Generator) -> np.ndarray:
    """A grid of tiles in shades of a few colours, sometimes rotated."""
    side = int(rng.integers(18, 52))
    palette = np.stack([any_colour(rng) for _ in range(int(rng.integers(2, 4)))])
    count = 2 * SIDE_PX // side + 1
    shades = palette[rng.integers(len(palette), size=(count, count))] + rng.normal(0, 9, (count, count, 1))
    image = np.ascontiguousarray(np.kron(shades, np.ones((side, side, 1))), dtype=np.float32)
    image[::side] *= 0.7  # joints
    image[:, ::side] *= 0.7
    middle = image.shape[0] / 2
    turn = cv2.getRotationMatrix2D((middle, middle), rng.choice([0, 0, 45, rng.uniform(0, 90)]), 1)
    turn[:, 2] += SIDE_PX / 2 - middle
    turned: np.ndarray = cv2.warpAffine(image, turn, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)
    return turned


KINDS: dict[Callable[[np.random.Generator], np.ndarray], float] = {
    enlarged: 0.40,
    littered: 0.30,
    clouds: 0.12,
    tiles: 0.10,
    shelves: 0.08,
}


def render_surroundings(rng: np.random.Generator) -> np.ndarray:
    """Render a random background, float32 (256, 256, 3) in [0, 255]; half of them are blurred, like out of focus."""
    image = list(KINDS)[rng.choice(len(KINDS), p=list(KINDS.values()))](rng)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 4))
    clipped: np.ndarray = np.clip(image, 0, 255).astype(np.float32)
    return clipped
