"""Pasting one instance on an image: its size, its place, its edge, and what it hides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.pasting.cutouts import Cutout

_TRIES = 32  # places tried for an instance
_MIN_SIDES_PX = 2, 8  # of the shorter and the longer side: less cannot be recognised
_MAX_ENLARGEMENT = 1.5  # beyond, an instance is a blur


@dataclass
class Picture:
    """An image with the visible masks of its objects.

    ``pixels``: uint8 RGB (H, W, 3). ``masks``: bool (H, W) each, the first ``real`` ones of the image's own objects.
    ``whole``: the areas of these objects before anything was pasted on them, in pixels.
    """

    pixels: NDArray[np.uint8]
    masks: list[NDArray[np.bool_]]
    whole: list[int]

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], masks: list[NDArray[np.bool_]]) -> Picture:
        """An image before anything is pasted."""
        return cls(pixels.copy(), list(masks), [int(mask.sum()) for mask in masks])

    def paste(self, cutout: Cutout, size_px: float, max_hidden: float, rng: np.random.Generator) -> bool:
        """Paste an instance with a box of ``size_px`` squared area at a random place; False if it has none.

        No object may have more than ``max_hidden`` of its area hidden, by all instances together.
        """
        resized = _resized(cutout, size_px)
        if resized is None:
            return False
        patch, alpha = resized
        (height, width), (rows, columns) = alpha.shape, self.pixels.shape[:2]
        if height > rows or width > columns:
            return False
        inside = alpha > 0.5
        hidden = [whole - int(mask.sum()) for mask, whole in zip(self.masks, self.whole, strict=True)]
        for _ in range(_TRIES):
            top, left = (int(rng.integers(free, endpoint=True)) for free in (rows - height, columns - width))
            window = np.s_[top : top + height, left : left + width]
            if not self._hides_too_much(window, inside, hidden, max_hidden):
                self._put(window, patch, alpha, inside)
                return True
        return False

    def _hides_too_much(
        self, window: tuple[slice, slice], inside: NDArray[np.bool_], hidden: list[int], max_hidden: float
    ) -> bool:
        """True if an object, of which ``hidden`` pixels are hidden already, would lose too much."""
        return any(
            before + int((mask[window] & inside).sum()) > max_hidden * whole
            for mask, whole, before in zip(self.masks, self.whole, hidden, strict=True)
        )

    def _put(
        self,
        window: tuple[slice, slice],
        patch: NDArray[np.uint8],
        alpha: NDArray[np.float32],
        inside: NDArray[np.bool_],
    ) -> None:
        below = self.pixels[window].astype(np.float32)
        mixed = below + alpha[..., None] * (patch.astype(np.float32) - below)
        self.pixels[window] = np.rint(mixed).astype(np.uint8)
        for mask in self.masks:
            mask[window] &= ~inside
        placed = np.zeros(self.pixels.shape[:2], bool)
        placed[window] = inside
        self.masks.append(placed)
        self.whole.append(int(inside.sum()))


def _resized(cutout: Cutout, size_px: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """The pixels, and their opacity with a soft edge, float32 (h, w) in [0, 1]; ``None`` if it is too small."""
    height, width = cutout.mask.shape
    scale = min(size_px / math.sqrt(height * width), _MAX_ENLARGEMENT)
    hw = round(height * scale), round(width * scale)
    if min(hw) < _MIN_SIDES_PX[0] or max(hw) < _MIN_SIDES_PX[1]:
        return None
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    patch = cv2.resize(np.ascontiguousarray(cutout.pixels), hw[::-1], interpolation=method)
    alpha = cv2.resize(cutout.mask.astype(np.float32), hw[::-1], interpolation=method)
    if scale >= 1:
        alpha = cv2.GaussianBlur(alpha, (3, 3), 0)
    return np.asarray(patch, np.uint8), np.asarray(alpha, np.float32)
