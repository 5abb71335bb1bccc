"""Pictures of single regions, embedded: the worst of their kind."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from mosaicfusion.report.drawing import instance_colour, mask_on_crop, resize
from mosaicfusion.report.markup import spoken
from mosaicfusion.report.sheet import data_uri, decode_mask
from mosaicfusion.run.records import CanvasRecord

_SIDE_PX = 256


def example(record: CanvasRecord, k: int, folder: Path, caption: str) -> str:
    """Region ``k`` of a canvas with its mask, where it has one, and a caption; empty without an image."""
    region = record.regions[k]
    left, top, width, height = region.region_xywh
    window = np.s_[top : top + height, left : left + width]
    try:
        with (folder / str(record.file_name)).open("rb") as stored, Image.open(stored) as file:
            image = np.asarray(file.convert("RGB"))[window]
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""
    if image.shape[:2] != (height, width):
        return ""
    scale = _SIDE_PX / max(width, height)
    side_hw = (round(height * scale), round(width * scale))
    picture, mask = resize(image, side_hw), decode_mask(region, record.hw_px)
    if mask is not None:
        inside = resize(255 * mask[window].astype(np.uint8), side_hw) > 127
        picture = mask_on_crop(picture, inside, instance_colour(0))
    name = spoken(region.category)
    return (
        f'<figure><img src="{data_uri(picture, "JPEG")}" alt="{escape(name)}">'
        f"<figcaption><b>{escape(name)}</b><span>{escape(caption)}</span>"
        f"<span>canvas {record.index}</span></figcaption></figure>"
    )
