"""The sections of the report. Each takes the statistics and the run folder and gives a part of the page, or ``None``.

To add a section, write such a function and put it into SECTIONS, or pass a list of your own to
:func:`mosaicfusion.report.html.write_report`.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

from mosaicfusion.report.charts import histogram, position_map
from mosaicfusion.report.heading import heading
from mosaicfusion.report.judgement import judgement
from mosaicfusion.report.markup import Part, meter, paragraph, percent, section, share, spoken, table
from mosaicfusion.report.quality_sections import diversity, failures, semantics
from mosaicfusion.report.sheet import card, reason_meaning, reason_name
from mosaicfusion.report.stats import CategoryTally, RunStats

Section = Callable[[RunStats, Path], Part | None]


def tiles(stats: RunStats, folder: Path) -> Part:
    """The totals."""
    cells = [
        ("Canvases drawn", f"{stats.canvases:,}", f"of {stats.planned:,} planned"),
        ("Canvases in the set", f"{stats.used:,}", f"{share(stats.used, stats.canvases)} of those drawn"),
        ("Instances in the set", f"{stats.instances:,}", f"categories asked for: {len(stats.categories):,}"),
        ("Yield", share(stats.kept, stats.asked), f"{stats.kept:,} of {stats.asked:,} objects got a mask"),
    ]
    shown = "".join(
        f"<div><dt>{name}</dt><dd><b>{value}</b><span>{note}</span></dd></div>" for name, value, note in cells
    )
    return Part("", f'<dl class="tiles" aria-label="Totals">{shown}</dl>')


def canvases(stats: RunStats, folder: Path) -> Part:
    """Pictures; masks can be switched off by a check box, without a script."""
    if not stats.sample:
        reason = "The run holds no canvas yet." if stats.canvases == 0 else "No canvas is shown, as was asked for."
        return section("Canvases", paragraph(reason, "empty"))
    shown = "All canvases."
    if len(stats.sample) < stats.canvases:
        shown = f"{len(stats.sample):,} of {stats.canvases:,} canvases, spread evenly over the run."
    rule = {
        "drop": "A canvas with a rejected object is left out of the data set.",
        "not_exhaustive": "On a canvas with a rejected object, its category is listed as not exhaustively annotated.",
    }[stats.policy]
    score = "Numbers are scores: mean heat inside the mask minus mean heat outside, from 0 to 1."
    cards = "".join(card(record, folder, stats.policy) for record in stats.sample)
    return section(
        "Canvases",
        paragraph(f"{shown} {rule} {score}", "note"),
        '<input type="checkbox" id="show-masks" checked><label for="show-masks">Masks and labels</label>',
        f'<div class="sheet">{cards}</div>',
    )


def categories(stats: RunStats, folder: Path) -> Part | None:
    """Yield per category, best first."""
    if not stats.categories:
        return None
    tallies = sorted(stats.categories.values(), key=lambda tally: (-tally.yield_, -tally.asked, tally.name))
    head = ("category", "asked", "kept", "yield", "in the set", "mean area", "mean score")
    return section(
        "Categories",
        paragraph("Best yield first. Area is the part of its region that a mask covers.", "note"),
        table("Yield per category", head, map(_category_row, tallies), numbers=6),
    )


def rejections(stats: RunStats, folder: Path) -> Part | None:
    """Why regions have no mask, and what the policy costs."""
    if not stats.asked:
        return None
    if not stats.reasons:
        return section("Rejections", paragraph("No object was rejected.", "empty"))
    total = stats.reasons.total()
    rows = (
        (
            f"{escape(reason_name(reason))}<small>{escape(reason_meaning(reason))}</small>",
            f"{count:,}",
            meter(count / total) + percent(count / total),
            percent(count / stats.asked),
        )
        for reason, count in stats.reasons.most_common()
    )
    head = ("reason", "objects", "of the rejected", "of all asked")
    lost = stats.kept - stats.instances
    cost = f"With their canvases, {lost:,} objects that have a mask are left out; the policy not_exhaustive keeps them."
    return section(
        "Rejections",
        table("Rejections per reason", head, rows, numbers=3),
        paragraph(cost, "note") if lost and stats.policy == "drop" else "",
    )


def distributions(stats: RunStats, folder: Path) -> Part:
    """Area, score and position of the kept masks."""
    if not stats.kept:
        return section("Distributions", paragraph("No object was kept, so there is nothing to count.", "empty"))
    canvas_hw = stats.sizes.most_common(1)[0][0]
    charts = (
        ("Area", "Part of its region that a mask covers", histogram(stats.areas, "Histogram of mask areas")),
        ("Score", "Mean heat inside the mask minus outside", histogram(stats.scores, "Histogram of scores", unit="")),
        (
            "Position",
            "Centres of the boxes on the canvas",
            position_map(stats.centres, canvas_hw, "Map of box centres"),
        ),
    )
    shown = "".join(
        f"<figure><figcaption><b>{title}</b><span>{what}</span></figcaption>{svg}</figure>"
        for title, what, svg in charts
    )
    note = f"Over the {stats.kept:,} objects that got a mask, on canvases in the set or not."
    return section("Distributions", paragraph(note, "note"), f'<div class="charts">{shown}</div>')


SECTIONS: tuple[Section, ...] = (
    heading,
    tiles,
    canvases,
    categories,
    rejections,
    distributions,
    judgement,
    failures,
    semantics,
    diversity,
)


def _category_row(tally: CategoryTally) -> tuple[str, ...]:
    return (
        escape(spoken(tally.name)),
        f"{tally.asked:,}",
        f"{tally.kept:,}",
        meter(tally.yield_) + percent(tally.yield_),
        f"{tally.used:,}",
        percent(tally.area_sum / tally.kept) if tally.kept else "–",
        f"{tally.score_sum / tally.kept:.2f}" if tally.kept else "–",
    )
