"""Small pieces of HTML. Arguments called ``*_html`` are markup already; all others are text and are escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple


class Part(NamedTuple):
    """A part of the page; one with a title becomes a section with a link at the top."""

    title: str
    html: str

    @property
    def anchor(self) -> str:
        """The section's id."""
        return "-".join(re.findall(r"\w+", self.title.lower()))


def section(title: str, *parts_html: str) -> Part:
    """A titled section."""
    return Part(title, "".join(parts_html))


def paragraph(text: str, css_class: str) -> str:
    """A paragraph; ``note`` explains, ``empty`` says that there is nothing, ``warning`` warns."""
    return f'<p class="{css_class}">{escape(text)}</p>'


def table(label: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int) -> str:
    """A table that scrolls when it is long. Cells of ``rows`` are markup; the last ``numbers`` columns hold numbers."""
    first_number = len(head) - numbers

    def cell(k: int, content_html: str) -> str:
        if k == 0:
            return f'<th scope="row">{content_html}</th>'
        return f'<td class="number">{content_html}</td>' if k >= first_number else f"<td>{content_html}</td>"

    titles = "".join(
        f'<th scope="col"{" class=number" if k >= first_number else ""}>{escape(title)}</th>'
        for k, title in enumerate(head)
    )
    body = "".join(f"<tr>{''.join(cell(k, content) for k, content in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def meter(part: float) -> str:
    """A small bar for a table cell; ``part`` in [0, 1]."""
    return f'<span class="meter" aria-hidden="true"><i style="width:{100 * part:.0f}%"></i></span>'


def percent(part: float) -> str:
    """0.604 -> ``60.4 %``."""
    return f"{100 * part:.1f} %"


def share(count: int, total: int) -> str:
    """``count`` of ``total`` in percent, or a dash if there is nothing to divide by."""
    return percent(count / total) if total else "–"


def spoken(name: str) -> str:
    """A category's name with spaces; the qualifier stays, since two categories may differ in nothing else."""
    return " ".join(name.replace("_", " ").split())
