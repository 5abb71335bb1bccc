"""Text in figures: the font, truncation, and label boxes that do not overlap."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom, half-open

LABEL_PX = 18
_PADDING = 6


@lru_cache(maxsize=32)
def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's bundled scalable font, which makes figures look the same everywhere."""
    return ImageFont.load_default(size)


def fit_text(text: str, size: float, width_px: float) -> str:
    """The text on one line, truncated with an ellipsis if it is wider than ``width_px``."""
    text = printable(text)
    if font(size).getlength(text) <= width_px:
        return text
    low, high = 0, len(text)  # characters that fit
    while low < high:
        middle = (low + high + 1) // 2
        if font(size).getlength(text[:middle].rstrip() + "…") <= width_px:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"


def printable(text: str) -> str:
    """The text on one line. Characters that the font lacks become plain letters (``ñ`` -> ``n``), or else ``?``."""
    return "".join(_printable_character(character) for character in " ".join(text.split()))


@lru_cache(maxsize=4096)
def _printable_character(character: str) -> str:
    for candidate in (character, unicodedata.normalize("NFKD", character)[0]):
        if candidate.isspace() or bytes(font(LABEL_PX).getmask(candidate)) != _missing_glyph():
            return candidate
    return "?"


@lru_cache(maxsize=1)
def _missing_glyph() -> bytes:
    return bytes(font(LABEL_PX).getmask("\ufffe"))  # no font has this one


def write_label(
    draw: ImageDraw.ImageDraw,
    label: str,
    colour: Colour,
    target: Box,
    bounds: Box,
    taken: list[Box],
    centred: bool = False,
) -> None:
    """Render a label on a coloured box above its target, or where it overlaps none of the boxes ``taken``; append its box.

    It stays within ``bounds``, the region, so that it is not mistaken for a neighbour's; a long label is truncated.
    """
    text = fit_text(label, LABEL_PX, bounds[2] - bounds[0] - 2 * _PADDING)
    size = (int(font(LABEL_PX).getlength(text)) + 2 * _PADDING, LABEL_PX + 8)
    box = _label_box(size, target, bounds, taken, centred)
    draw.rounded_rectangle((box[0], box[1], box[2] - 1, box[3] - 1), radius=4, fill=colour)
    middle = (box[0] + _PADDING, (box[1] + box[3]) / 2)
    draw.text(middle, text, fill=_ink(colour), font=font(LABEL_PX), anchor="lm")
    taken.append(box)


def _label_box(size: tuple[int, int], target: Box, bounds: Box, taken: Sequence[Box], centred: bool) -> Box:
    """The first free box above the target, below it, at the edges of the bounds or inside; or near its centre."""
    (width, height), (left, top, right, bottom) = size, target
    x, max_y = max(bounds[0], min(left, bounds[2] - width)), bounds[3] - height
    spots = [(x, y) for y in (top - height - 2, bottom + 2, bounds[1] + 2, max_y - 2, top, bottom - height)]
    if centred:
        x, y = (left + right - width) // 2, (top + bottom - height) // 2
        spots = [(x, y), (x, y + height), (x, y - height)]
    boxes = [(x, y, x + width, y + height) for x, y in spots if bounds[1] <= y <= max_y]
    free = [box for box in boxes if not any(_overlap(box, other) for other in taken)]
    return [*free, *boxes, (bounds[0], bounds[1], bounds[0] + width, bounds[1] + height)][0]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _ink(colour: Colour) -> Colour:
    """Black or white, whichever contrasts more with the colour (BT.601 luma)."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
