"""Drawings with alpha: one premultiplied RGBA image per category, in a few sizes."""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from miniature.assets import package_folder
from miniature.vocabulary import Entry

SIZES_PX = (48, 64, 96, 128)

Picture = dict[int, np.ndarray]
"""A drawing by its side in pixels: float32 (side, side, 4), colours premultiplied by alpha, all in [0, 255]."""


def emoji_characters(work: Path) -> dict[str, str]:
    """English emoji names and their characters."""
    table = json.loads((package_folder(work, "unicode-emoji-json") / "data-by-emoji.json").read_text(encoding="utf-8"))
    return {fields["name"]: emoji for emoji, fields in table.items()}


def drawing_file(work: Path, emoji: str) -> Path:
    """File of the 3D drawing of an emoji, named by its code points, with or without the variation selector."""
    code_points = "-".join(f"{ord(character):x}" for character in emoji)
    base = code_points.replace("-fe0f", "")
    folder = package_folder(work, "@lobehub/fluent-emoji-3d") / "assets"
    for stem in (code_points, base, f"{base}-fe0f"):
        if (folder / f"{stem}.webp").exists():
            return folder / f"{stem}.webp"
    raise FileNotFoundError(f"no 3D drawing of {emoji!r} ({code_points}) in {folder}")


def tight_square(rgba: np.ndarray) -> np.ndarray:
    """RGBA uint8 (H, W, 4) -> float32 (S, S, 4), premultiplied, cropped to the visible pixels and padded to a square."""
    rows, columns = np.nonzero(rgba[..., 3] > 8)
    rgba = rgba[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = rgba.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 4), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = rgba
    square[..., :3] *= square[..., 3:] / 255
    return square


def resize(square: np.ndarray, side_px: int) -> np.ndarray:
    """Resize by area averaging or cubic interpolation, and clip: the latter overshoots at edges."""
    shrinks = square.shape[0] > side_px
    resized = cv2.resize(square, (side_px, side_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    alpha = np.clip(resized[..., 3:], 0, 255)
    return np.concatenate([np.clip(resized[..., :3], 0, alpha), alpha], axis=-1)


def picture_sizes(square: np.ndarray) -> Picture:
    """Reduce a drawing to all sizes by area averaging: warping a large drawing to a small one would alias."""
    return {side_px: resize(square, side_px) for side_px in SIZES_PX}


def load_pictures(work: Path, entries: list[Entry]) -> list[Picture]:
    """Load one drawing per entry, in the order of the entries."""
    characters = emoji_characters(work)
    pictures = []
    for entry in entries:
        with Image.open(drawing_file(work, characters[entry.emoji])) as image:
            pictures.append(picture_sizes(tight_square(np.asarray(image.convert("RGBA")))))
    return pictures
