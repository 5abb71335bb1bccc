"""The report of a run: one HTML file that opens offline and makes no request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.masks.rejection import reason_meaning, reason_name
from mosaicfusion.report import text
from mosaicfusion.report.section import Section, SectionBuilder
from mosaicfusion.report.sections import SECTIONS
from mosaicfusion.report.stats import RunStats
from mosaicfusion.run.folder import RunFolder

MAX_CANVASES = 48

_TEMPLATES = Environment(
    loader=PackageLoader("mosaicfusion.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_FILTERS = (text.full_name, text.thousands, text.percent, text.measured, text.setting, reason_name, reason_meaning)
_TEMPLATES.filters.update({function.__name__: function for function in _FILTERS})
_TEMPLATES.globals["share"] = text.share


def write_report(
    run: RunFolder,
    max_canvases: int = MAX_CANVASES,
    sections: Sequence[SectionBuilder] = SECTIONS,
    stats: RunStats | None = None,
) -> Path:
    """Write ``report.html`` into the run folder, whole or not at all; returns its path.

    The policy of the run decides which canvases count as used. At most ``max_canvases`` of them are shown, about 0.1 MB each.
    ``stats``: statistics of the run, if the caller has them, such as those after
    thresholds. Raises :class:`MosaicFusionError` when the file cannot be written.
    """
    if stats is None:
        stats = RunStats(run.manifest.output.policy).read(run.records(), max_canvases)
    path = run.path / "report.html"
    write_atomic(path, render_report(run, stats, sections))
    return path


def render_report(run: RunFolder, stats: RunStats, sections: Sequence[SectionBuilder] = SECTIONS) -> bytes:
    """The report of a run, UTF-8; ``stats`` hold the canvases that are shown. Raises :class:`MosaicFusionError`."""
    built = [section for build in sections if (section := build(run, stats))]
    return render_page(f"{run.path.resolve().name} – mosaicfusion", built)


def render_page(title: str, sections: Sequence[Section]) -> bytes:
    """The page of these sections, UTF-8. All text from outside is escaped by the templates."""
    # The output of a template is markup already: it is not escaped again.
    rendered = [
        (section, Markup(_TEMPLATES.get_template(section.template).render(section.data))) for section in sections
    ]
    return _TEMPLATES.get_template("page.html.j2").render(title=title, sections=rendered).encode(errors="replace")


def render_template(name: str, **data: object) -> str:
    """The text of one template; all text from outside is escaped."""
    return _TEMPLATES.get_template(name).render(data)
