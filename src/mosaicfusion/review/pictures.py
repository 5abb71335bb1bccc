"""Pictures for the page: crops of objects, made once and kept in the run folder, and canvases with their masks."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.report.images import region_crop, region_instances
from mosaicfusion.report.overlays import instance_layer, readable_scale
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord

THUMBNAILS = "thumbnails"
_SIDE_PX = 192
_QUALITY = 80


def thumbnail(run: RunFolder, record: CanvasRecord, k: int, masked: bool) -> bytes:
    """The crop of a region, WebP; read from the run folder, or made and kept there.

    Raises :class:`MosaicFusionError` if the canvas' image cannot be read.
    """
    path = thumbnail_path(run.path, record.index, k, masked)
    try:
        return path.read_bytes()
    except OSError:
        data = _encode(region_crop(run.read_image(record), record, k, _SIDE_PX, masked), "WEBP")
        write_atomic(path, data)
        return data


def thumbnail_path(folder: Path, canvas: int, k: int, masked: bool) -> Path:
    """The file of a crop; a folder holds those of at most 1,000 canvases."""
    return folder / THUMBNAILS / f"{canvas // 1000:03d}" / f"{canvas:012d}-{k}{'-mask' if masked else ''}.webp"


def layer(record: CanvasRecord) -> bytes:
    """The masks and labels of a canvas, PNG with alpha, to lie over its image."""
    return _encode(instance_layer(record.hw_px, region_instances(record), readable_scale(record.hw_px, 1024)), "PNG")


def _encode(pixels: NDArray[np.uint8], kind: Literal["WEBP", "PNG"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"quality": _QUALITY} if kind == "WEBP" else {"compress_level": 3}))
    return buffer.getvalue()
