"""Images on the page, embedded as data URIs: canvases with their masks, and single regions."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.config import Policy
from mosaicfusion.dataset.lvis import is_used
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.images import read_rgb
from mosaicfusion.masks import rle
from mosaicfusion.masks.rejection import reason_name
from mosaicfusion.report.overlays import (
    InstanceOverlay,
    instance_colour,
    instance_layer,
    mask_on_crop,
    readable_scale,
    resize,
)
from mosaicfusion.report.text import full_name
from mosaicfusion.run.records import CanvasRecord, RegionRecord

_MAX_CANVAS_PX = 640
_CROP_PX = 256
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class Card:
    """One canvas on the page.

    ``image`` and ``layer``, the masks and labels over it, are data URIs; both are empty if there is a ``problem`` with the
    image. ``colours``: CSS colours, one for each region. ``used``: the canvas is in the data set.
    """

    record: CanvasRecord
    used: bool
    colours: tuple[str, ...]
    image: str = ""
    layer: str = ""
    problem: str = ""


def canvas_card(record: CanvasRecord, folder: Path, policy: Policy) -> Card:
    """Render one canvas; an image that is missing or unreadable becomes the card's ``problem``."""
    colours = tuple("rgb({},{},{})".format(*instance_colour(k)) for k in range(len(record.regions)))
    card = Card(record, is_used(record, policy), colours)
    if record.file_name is None:
        return replace(card, problem="No image: it could not be generated.")
    path = folder / record.file_name
    try:
        image = read_rgb(path)
    except MosaicFusionError:
        problem = "unreadable" if path.exists() else "missing"
        return replace(card, problem=f"The image is {problem}: {record.file_name}")
    height, width = record.hw_px
    if image.shape[:2] != record.hw_px:
        size = f"{image.shape[1]} x {image.shape[0]}"
        return replace(card, problem=f"The image is {size} pixels, the record {width} x {height}.")
    layer = instance_layer(record.hw_px, region_instances(record), readable_scale(record.hw_px, _MAX_CANVAS_PX))
    return replace(card, image=data_uri(resize(image, layer.shape[:2]), "JPEG"), layer=data_uri(layer, "PNG"))


def region_uri(record: CanvasRecord, k: int, folder: Path) -> str:
    """Region ``k`` of a canvas as a data URI, with its mask where it has one; empty if the image cannot be shown."""
    try:
        image = read_rgb(folder / str(record.file_name))
    except MosaicFusionError:
        return ""
    return data_uri(region_crop(image, record, k), "JPEG") if image.shape[:2] == record.hw_px else ""


def region_crop(
    image: NDArray[np.uint8], record: CanvasRecord, k: int, side_px: int = _CROP_PX, masked: bool = True
) -> NDArray[np.uint8]:
    """Region ``k`` of a canvas' image, uint8 RGB with a longer side of ``side_px``; ``masked``: its mask stands out."""
    region = record.regions[k]
    left, top, width, height = region.region_xywh
    window = np.s_[top : top + height, left : left + width]
    scale = side_px / max(width, height)
    crop_hw = (max(1, round(height * scale)), max(1, round(width * scale)))
    crop, mask = resize(image[window], crop_hw), decode_mask(region, record.hw_px) if masked else None
    if mask is None:
        return crop
    inside = resize(255 * mask[window].astype(np.uint8), crop_hw) > 127
    return mask_on_crop(crop, inside, instance_colour(0))


def window_uri(file: Path, window_xywh: tuple[int, int, int, int]) -> str:
    """A window of an image file, in its pixels, as a data URI; empty if the image cannot be shown."""
    left, top, width, height = window_xywh
    try:
        window = read_rgb(file)[max(0, top) : top + height, max(0, left) : left + width]
    except MosaicFusionError:
        return ""
    return data_uri(window, "JPEG") if window.size else ""


def region_instances(record: CanvasRecord) -> list[InstanceOverlay]:
    """The regions of a canvas to render. A mask that cannot be decoded counts as none."""
    return [_instance(region, record.hw_px) for region in record.regions]


def _instance(region: RegionRecord, canvas_hw: tuple[int, int]) -> InstanceOverlay:
    mask, whole = (decode_mask(region, canvas_hw, name) for name in ("segmentation", "amodal_segmentation"))
    hidden = None if mask is None or whole is None else whole & ~mask
    return InstanceOverlay(region.region_xywh, _label(region), mask, hidden)


def decode_mask(
    region: RegionRecord,
    canvas_hw: tuple[int, int],
    name: Literal["segmentation", "amodal_segmentation"] = "segmentation",
) -> NDArray[np.bool_] | None:
    """bool (H, W) of the canvas; ``None`` for a rejected region and for a mask that cannot be decoded."""
    lengths = region.segmentation if name == "segmentation" else region.amodal_segmentation
    if not region.kept or lengths is None:
        return None
    try:
        mask = rle.decode(lengths)
    except ValueError:
        return None
    return mask if mask.shape == canvas_hw else None


def data_uri(image: NDArray[np.uint8], kind: Literal["JPEG", "PNG"]) -> str:
    """uint8 (H, W, C) -> the encoded image as a data URI."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality": _JPEG_QUALITY} if kind == "JPEG" else {"compress_level": 6}
    Image.fromarray(image).save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _label(region: RegionRecord) -> str:
    name = full_name(region.category)
    if not region.kept:
        return f"{name}: {reason_name(region.reason)}"
    return name if region.quality is None else f"{name} {region.quality:.2f}"
