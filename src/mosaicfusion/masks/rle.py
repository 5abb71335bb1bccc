"""Step 6 of the mask, placement on the canvas, and its forms in a data set: COCO run lengths, area and box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mosaicfusion.masks._checks import require_hw, require_mask
from mosaicfusion.masks.polygons import polygons as polygons  # so that one module has all that an annotation needs


class Rle(TypedDict):
    """``{"size": [4, 4], "counts": "52203"}``: COCO's compressed run lengths, column by column; ready for JSON."""

    size: list[int]
    counts: str


def encode(mask: np.ndarray[Any, Any]) -> Rle:
    """Encode a mask, bool (H, W), as compressed run lengths with ``size`` [H, W]."""
    require_mask(mask)
    packed = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode("ascii")}


def decode(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Decode compressed run lengths to bool (H, W). ``counts`` is str or bytes; raises ValueError, see :func:`run_lengths`."""
    runs = run_lengths(rle)
    height, width = (int(side) for side in rle["size"])
    values = np.arange(len(runs)) % 2 == 1  # the first run is background
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def run_lengths(rle: Mapping[str, Any]) -> list[int]:
    """Lengths of the runs, column by column, alternating between background and mask and starting with background.

    Raises ValueError for uncompressed counts (a list) and for counts that do not fill ``size``. pycocotools does not check
    that: it fills missing pixels with uninitialised memory.
    """
    counts = rle.get("counts")
    if not isinstance(counts, str | bytes) or "size" not in rle:
        raise ValueError('not compressed run lengths; give {"size": [H, W], "counts": "..."}, the format of encode()')
    require_hw("size", rle["size"])
    height, width = (int(side) for side in rle["size"])
    runs = _runs(counts.encode() if isinstance(counts, str) else counts)
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise ValueError(f"counts cover {sum(runs)} pixels of {height} x {width}; the run lengths are damaged")
    return runs


def _runs(counts: bytes) -> list[int]:
    """Parse COCO's compressed counts.

    Each character from "0" on holds six bits: five of a number, lowest first, and a flag that more follow. The top bit of a
    number's last five is its sign. From the fourth run on, numbers are differences to the run before the last.
    """
    runs: list[int] = []
    number = shift = 0
    for character in counts:
        bits = character - 48
        number |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return runs


def paste(mask: np.ndarray[Any, Any], top_left_px: tuple[int, int], canvas_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Paste a region's mask, bool (h, w), on an empty canvas with its first pixel at ``top_left_px`` (y, x).

    Returns bool (H, W). Raises ValueError for a region that extends beyond the canvas.
    """
    require_mask(mask)
    require_hw("canvas_hw", canvas_hw)
    (top, left), (height, width) = top_left_px, mask.shape
    if min(top, left) < 0 or top + height > canvas_hw[0] or left + width > canvas_hw[1]:
        raise ValueError(
            f"a region of {height} x {width} at (y, x) = {(top, left)} extends beyond the canvas of "
            f"{canvas_hw[0]} x {canvas_hw[1]}; both are in pixels of the image"
        )
    canvas = np.zeros(canvas_hw, np.bool_)
    canvas[top : top + height, left : left + width] = mask
    return canvas


def area(mask: np.ndarray[Any, Any]) -> int:
    """Number of pixels of a mask, bool (H, W). LVIS's ``area`` is that of the mask, not of its box."""
    require_mask(mask)
    return int(np.count_nonzero(mask))


def box_xywh(mask: np.ndarray[Any, Any]) -> list[float]:
    """The tight box of a mask, bool (H, W), in COCO's format: [left, top, width, height] in pixels.

    ``[left, top]`` is the corner of the first pixel, so one pixel at the origin gives [0, 0, 1, 1]. Raises ValueError for an
    empty mask.
    """
    require_mask(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        raise ValueError("an empty mask has no box; drop it before it becomes an annotation")
    left, top = int(columns[0]), int(rows[0])
    return [float(left), float(top), float(columns[-1] + 1 - left), float(rows[-1] + 1 - top)]
