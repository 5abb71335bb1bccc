"""Charts as inline SVG, coloured by the page's style sheet. They hold numbers only, no text from outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT, _AXIS = 360, 150, 18


def histogram(counts: NDArray[np.int64], description: str, unit: str = "%") -> str:
    """Bars over [0, 1], labelled in percent or, with an empty ``unit``, as fractions."""
    top = max(1, int(counts.max()))
    step = _WIDTH / len(counts)
    bars = []
    for k, count in enumerate(counts.tolist()):
        height = (_HEIGHT - 14) * count / top
        low, high = _tick(k / len(counts), unit), _tick((k + 1) / len(counts), unit)
        bars.append(
            f'<rect class="bar" x="{k * step + 1:.1f}" y="{_HEIGHT - height:.1f}" width="{step - 2:.1f}" '
            f'height="{height:.1f}" rx="1"><title>{low} to {high}: {count:,}</title></rect>'
        )
    # The outer ticks stand inside the drawing.
    ticks = "".join(
        f'<text x="{_WIDTH * part:.0f}" y="{_HEIGHT + 14}" text-anchor="{anchor}">{_tick(part, unit)}</text>'
        for part, anchor in ((0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1, "end"))
    )
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT + _AXIS}" role="img" aria-label="{description}">'
        f'<line x1="0" y1="{_HEIGHT}" x2="{_WIDTH}" y2="{_HEIGHT}"/>{"".join(bars)}{ticks}'
        f'<text x="{_WIDTH}" y="10" text-anchor="end">most: {top:,}</text></svg>'
    )


def position_map(counts: NDArray[np.int64], canvas_hw: tuple[int, int], description: str) -> str:
    """counts (rows, columns) over the canvas -> a map with the canvas' aspect, darker where there are more."""
    rows, columns = counts.shape
    height, width = canvas_hw
    cell_w, cell_h = _WIDTH / columns, _WIDTH * height / width / rows
    top = max(1, int(counts.max()))
    cells = "".join(
        f'<rect class="cell" x="{x * cell_w:.2f}" y="{y * cell_h:.2f}" '
        f'width="{cell_w - 1:.2f}" height="{cell_h - 1:.2f}" fill-opacity="{0.06 + 0.94 * count / top:.3f}">'
        f"<title>{count:,}</title></rect>"
        for y, row in enumerate(counts.tolist())
        for x, count in enumerate(row)
    )
    shape = f"0 0 {_WIDTH} {_WIDTH * height / width:.0f}"
    return f'<svg class="chart map" viewBox="{shape}" role="img" aria-label="{description}">{cells}</svg>'


def _tick(part: float, unit: str) -> str:
    return f"{100 * part:.0f} %" if unit == "%" else f"{part:.2f}"
