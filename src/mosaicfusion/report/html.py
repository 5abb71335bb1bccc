"""The report of a run: one HTML file that opens offline and asks nothing of anyone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from mosaicfusion.dataset.lvis import Policy
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.report.markup import Part
from mosaicfusion.report.sections import SECTIONS, Section
from mosaicfusion.report.stats import RunStats
from mosaicfusion.run.folder import RunFolder

MAX_CANVASES = 48


def write_report(
    run: RunFolder,
    policy: Policy = "drop",
    max_canvases: int = MAX_CANVASES,
    sections: Sequence[Section] = SECTIONS,
    stats: RunStats | None = None,
) -> Path:
    """Write ``report.html`` into the run folder, whole or not at all; returns its path.

    ``policy`` decides which canvases count as used, see :func:`mosaicfusion.dataset.lvis.compile_lvis`. At most
    ``max_canvases`` canvases are shown, about 0.1 MB each. ``stats``: what was counted already, as when thresholds rejected
    some regions.
    Raises :class:`MosaicFusionError` when the file cannot be written.
    """
    if stats is None:
        stats = stats_of(run, policy).read(run.records(), max_canvases)
    path = run.path / "report.html"
    parts = [part for section in sections if (part := section(stats, run.path))]
    write_atomic(path, render_page(f"{stats.run_name} – mosaicfusion", parts))
    return path


def stats_of(run: RunFolder, policy: Policy) -> RunStats:
    """Statistics that have counted nothing yet."""
    return RunStats(header=run.header, run_name=run.path.resolve().name, planned=run.total, policy=policy)


def render_page(title: str, parts: Sequence[Part]) -> bytes:
    """The page of these parts; ``title`` is text."""
    links = "".join(f'<a href="#{part.anchor}">{escape(part.title)}</a>' for part in parts if part.title)
    body = "\n".join(_section(part) if part.title else part.html for part in parts)
    folder = files("mosaicfusion.report")
    page = Template((folder / "page.html").read_text(encoding="utf-8"))
    style = (folder / "page.css").read_text(encoding="utf-8")
    return page.substitute(title=escape(title), style=style, links=links, body=body).encode()


def _section(part: Part) -> str:
    heading = f'<h2 id="{part.anchor}">{escape(part.title)}</h2>'
    return f'<section aria-labelledby="{part.anchor}">{heading}{part.html}</section>'
