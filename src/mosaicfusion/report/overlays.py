"""Renderings of masks and heat maps. All images are arrays, uint8 RGB (H, W, 3) unless a docstring says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mosaicfusion.masks import rle
from mosaicfusion.report.labels import Box, Colour, write_label

# Neighbours in the list, and with 2 or 3 columns neighbours in the mosaic, differ in hue and in lightness.
_PALETTE: tuple[Colour, ...] = (
    (239, 71, 111),
    (17, 138, 218),
    (255, 190, 30),
    (6, 190, 140),
    (150, 90, 230),
    (255, 127, 60),
    (0, 196, 214),
    (240, 120, 200),
    (150, 200, 40),
    (175, 125, 90),
)
_REJECTED: Colour = (70, 74, 82)
_MIN_READABLE_PX = 512


@dataclass(frozen=True)
class InstanceOverlay:
    """One region to render. ``mask``: bool (H, W) of the canvas, or ``None`` for a rejected region.

    ``hidden``: the part of the object behind others, bool (H, W), if any.
    """

    region_xywh: tuple[int, int, int, int]
    label: str
    mask: NDArray[np.bool_] | None = None
    hidden: NDArray[np.bool_] | None = None


def instance_colour(k: int) -> Colour:
    """The colour of region ``k``, the same in every figure."""
    return _PALETTE[k % len(_PALETTE)]


def colour_map(heat: np.ndarray[Any, Any]) -> NDArray[np.uint8]:
    """heat: float (H, W) in [0, 1] -> RGB of a perceptually uniform map, dark for 0."""
    levels = np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1])


def readable_scale(hw: tuple[int, int], max_px: int | None = None) -> float:
    """The factor that enlarges a canvas so that labels are readable: 1 from 512 px on, else a whole number up to 4.

    A canvas with a longer side than ``max_px`` is reduced to it.
    """
    side = max(hw)
    if max_px and side > max_px:
        return max_px / side
    return min(4, -(-_MIN_READABLE_PX // side))


def resize(image: np.ndarray[Any, Any], hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize uint8 (H, W, C) to ``hw``, with antialiasing if it gets smaller."""
    smaller = hw[0] < image.shape[0]
    return np.asarray(cv2.resize(image, hw[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC))


def render_instances(
    image: np.ndarray[Any, Any], instances: Sequence[InstanceOverlay], scale: float = 1
) -> NDArray[np.uint8]:
    """Render masks, outlines, labels and region borders on an image that is first resized by ``scale``."""
    layer = instance_layer(image.shape[:2], instances, scale).astype(np.float32)
    below = resize(image, _scaled(image.shape[:2], scale)).astype(np.float32)
    alpha = layer[..., 3:] / 255
    return np.rint(below * (1 - alpha) + layer[..., :3] * alpha).astype(np.uint8)


def instance_layer(hw: tuple[int, ...], instances: Sequence[InstanceOverlay], scale: float = 1) -> NDArray[np.uint8]:
    """The layer that :func:`render_instances` puts over the image: uint8 RGBA (H * scale, W * scale, 4), straight alpha."""
    layer = np.zeros((*_scaled(hw, scale), 4), np.float32)  # premultiplied
    for instance in instances:
        _blend_region(layer, instance, scale)
    for k, instance in enumerate(instances):
        if instance.mask is not None:
            _blend_mask(layer, instance.mask, instance_colour(k))
    for k, instance in enumerate(instances):  # over the masks that hide them
        if instance.hidden is not None:
            _blend(layer, instance_colour(k), _outline(_soft(instance.hidden, layer.shape[:2]), 2))
            _hatch(layer, _soft(instance.hidden, layer.shape[:2]))
    layer[..., :3] /= np.maximum(layer[..., 3:], 1e-6)
    layer[..., 3] *= 255
    image = Image.fromarray(np.rint(layer).astype(np.uint8), "RGBA")
    _render_labels(image, instances, scale)
    return np.asarray(image)


def mask_on_crop(
    crop: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any],
    colour: Colour,
    hidden: np.ndarray[Any, Any] | None = None,
) -> NDArray[np.uint8]:
    """Fade a crop to white outside of its mask, bool (H, W), and add the mask's outline; ``hidden`` parts are hatched."""
    inside = mask[..., None].astype(np.float32)
    faded = crop * (0.3 + 0.7 * inside) + 255 * 0.7 * (1 - inside)
    layer = np.concatenate([faded, np.ones_like(inside)], axis=-1).astype(np.float32)
    if hidden is not None:
        _blend(layer, colour, 0.35 * hidden.astype(np.float32))
        _hatch(layer, hidden.astype(np.float32))
    _blend(layer, colour, _outline(mask.astype(np.float32), 3))
    return np.rint(layer[..., :3]).astype(np.uint8)


def _scaled(hw: tuple[int, ...], scale: float) -> tuple[int, int]:
    return max(1, round(hw[0] * scale)), max(1, round(hw[1] * scale))


def _blend(layer: NDArray[np.float32], colour: Colour, alpha: NDArray[np.float32] | float) -> None:
    """Blend a colour over a premultiplied layer, (H, W, 4), in place; alpha in [0, 1], a number or (H, W)."""
    share = np.float32(alpha) if isinstance(alpha, float) else alpha[..., None]
    layer *= 1 - share
    layer += share * np.array([*colour, 1], np.float32)


def _blend_mask(layer: NDArray[np.float32], mask: np.ndarray[Any, Any], colour: Colour) -> None:
    soft = _soft(mask, layer.shape[:2])
    left, top, width, height = cv2.boundingRect((soft > 0).astype(np.uint8))
    window = np.s_[max(0, top - 4) : top + height + 4, max(0, left - 4) : left + width + 4]  # with a margin for the rim
    soft, layer = soft[window], layer[window]
    _blend(layer, colour, 0.25 * soft)
    _blend(layer, (0, 0, 0), 0.35 * _outline(soft, 6))  # a dark rim, for objects of the outline's own colour
    _blend(layer, colour, _outline(soft, 4))


def _soft(mask: np.ndarray[Any, Any], hw: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize a mask, bool (H, W), to float32 (h, w) in [0, 1], with smooth edges even if it is enlarged."""
    soft = cv2.resize(mask.astype(np.float32), hw[::-1], interpolation=cv2.INTER_LINEAR)
    scale = hw[0] / mask.shape[0]
    if scale > 1:  # smooth the staircase, then make the edge about a pixel wide again
        soft = np.clip((cv2.GaussianBlur(soft, (0, 0), 0.6 * scale) - 0.5) * 2 * scale + 0.5, 0, 1)
    return np.asarray(soft, np.float32)


def _outline(soft: NDArray[np.float32], width_px: int) -> NDArray[np.float32]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width_px, width_px))
    return np.asarray(cv2.dilate(soft, kernel) - cv2.erode(soft, kernel), np.float32)


def _blend_region(layer: NDArray[np.float32], instance: InstanceOverlay, scale: float) -> None:
    """A faint border, light and dark so that it is visible on both; a rejected region is hatched."""
    left, top, right, bottom = _scaled_box(instance.region_xywh, scale)
    tile = layer[top:bottom, left:right]
    if instance.mask is None:
        _hatch(tile, np.float32(1))
    for inset, colour in ((0, (255, 255, 255)), (1, (0, 0, 0))):
        edges = np.s_[inset, :], np.s_[-1 - inset, :], np.s_[:, inset], np.s_[:, -1 - inset]
        for edge in edges if min(tile.shape[:2]) > 4 else ():
            _blend(tile[edge], colour, 0.35)


def _hatch(layer: NDArray[np.float32], where: NDArray[np.float32] | np.float32) -> None:
    """Stripes, light and dark so that they are visible on both, ``where`` it is 1: float32 (H, W) in [0, 1]."""
    rows, columns = np.ogrid[: layer.shape[0], : layer.shape[1]]
    stripe = (rows + columns) % 12
    _blend(layer, (255, 255, 255), np.float32(0.3) * where * (stripe < 2))
    _blend(layer, (0, 0, 0), np.float32(0.2) * where * ((stripe >= 2) & (stripe < 4)))


def _scaled_box(xywh: Sequence[float], scale: float) -> Box:
    left, top, width, height = xywh
    return round(left * scale), round(top * scale), round((left + width) * scale), round((top + height) * scale)


def _render_labels(image: Image.Image, instances: Sequence[InstanceOverlay], scale: float) -> None:
    draw = ImageDraw.Draw(image)
    taken: list[Box] = []
    for k, instance in enumerate(instances):
        region = _scaled_box(instance.region_xywh, scale)
        if instance.mask is None:
            write_label(draw, instance.label, _REJECTED, region, region, taken, centred=True)
        else:
            target = _scaled_box(rle.box_xywh(instance.mask), scale) if instance.mask.any() else region
            write_label(draw, instance.label, instance_colour(k), target, region, taken)
