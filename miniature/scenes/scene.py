"""Scenes: objects on a background, with the visible part of each as its mask."""

from dataclasses import dataclass

import cv2
import numpy as np

from miniature.compose import hue_matrix
from miniature.pictures import resize
from miniature.scenes.drawings import Drawings
from miniature.scenes.surroundings import SIDE_PX, render_surroundings
from miniature.scenes.tail import ObjectSpec

OBJECT_SIDE_PX = (36, 150)
ROTATION_DEG = 16.0
HUE_RAD = 0.16
MAX_HIDDEN = 0.6  # share of an object's pixels behind others or outside the frame
MIN_VISIBLE_PX = 90
TRIES = 60


@dataclass(frozen=True)
class PlacedObject:
    """``layer``: float32 (h, w, 4) premultiplied in [0, 255], the drawing to be pasted; ``solid``: bool (h, w), its mask without
    occlusion; ``top_left_px``: (y, x) in the frame, may be negative.
    """

    spec: ObjectSpec
    layer: np.ndarray
    solid: np.ndarray
    top_left_px: tuple[int, int]


@dataclass(frozen=True)
class Instance:
    """``mask``: bool (256, 256), the visible pixels; ``hidden``: share of the object behind others or outside the frame."""

    spec: ObjectSpec
    mask: np.ndarray
    hidden: float


@dataclass(frozen=True)
class Scene:
    """``image``: uint8 (256, 256, 3); ``instances``: from back to front."""

    image: np.ndarray
    instances: list[Instance]


def relight(rng: np.random.Generator, rgba: np.ndarray) -> np.ndarray:
    """Change hue, saturation, contrast and brightness; premultiplied colours stay at most alpha."""
    alpha = rgba[..., 3:]
    colours = rgba[..., :3] @ hue_matrix(rng.normal(0, HUE_RAD)).T
    grey = colours.mean(axis=-1, keepdims=True)
    colours = grey + (colours - grey) * np.float32(rng.uniform(0.55, 1.15))
    colours = alpha / 2 + (colours - alpha / 2) * np.float32(rng.uniform(0.75, 1.1))
    return np.concatenate([np.clip(colours * np.float32(rng.uniform(0.75, 1.12)), 0, alpha), alpha], axis=-1)


def transform(rng: np.random.Generator, drawing: np.ndarray, side_px: int) -> np.ndarray:
    """Resize a drawing, flip, rotate, shear and stretch it at random: float32 (h, w, 4), cropped."""
    square = relight(rng, resize(drawing.astype(np.float32), side_px))
    if rng.random() < 0.5:
        square = square[:, ::-1]
    angle = np.deg2rad(rng.normal(0, ROTATION_DEG))
    stretch = np.exp(rng.normal(0, 0.08))
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    linear = rotation @ [[stretch, rng.normal(0, 0.08)], [0, 1 / stretch]]
    frame = 2 * side_px  # large enough for any angle
    offset = frame / 2 - linear @ [side_px / 2, side_px / 2]
    matrix = np.column_stack([linear, offset])
    layer: np.ndarray = cv2.warpAffine(np.ascontiguousarray(square), matrix, (frame, frame), flags=cv2.INTER_LINEAR)
    rows, columns = np.nonzero(layer[..., 3] > 2)
    return layer[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def windows(placed: PlacedObject, side_px: int = SIDE_PX) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the object in the frame, and of the same part in its layer."""
    pairs = []
    for start, length in zip(placed.top_left_px, placed.solid.shape, strict=True):
        first, last = max(start, 0), max(min(start + length, side_px), 0)
        pairs.append((slice(first, last), slice(first - start, last - start)))
    (rows, layer_rows), (columns, layer_columns) = pairs
    return (rows, columns), (layer_rows, layer_columns)


def owners(objects: list[PlacedObject]) -> np.ndarray:
    """int32 (256, 256): index of the foremost object that covers half a pixel or more, -1 for the background."""
    owner = np.full((SIDE_PX, SIDE_PX), -1, np.int32)
    for number, placed in enumerate(objects):
        window, part = windows(placed)
        owner[window][placed.solid[part]] = number
    return owner


def visible_px(objects: list[PlacedObject]) -> np.ndarray:
    """Number of visible pixels of each object, int64 (len(objects),)."""
    return np.bincount(owners(objects).ravel() + 1, minlength=len(objects) + 1)[1:]


def place(
    rng: np.random.Generator, drawing: np.ndarray, spec: ObjectSpec, before: list[PlacedObject]
) -> PlacedObject | None:
    """Place an object at random so that no object is hidden too much; None after too many tries."""
    for _ in range(TRIES):
        side_px = round(np.exp(rng.uniform(*np.log(OBJECT_SIDE_PX))))
        layer = transform(rng, drawing, side_px)
        centre = rng.uniform(0.04 * SIDE_PX, 0.96 * SIDE_PX, 2)
        top, left = np.round(centre - np.array(layer.shape[:2]) / 2).astype(int).tolist()
        placed = PlacedObject(spec, layer, layer[..., 3] >= 127.5, (top, left))
        objects = [*before, placed]
        whole = np.array([np.count_nonzero(each.solid) for each in objects])
        visible = visible_px(objects)
        if (visible >= MIN_VISIBLE_PX).all() and (visible >= (1 - MAX_HIDDEN) * whole).all():
            return placed
    return None


def cast_shadow(rng: np.random.Generator, image: np.ndarray, placed: PlacedObject) -> np.ndarray:
    """Darken the image below and beside an object."""
    window, part = windows(placed)
    shadow = np.zeros(image.shape[:2], np.float32)
    shadow[window] = placed.layer[part][..., 3] / 255
    side_px = max(placed.solid.shape)
    move = np.array([[1, 0, rng.normal(0, 0.06) * side_px], [0, 1, 0.05 * side_px]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(shadow, move, shadow.shape[::-1]), (0, 0), 0.5 + 0.04 * side_px)
    darkened: np.ndarray = image * (1 - rng.uniform(0.2, 0.5) * shadow[..., None])
    return darkened


def expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Apply light and camera effects: tint, exposure, brightness falling off to one side, grain."""
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32)[..., None] / SIDE_PX - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.35) * (x * np.cos(angle) + y * np.sin(angle))
    image = image * light * rng.normal(1, 0.05, 3) * rng.uniform(0.8, 1.12)
    if rng.random() < 0.25:
        image = image + rng.normal(0, rng.uniform(1, 2), image.shape[:2])[..., None]
    pixels: np.ndarray = np.clip(image, 0, 255).astype(np.uint8)
    return pixels


def render_scene(rng: np.random.Generator, specs: list[ObjectSpec], drawings: list[Drawings]) -> Scene:
    """Render objects from back to front, without those that cannot be placed; a pure function of the generator's state."""
    image = render_surroundings(rng)
    objects: list[PlacedObject] = []
    for spec in specs:
        placed = place(rng, drawings[spec.category][spec.style], spec, objects)
        objects += [placed] if placed else []
    for placed in objects:
        if rng.random() < 0.6:
            image = cast_shadow(rng, image, placed)
        window, part = windows(placed)
        layer = placed.layer[part]
        image[window] = image[window] * (1 - layer[..., 3:] / 255) + layer[..., :3]
    owner = owners(objects)
    instances = []
    for number, placed in enumerate(objects):
        mask = owner == number
        instances.append(Instance(placed.spec, mask, 1 - np.count_nonzero(mask) / np.count_nonzero(placed.solid)))
    return Scene(expose(rng, image), instances)
