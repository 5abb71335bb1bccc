"""The section of the report on what `mosaicfusion judge` found."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.quality.agreement import read_judgements
from mosaicfusion.report.markup import Part, meter, paragraph, percent, section, spoken, table
from mosaicfusion.report.stats import RunStats


def judgement(stats: RunStats, folder: Path) -> Part | None:
    """How far masks and annotators agree: overall, above some qualities, and by category, the worst first."""
    try:
        found = read_judgements(folder)
    except MosaicFusionError as error:
        return section("Mask agreement", paragraph(str(error), "warning"))
    if not found:
        return None
    note = (
        "IoU of the masks and those of an annotator that is prompted by their boxes, over all objects with a mask, whatever the "
        "policy and the thresholds. Where the two part, either may be wrong."
    )
    return section(
        "Mask agreement", paragraph(note, "note"), *(_annotator(name, entry) for name, entry in found.items())
    )


def _annotator(name: str, entry: dict[str, Any]) -> str:
    kept = [k for k in (entry["quality"] or {"kept": []})["kept"] if k["share"] < 1]
    rows = [_row("all", entry)]
    rows += [_row(f"best {k['share']:.0%} by quality: from {k['min_quality']:.2f}", k) for k in kept]
    worst_first = sorted(entry["categories"].items(), key=lambda item: (item[1]["mean_iou"], item[0]))
    rows += [_row(spoken(category), figures) for category, figures in worst_first]
    text = f"{name}, {entry['model']}: mean IoU {percent(entry['mean_iou'])}, median {percent(entry['median_iou'])}."
    if entry["quality"]:
        quality = entry["quality"]
        text += f" Quality and IoU correlate: Pearson {quality['pearson']:.2f}, Spearman {quality['spearman']:.2f}."
    return paragraph(text, "lead") + table(
        f"Agreement with {name}", ("masks", "instances", "mean IoU"), rows, numbers=2
    )


def _row(label: str, figures: dict[str, Any]) -> tuple[str, str, str]:
    iou = figures["mean_iou"]
    return escape(label), f"{figures['instances']:,}", meter(iou) + percent(iou)
