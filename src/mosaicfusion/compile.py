"""From the parts of a run folder to its data set, report and summary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mosaicfusion.dataset.lvis import MaskFormat, Policy, compile_lvis, to_bytes
from mosaicfusion.dataset.thresholds import accepted
from mosaicfusion.records import CanvasRecord, RunFolder, write_atomic
from mosaicfusion.report.html import write_report
from mosaicfusion.report.stats import CategoryTally, RunStats
from mosaicfusion.vocabulary import Category


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
    categories = {
        c["id"]: Category.from_json(c) for kind in ("main", "partners") for c in run.header["categories"][kind]
    }
    data = compile_lvis(accepted(run, output), list(categories.values()), output["policy"], output["masks"])
    run.remember_output(output)
    write_atomic(run.path / "lvis.json", to_bytes(data))
    write_report(run, output["policy"], records=accepted(run, output))
    return summarize(run, output["policy"], accepted(run, output))


def summarize(run: RunFolder, policy: Policy = "drop", records: Iterable[CanvasRecord] | None = None) -> Summary:
    """Count what the parts of a run hold, or ``records`` in their place."""
    stats = RunStats(header=run.header, run_name=run.path.name, planned=run.total, policy=policy)
    stats.read(run.records() if records is None else records, max_canvases=0)
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
