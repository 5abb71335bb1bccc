"""The report of a run: one HTML file that opens offline and asks nothing of anyone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from mosaicfusion.dataset.lvis import Policy
from mosaicfusion.records import RunFolder, write_atomic
from mosaicfusion.report.sections import SECTIONS, Section
from mosaicfusion.report.stats import RunStats


def write_report(
    run: RunFolder, policy: Policy = "drop", max_canvases: int = 48, sections: Sequence[Section] = SECTIONS
) -> Path:
    """Write ``report.html`` into the run folder, whole or not at all; returns its path.

    ``policy`` decides which canvases count as used, see :func:`mosaicfusion.dataset.lvis.compile_lvis`. At most
    ``max_canvases`` canvases are shown, about 0.1 MB each. The records are read once; memory does not grow with them.
    Raises :class:`MosaicFusionError` when the file cannot be written.
    """
    name = run.path.resolve().name
    stats = RunStats(header=run.header, run_name=name, planned=run.total, policy=policy)
    stats.read(run.records(), max_canvases)
    path = run.path / "report.html"
    write_atomic(
        path, render_page(f"{name} – mosaicfusion", "\n".join(section(stats, run.path) for section in sections))
    )
    return path


def render_page(title: str, body: str) -> bytes:
    """The page around ``body``, which is HTML already; ``title`` is text."""
    folder = files("mosaicfusion.report")
    page = Template((folder / "page.html").read_text(encoding="utf-8"))
    style = (folder / "page.css").read_text(encoding="utf-8")
    return page.substitute(title=escape(title), style=style, body=body).encode()
