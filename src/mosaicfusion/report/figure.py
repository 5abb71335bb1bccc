"""A white page that is filled from top to bottom and cropped to its content."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mosaicfusion.report.labels import Colour, fit_text, font

INK: Colour = (27, 31, 39)
SOFT: Colour = (98, 106, 120)
_RULE: Colour = (222, 226, 233)
_LINE_SPACING = 1.45


class Page:
    """Collects rendering commands while a cursor moves down, because the page's height is known only at the end."""

    def __init__(self, width: int, margin: int) -> None:
        self.width = width
        self.margin = margin
        self._y = float(margin)
        self._commands: list[Callable[[Image.Image, ImageDraw.ImageDraw], None]] = []

    def skip(self, pixels: float) -> None:
        """Move the cursor down."""
        self._y += pixels

    def text(self, text: str, size: float, colour: Colour, indent: int = 0) -> None:
        """Add a line of text, truncated to the width of the page, and move the cursor below it."""
        self.label(text, self.margin + indent, size, colour, width=self.width - 2 * self.margin - indent)
        self.skip(size * _LINE_SPACING)

    def label(
        self, text: str, x: float, size: float, colour: Colour, down: float = 0, width: float | None = None
    ) -> None:
        """Add a line of text with its left end at ``x``; the cursor stays."""
        shown = fit_text(text, size, self.width - self.margin - x if width is None else width)
        position = (x, self._y + down)
        self._commands.append(lambda _, draw: draw.text(position, shown, fill=colour, font=font(size)))

    def paste(self, pixels: NDArray[np.uint8], x: int, frame: bool = False) -> None:
        """Add an image, uint8 RGB (H, W, 3), with its left edge at ``x`` and maybe a frame; the cursor stays."""
        left, top = x, round(self._y)
        height, width = pixels.shape[:2]

        def command(page: Image.Image, draw: ImageDraw.ImageDraw) -> None:
            page.paste(Image.fromarray(pixels), (left, top))
            if frame:
                draw.rectangle((left - 3, top - 3, left + width + 2, top + height + 2), outline=INK, width=2)

        self._commands.append(command)

    def rule(self) -> None:
        """Add a line over the width of the page."""
        y = round(self._y)
        ends = (self.margin, y, self.width - self.margin, y)
        self._commands.append(lambda _, draw: draw.line(ends, fill=_RULE, width=1))
        self.skip(16)

    def swatch(self, colour: Colour) -> None:
        """Add a coloured square at the left margin, beside the next line of text."""
        left, top = self.margin, round(self._y) + 4
        self._commands.append(
            lambda _, draw: draw.rounded_rectangle((left, top, left + 17, top + 17), radius=4, fill=colour)
        )

    def image(self) -> Image.Image:
        """The page, RGB."""
        page = Image.new("RGB", (self.width, round(self._y) + self.margin), "white")
        draw = ImageDraw.Draw(page)
        for command in self._commands:
            command(page, draw)
        return page
