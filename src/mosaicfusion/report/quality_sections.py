"""Sections on what was computed about the masks and images of a run: agreement, failures, semantics, diversity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks.rejection import reason_name
from mosaicfusion.quality import failure_modes as rules
from mosaicfusion.quality.agreement import read_judgements
from mosaicfusion.quality.background import count_canvases
from mosaicfusion.quality.diversity import MIN_INSTANCES, MIN_PAIRS, ranked, read_diversity
from mosaicfusion.quality.failure_modes import (
    FAILURE_MODES,
    CategoryFailures,
    Example,
    FailureMode,
    area_part,
    count_failures,
)
from mosaicfusion.quality.semantics import by_category
from mosaicfusion.report.images import region_uri, window_uri
from mosaicfusion.report.section import Section, SectionBuilder, message
from mosaicfusion.report.stats import RunStats
from mosaicfusion.report.text import full_name
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.semantics import RegionSemantics, read_background, read_semantics

_MAX_EXAMPLES = 6  # images of each failure mode

Semantics = Mapping[tuple[int, int], RegionSemantics]


def _or_warning(title: str) -> Callable[[SectionBuilder], SectionBuilder]:
    """Turn a damaged file into a warning on the page, which has other things to show."""

    def decorate(build: SectionBuilder) -> SectionBuilder:
        @wraps(build)
        def build_or_warn(run: RunFolder, stats: RunStats) -> Section | None:
            try:
                return build(run, stats)
            except MosaicFusionError as error:
                return message(title, "warning", str(error))

        return build_or_warn

    return decorate


@_or_warning("Mask agreement")
def agreement(run: RunFolder, stats: RunStats) -> Section | None:
    """IoU with annotators' masks: overall, above some qualities, and by category, the worst first."""
    judgements = [
        (annotator, result, sorted(result.categories.items(), key=lambda item: (item[1].mean_iou, item[0])))
        for annotator, result in read_judgements(run.path).items()
    ]
    return Section("agreement.html.j2", {"judgements": judgements}, "Mask agreement") if judgements else None


def failures(run: RunFolder, stats: RunStats) -> Section | None:
    """The paper's three failure modes by category, with the worst examples."""
    if not stats.requested:
        return None
    try:
        judged = read_semantics(run.path)
    except MosaicFusionError:
        judged = None  # the section on semantics shows the error
    categories = count_failures(run.records(), judged)
    data = {
        "rules": rules,
        "flagged": [category for category in categories if category.flags],
        "comparable": sum(category.regions >= rules.MIN_REGIONS for category in categories),
        "with_semantics": judged is not None,
        "objects": sum(category.regions for category in categories),
        "modes": [_describe_mode(mode, categories, judged or {}, run) for mode in FAILURE_MODES],
    }
    return Section("failures.html.j2", data, "Failure modes")


def _describe_mode(
    mode: FailureMode, categories: Sequence[CategoryFailures], judged: Semantics, run: RunFolder
) -> dict[str, Any]:
    """One failure mode: the number of affected objects, and the worst examples, of different categories."""
    worst = sorted((c.worst[mode] for c in categories if mode in c.worst), key=lambda example: -example.severity)
    examples = [
        {
            "image": image,
            "category": example.record.regions[example.region].category,
            "caption": _caption(mode, example, judged),
            "canvas": example.record.index,
        }
        for example in worst[:_MAX_EXAMPLES]
        if (image := region_uri(example.record, example.region, run.path))
    ]
    return {"mode": mode, "affected": sum(category.counts[mode] for category in categories), "examples": examples}


def _caption(mode: FailureMode, example: Example, judged: Semantics) -> str:
    """The measurement behind an example, in a few words."""
    region = example.record.regions[example.region]
    semantics = judged.get((example.record.index, example.region))
    if mode == "abstract" and semantics and semantics.rank > rules.LOW_RANK:
        return f"rank {semantics.rank}; CLIP sees {full_name(semantics.top)}"
    if not region.kept:
        return reason_name(region.reason)
    if mode == "small":
        return f"{area_part(region):.0%} of the region"
    return f"score {region.score:.2f}, {area_part(region):.0%} of the region"


@_or_warning("Semantics")
def semantics(run: RunFolder, stats: RunStats) -> Section | None:
    """Zero-shot classification of the regions by CLIP, the least recognised category first."""
    judged = read_semantics(run.path)
    if not judged:
        return None
    data = {
        "regions": len(judged),
        "first": sum(region.rank == 1 for region in judged.values()),
        "choices": max(region.choices for region in judged.values()),
        "rows": by_category(judged.values()),
    }
    return Section("semantics.html.j2", data, "Semantics")


@_or_warning("Background")
def background(run: RunFolder, stats: RunStats) -> Section | None:
    """Findings of CLIP where nothing is annotated: the number of canvases by probability, and the most probable findings."""
    lines = (read_background(run.path) or {}).values()
    if not (windows := sum(line.windows for line in lines)):
        return None
    found = sorted(((one, line.canvas) for line in lines for one in line.found), key=lambda pair: -pair[0].probability)
    data = {
        "windows": windows,
        "canvases": sum(line.windows > 0 for line in lines),
        "counts": count_canvases(lines),
        "threshold": run.manifest.output.mark_background,
        "marked": stats.marked,
        "examples": [
            {"image": image, "category": one.category, "probability": one.probability, "canvas": canvas}
            for one, canvas in found[:_MAX_EXAMPLES]
            if (image := window_uri(run.path / run.image_name(canvas), one.window_xywh))
        ],
    }
    return Section("background.html.j2", data, "Background")


@_or_warning("Diversity")
def diversity(run: RunFolder, stats: RunStats) -> Section | None:
    """Variety of the instances of each category, and their distance from real ones."""
    result = read_diversity(run.path)
    if result is None:
        return None
    data = {"result": result, "categories": ranked(result), "min_instances": MIN_INSTANCES, "min_pairs": MIN_PAIRS}
    return Section("diversity.html.j2", data, "Diversity")
