"""Masks as COCO polygons, for loaders that do not read run lengths, such as detectron2's for LVIS."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.masks._checks import require_mask

# Clockwise on the screen, (dy, dx): east, south, west, north. The next one is a right turn.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def polygons(mask: np.ndarray[Any, Any], inset_px: float | None = None) -> list[list[float]]:
    """bool (H, W) -> [[x, y, x, y, ...], ...], one polygon for each 4-connected component, in pixels.

    ``pycocotools.mask.frPyObjects`` returns exactly the same mask. The outline runs through the middles of the pixels' edges;
    OpenCV's contours run through their centres and lose half a pixel on every side. Every polygon has at least 8 numbers, with
    corners at multiples of 0.5. COCO's polygons cannot have holes, so the outline of a hole is joined to the outer one by a
    bridge of zero width, in both directions. An empty mask gives [].

    ``inset_px``: follow the pixels' edges instead, moved inwards by so much. Readers that cut coordinates to whole numbers and
    fill the outline too, as OpenCV does, then fill the same pixels.
    """
    require_mask(mask)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    outlines = []
    for label in range(1, count):  # 0 is the background
        left, top, width, height = (int(value) for value in stats[label, :4])
        loops = _trace(labels[top : top + height, left : left + width] == label, 0.5 if inset_px is None else 0)
        loops = [move_inwards(loop, inset_px) for loop in loops] if inset_px else loops
        outline = _bridge(sorted(loops, key=signed_area, reverse=True))
        outlines.append(np.add(outline, (left, top)).ravel().tolist())
    return outlines


def move_inwards(loop: NDArray[np.float64], inset_px: float) -> NDArray[np.float64]:
    """A closed outline (N, 2) of x, y that runs clockwise on the screen, with its edges moved to their right by ``inset_px``."""
    x, y = (np.roll(loop, -1, axis=0) - loop).T
    length = np.hypot(x, y)
    normals = np.stack([-y, x], axis=1) / np.where(length, length, 1)[:, None]
    return np.asarray(loop + inset_px * np.clip(normals + np.roll(normals, 1, axis=0), -1, 1))


def _trace(component: NDArray[np.bool_], along: float) -> list[NDArray[np.float64]]:
    """The closed outlines of a component, each (N, 2) of x, y: the outer one clockwise on the screen, holes not.

    ``along``: the point of each pixel's edge that is taken, 0.5 for its middle and 0 for its corner.
    """
    padded = np.pad(component, 1)
    # The four pixels around every corner, (H + 1, W + 1) each.
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    # Unit edges that leave each corner with the component on their right, in the order of _STEPS.
    leaving = np.stack([se & ~ne, sw & ~se, nw & ~sw, ne & ~nw])
    edges = [tuple(edge) for edge in np.argwhere(leaving).tolist()]
    exists, untraced = set(edges), set(edges)
    loops = []
    for start in edges:
        edge, points = start, []
        while edge in untraced:
            untraced.remove(edge)
            direction, y, x = edge
            dy, dx = _STEPS[direction]
            points.append((x + along * dx, y + along * dy))
            # Right first: pixels that touch only at a corner are not connected.
            turns = ((direction + turn) % 4 for turn in (1, 0, 3))
            edge = next(after for turn in turns if (after := (turn, y + dy, x + dx)) in exists)
        if points:
            loops.append(_without_straight_corners(np.array(points, np.float64)))
    return loops


def _without_straight_corners(loop: NDArray[np.float64]) -> NDArray[np.float64]:
    before, after = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    return np.asarray(loop[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]])


def _bridge(loops: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Join each hole to the outline, the first of the loops, at a close corner."""
    outline, *holes = loops
    for hole in holes:
        start = _nearest(outline, hole[0])
        rotated = np.roll(hole, -_nearest(hole, outline[start]), axis=0)
        outline = np.concatenate([outline[: start + 1], rotated, rotated[:1], outline[start:]])
    return outline


def _nearest(loop: NDArray[np.float64], corner: NDArray[np.float64]) -> int:
    return int(((loop - corner) ** 2).sum(axis=1).argmin())


def signed_area(loop: NDArray[np.float64]) -> float:
    """Positive for a loop that runs clockwise on the screen (y down)."""
    x, y = loop.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)
