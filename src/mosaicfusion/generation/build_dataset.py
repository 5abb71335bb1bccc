"""From the parts of a run folder to its data set, report and summary."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mosaicfusion.dataset.lvis import MaskFormat, Policy, write_lvis
from mosaicfusion.dataset.thresholds import accepted
from mosaicfusion.files.atomic import write_stream
from mosaicfusion.report.html import MAX_CANVASES, stats_of, write_report
from mosaicfusion.report.stats import CategoryTally, RunStats
from mosaicfusion.run.folder import RunFolder


@dataclass(frozen=True)
class Summary:
    """What a run holds. ``used`` canvases are in lvis.json; ``rejections`` counts regions by reason.

    ``missing`` canvases are not there; ``failed`` counts, by what was said, those of them that could not be drawn. If there are
    others among the missing, lvis.json was not written yet.
    """

    path: Path
    canvases: int
    used: int
    regions: int
    kept_regions: int
    instances: int
    rejections: dict[str, int]
    per_category: dict[str, tuple[int, int]]  # name -> regions asked for, kept
    missing: int = 0
    failed: dict[str, int] = field(default_factory=dict)


def compile_run(
    run: RunFolder,
    policy: Policy | None = None,
    masks: MaskFormat | None = None,
    min_quality: float | None = None,
    min_semantics: float | None = None,
) -> Summary:
    """Write ``lvis.json`` and ``report.html`` from the parts that are there.

    ``min_quality`` and ``min_semantics``, in [0, 1]: instances below either count as rejected. What is left out stays as it
    was when the run was last compiled; run.json remembers it. Raises :class:`MosaicFusionError`; then all stays as it was.
    """
    output = run.output_with(policy=policy, masks=masks, min_quality=min_quality, min_semantics=min_semantics)
    policy = output["policy"]
    stats = stats_of(run, policy)
    records = stats.watch(accepted(run, output), MAX_CANVASES)  # one pass for the json and the counts
    write_stream(
        run.path / "lvis.json",
        lambda file: write_lvis(file, records, run.categories, policy, output["masks"]),
    )
    run.remember_output(output)
    write_report(run, policy, stats=stats)
    return _summary(run, stats)


def summarize(run: RunFolder, policy: Policy = "drop") -> Summary:
    """Count what the parts of a run hold."""
    return _summary(run, stats_of(run, policy).read(run.records(), max_canvases=0))


def _summary(run: RunFolder, stats: RunStats) -> Summary:
    return Summary(
        path=run.path,
        canvases=stats.canvases,
        used=stats.used,
        regions=stats.asked,
        kept_regions=stats.kept,
        instances=stats.instances,
        rejections=dict(stats.reasons.most_common()),
        per_category={tally.name: (tally.asked, tally.kept) for tally in sorted(stats.categories.values(), key=_name)},
    )


def _name(tally: CategoryTally) -> str:
    return tally.name
