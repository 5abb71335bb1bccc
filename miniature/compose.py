"""Compositions: images of 128 x 128 pixels with one object on a background, and the exact alpha of the object."""

from dataclasses import dataclass

import cv2
import numpy as np

from miniature.backgrounds import SIDE_PX, render_background
from miniature.pictures import SIZES_PX, Picture

OBJECT_SIDE = (0.7, 0.92)  # relative to the frame: smaller objects cover too few latent cells
ROTATION_DEG = 6.0
HUE_RAD = 0.12

# Drawings are never flipped: a head on either side is two shapes to learn for one word, and a model this small
# generates their average. Detectors flip their training images anyway.


@dataclass(frozen=True)
class Composition:
    """``image``: uint8 (128, 128, 3); ``alpha``: float32 (128, 128) in [0, 1], for evaluation only, never for training."""

    image: np.ndarray
    alpha: np.ndarray
    category: int
    background: str


def hue_matrix(angle_rad: float) -> np.ndarray:
    """Rotation of colours around the grey axis, preserving luminance: float32 (3, 3)."""
    luminance = np.array([[0.299, 0.587, 0.114]] * 3)
    cosine = np.array([[0.701, -0.587, -0.114], [-0.299, 0.413, -0.114], [-0.300, -0.588, 0.886]])
    sine = np.array([[0.168, 0.330, -0.497], [-0.328, 0.035, 0.292], [1.250, -1.050, -0.203]])
    matrix: np.ndarray = luminance + np.cos(angle_rad) * cosine + np.sin(angle_rad) * sine
    return matrix.astype(np.float32)


def recolour(rng: np.random.Generator, rgba: np.ndarray) -> np.ndarray:
    """Change hue and brightness slightly; premultiplied colours stay at most alpha."""
    alpha = rgba[..., 3:]
    colours = rgba[..., :3] @ hue_matrix(rng.normal(0, HUE_RAD)).T * np.float32(rng.uniform(0.88, 1.1))
    return np.concatenate([np.clip(colours, 0, alpha), alpha], axis=-1)


def warp(rng: np.random.Generator, picture: Picture, side_px: float, centre_px: tuple[float, float]) -> np.ndarray:
    """Rotate, scale and move a drawing into the frame: float32 (128, 128, 4), premultiplied."""
    source_px = min((size for size in SIZES_PX if size >= 0.95 * side_px), default=SIZES_PX[-1])
    matrix = cv2.getRotationMatrix2D((source_px / 2, source_px / 2), rng.normal(0, ROTATION_DEG), side_px / source_px)
    matrix[:, 2] += np.array(centre_px) - source_px / 2
    rgba = recolour(rng, picture[source_px])
    layer: np.ndarray = cv2.warpAffine(rgba, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)
    return layer


def drop_shadow(rng: np.random.Generator, image: np.ndarray, alpha: np.ndarray, side_px: float) -> np.ndarray:
    """Darken the background a little below the object."""
    moved = np.roll(alpha, (int(0.05 * side_px), int(rng.integers(-4, 5))), axis=(0, 1))
    shadow = cv2.GaussianBlur(moved, (0, 0), 0.04 * side_px)
    darkened: np.ndarray = image * (1 - 0.35 * shadow[..., None])
    return darkened


def compose(rng: np.random.Generator, pictures: list[Picture], category: int | None = None) -> Composition:
    """Render one composition; a pure function of the generator's state."""
    image, background = render_background(rng)
    if category is None:
        category = int(rng.integers(len(pictures)))
    side_px = SIDE_PX * rng.uniform(*OBJECT_SIDE)
    slack_px = max(2.0, 0.3 * (SIDE_PX - side_px))
    centre_px = (SIDE_PX / 2 + rng.uniform(-slack_px, slack_px), SIDE_PX / 2 + rng.uniform(-slack_px, slack_px))
    layer = warp(rng, pictures[category], side_px, centre_px)
    alpha = layer[..., 3] / 255
    if rng.random() < 0.3:
        image = drop_shadow(rng, image, alpha, side_px)
    image = image * (1 - alpha[..., None]) + layer[..., :3]
    return Composition(np.clip(image, 0, 255).astype(np.uint8), alpha, category, background)
