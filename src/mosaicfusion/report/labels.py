"""Text in figures: the font, cutting to a width, and boxes that do not cover each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom, half-open

LABEL_PX = 15


@lru_cache(maxsize=32)
def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own scalable font, so that figures look the same everywhere."""
    return ImageFont.load_default(size)


def fit_text(text: str, size: float, width_px: float) -> str:
    """The text on one line, cut with an ellipsis where it is wider than ``width_px``."""
    text = " ".join(text.split())
    if font(size).getlength(text) <= width_px:
        return text
    shortest, longest = 0, len(text)
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        if font(size).getlength(text[:middle].rstrip() + "…") <= width_px:
            shortest = middle
        else:
            longest = middle - 1
    return text[:shortest].rstrip() + "…"


def write_label(
    draw: ImageDraw.ImageDraw,
    label: str,
    colour: Colour,
    target: Box,
    taken: list[Box],
    width_px: int,
    centred: bool = False,
) -> None:
    """Write a label on a coloured box above its target, or where it covers none of the boxes ``taken``; it joins them."""
    text = fit_text(label, LABEL_PX, width_px)
    size = (int(font(LABEL_PX).getlength(text)) + 12, LABEL_PX + 8)
    box = _label_box(size, target, taken, draw.im.size, centred)
    draw.rounded_rectangle((box[0], box[1], box[2] - 1, box[3] - 1), radius=4, fill=colour)
    middle = (box[0] + 6, (box[1] + box[3]) / 2)
    draw.text(middle, text, fill=_ink(colour), font=font(LABEL_PX), anchor="lm")
    taken.append(box)


def _label_box(
    size: tuple[int, int], target: Box, taken: Sequence[Box], canvas_wh: tuple[int, int], centred: bool
) -> Box:
    """Where a label covers neither another label nor, if there is room, its object: above, below, else inside."""
    (width, height), (left, top, right, bottom) = size, target
    spots = [(left, top - height - 2), (left, bottom + 2), (left, top + 2), (left, bottom - height - 2)]
    if centred:
        middle = (left + right - width) // 2, (top + bottom - height) // 2
        spots = [middle, *((middle[0], middle[1] + shift) for shift in (height, -height))]
    boxes = []
    for x, y in spots:
        x = max(0, min(x, canvas_wh[0] - width))
        box = (x, y, x + width, y + height)
        if 0 <= y <= canvas_wh[1] - height:
            boxes.append(box)
            if not any(_meet(box, other) for other in taken):
                return box
    return boxes[0] if boxes else (0, 0, width, height)


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _ink(colour: Colour) -> Colour:
    """Black or white, whichever reads better on the colour (BT.601 luma)."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
