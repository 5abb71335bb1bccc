"""A section of the report as data. Words and markup are in the templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mosaicfusion.report.stats import RunStats
from mosaicfusion.run.folder import RunFolder


@dataclass(frozen=True)
class Section:
    """A part of the page: a file of ``report/templates`` and the values it shows.

    One with a title gets a heading and a link at the top of the page.
    """

    template: str
    data: Mapping[str, Any]
    title: str = ""

    @property
    def anchor(self) -> str:
        """The id on the page: ``Mask agreement`` -> ``mask-agreement``."""
        return "-".join(re.findall(r"\w+", self.title.lower()))


SectionBuilder = Callable[[RunFolder, RunStats], Section | None]


def message(title: str, kind: Literal["note", "empty", "warning"], text: str) -> Section:
    """A section of one paragraph: a note, words where there is nothing to show, or a warning."""
    return Section("message.html.j2", {"kind": kind, "text": text}, title)
