"""Masks as COCO polygons, for loaders that do not read run lengths, such as detectron2's for LVIS."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.masks._checks import require_mask

# Clockwise on the screen, (dy, dx): east, south, west, north. The next one is a right turn.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def polygons(mask: np.ndarray[Any, Any]) -> list[list[float]]:
    """bool (H, W) -> [[x, y, x, y, ...], ...], one polygon for each 4-connected component, in pixels.

    ``pycocotools.mask.frPyObjects`` returns exactly the same mask. The outline runs through the middles of the pixels' edges;
    OpenCV's contours run through their centres and lose half a pixel on every side. Every polygon has at least 8 numbers, with
    corners at multiples of 0.5. COCO's polygons cannot have holes, so the outline of a hole is joined to the outer one by a
    bridge of zero width, in both directions. An empty mask gives [].
    """
    require_mask(mask)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    outlines = []
    for label in range(1, count):  # 0 is the background
        left, top, width, height = (int(value) for value in stats[label, :4])
        loops = _trace(labels[top : top + height, left : left + width] == label)
        outline = _bridge(sorted(loops, key=_signed_area, reverse=True))
        outlines.append(np.add(outline, (left, top)).ravel().tolist())
    return outlines


def _trace(component: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """The closed outlines of a component, each (N, 2) of x, y: the outer one clockwise on the screen, holes not."""
    padded = np.pad(component, 1)
    # The four pixels around every corner, (H + 1, W + 1) each.
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    # Unit edges that leave each corner with the component on their right, in the order of _STEPS.
    leaving = np.stack([se & ~ne, sw & ~se, nw & ~sw, ne & ~nw])
    edges = [tuple(edge) for edge in np.argwhere(leaving).tolist()]
    exists, untraced = set(edges), set(edges)
    loops = []
    for start in edges:
        edge, middles = start, []
        while edge in untraced:
            untraced.remove(edge)
            direction, y, x = edge
            dy, dx = _STEPS[direction]
            middles.append((x + dx / 2, y + dy / 2))
            # Right first: pixels that touch only at a corner are not connected.
            turns = ((direction + turn) % 4 for turn in (1, 0, 3))
            edge = next(after for turn in turns if (after := (turn, y + dy, x + dx)) in exists)
        if middles:
            loops.append(_without_straight_corners(np.array(middles)))
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


def _signed_area(loop: NDArray[np.float64]) -> float:
    """Positive for a loop that runs clockwise on the screen (y down)."""
    x, y = loop.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)
