"""Ten kinds of background, each with the words that describe it in a caption."""

from collections.abc import Callable

import cv2
import numpy as np

SIDE_PX = 128

# Without "orange", which is a fruit of the vocabulary: the text encoder gives a word one meaning.
COLOURS = {
    "red": (200, 40, 40),
    "yellow": (240, 215, 70),
    "green": (60, 150, 70),
    "blue": (50, 100, 200),
    "purple": (130, 70, 170),
    "pink": (240, 150, 190),
    "brown": (120, 80, 50),
    "gray": (128, 128, 128),
    "white": (245, 245, 245),
    "black": (20, 20, 22),
}
NAMES = list(COLOURS)
Y, X = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32)[..., None] / SIDE_PX  # each (128, 128, 1) in [0, 1)

Background = tuple[np.ndarray, str]
"""Image float32 (128, 128, 3), about [0, 255], and the words after "on"."""


def colour(rng: np.random.Generator, name: str) -> np.ndarray:
    """A random shade of a named colour, float32 (3,) in [0, 255]."""
    shade: np.ndarray = np.clip(np.array(COLOURS[name]) + rng.normal(0, 11, 3), 0, 255)
    return shade.astype(np.float32)


def smooth_noise(rng: np.random.Generator, cells: tuple[int, int], channels: int = 1) -> np.ndarray:
    """Unit normal noise on a coarse grid, enlarged: float32 (128, 128, channels)."""
    noise = rng.normal(0, 1, (*cells, channels)).astype(np.float32)
    enlarged: np.ndarray = cv2.resize(noise, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.reshape(enlarged, (SIDE_PX, SIDE_PX, channels))


def shifted(rng: np.random.Generator, shade: np.ndarray, low: float, high: float) -> np.ndarray:
    """A lighter or darker variant of a shade, for two-tone patterns."""
    variant: np.ndarray = np.clip(shade + rng.choice([-1, 1]) * rng.uniform(low, high), 0, 255)
    return variant.astype(np.float32)


def plain(rng: np.random.Generator) -> Background:
    name = rng.choice(NAMES)
    return np.broadcast_to(colour(rng, name), (SIDE_PX, SIDE_PX, 3)), f"a {name} background"


def gradient(rng: np.random.Generator) -> Background:
    name, other = rng.choice(NAMES, 2)
    start = colour(rng, name)
    end = 0.6 * colour(rng, other) + 0.4 * start
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.clip(0.5 + (X - 0.5) * np.cos(angle) + (Y - 0.5) * np.sin(angle), 0, 1)
    return start * (1 - ramp) + end * ramp, f"a {name} gradient background"


def blurred(rng: np.random.Generator) -> Background:
    name = rng.choice(NAMES)
    return colour(rng, name) + 28 * smooth_noise(rng, (4, 4), 3), f"a blurred {name} background"


def textured(rng: np.random.Generator) -> Background:
    name = rng.choice(NAMES)
    cells = int(rng.integers(12, 33))
    grain = 14 * smooth_noise(rng, (cells, cells)) + 6 * smooth_noise(rng, (64, 64))
    return colour(rng, name) + grain, f"a textured {name} wall"


def floor(rng: np.random.Generator) -> Background:
    wall_name, floor_name = rng.choice(NAMES, 2)
    wall = colour(rng, wall_name) * (1 - 0.15 * Y)
    ground = colour(rng, floor_name) * (0.75 + 0.25 * Y)
    words = f"a {floor_name} floor"
    if rng.random() < 0.4:
        words += f" with a {wall_name} wall"
    return np.where(rng.uniform(0.45, 0.8) < Y, ground, wall), words


def checkered(rng: np.random.Generator) -> Background:
    name = rng.choice(NAMES)
    shade = colour(rng, name)
    squares = int(rng.integers(4, 9))
    odd = (np.floor(X * squares) + np.floor(Y * squares)) % 2
    return np.where(odd == 1, shade, shifted(rng, shade, 30, 60)), f"a checkered {name} background"


def striped(rng: np.random.Generator) -> Background:
    name = rng.choice(NAMES)
    shade = colour(rng, name)
    angle = rng.choice([0, np.pi / 2, np.pi / 4])
    wave = np.sin(2 * np.pi * rng.uniform(4, 10) * (X * np.cos(angle) + Y * np.sin(angle)))
    return np.where(wave > 0, shade, shifted(rng, shade, 40, 40)), f"a striped {name} background"


def grass(rng: np.random.Generator) -> Background:
    ground = colour(rng, "green") + 12 * smooth_noise(rng, (40, 40))
    sky = np.array((150, 200, 240), np.float32) + rng.normal(0, 8, 3)
    sky = sky * (1 - 0.1 * Y) + 8 * smooth_noise(rng, (4, 4))
    return np.where(rng.uniform(0.3, 0.7) < Y, ground, sky), "green grass"


def wooden_table(rng: np.random.Generator) -> Background:
    grain = 12 * smooth_noise(rng, (int(rng.integers(16, 33)), 2))
    return colour(rng, "brown") * rng.uniform(1, 1.5) + grain, "a wooden table"


def blue_sky(rng: np.random.Generator) -> Background:
    sky = np.array((90, 150, 225), np.float32) * rng.uniform(0.85, 1.15)
    clouds = np.clip(30 * smooth_noise(rng, (5, 5)), 0, 80)
    return sky + 60 * Y + clouds, "a blue sky"


KINDS: dict[Callable[[np.random.Generator], Background], float] = {
    plain: 0.24,
    floor: 0.14,
    gradient: 0.12,
    blurred: 0.12,
    textured: 0.10,
    grass: 0.08,
    wooden_table: 0.06,
    checkered: 0.06,
    striped: 0.04,
    blue_sky: 0.04,
}


def render_background(rng: np.random.Generator) -> Background:
    """Render a random background: float32 (128, 128, 3) in [0, 255] and its words, such as "a red floor with a gray wall"."""
    kind = list(KINDS)[rng.choice(len(KINDS), p=list(KINDS.values()))]
    image, words = kind(rng)
    return np.clip(image, 0, 255).astype(np.float32), words
