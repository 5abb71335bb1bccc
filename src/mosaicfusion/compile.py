"""From the parts of a run folder to its data set, report and summary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mosaicfusion.dataset.lvis import MaskFormat, Policy, compile_lvis, to_bytes
from mosaicfusion.records import RunFolder, write_atomic
from mosaicfusion.report.html import write_report
from mosaicfusion.report.stats import CategoryTally, RunStats
from mosaicfusion.vocabulary import Category


@dataclass(frozen=True)
class Summary:
    """What a run holds. ``used`` canvases are in lvis.json; ``rejections`` counts regions by reason."""

    path: Path
    canvases: int
    used: int
    regions: int
    kept_regions: int
    instances: int
    rejections: dict[str, int]
    per_category: dict[str, tuple[int, int]]  # name -> regions asked for, kept


def compile_run(run: RunFolder, policy: Policy | None = None, masks: MaskFormat | None = None) -> Summary:
    """Write ``lvis.json`` and ``report.html`` from the parts that are there.

    What is left out stays as it was when the run was last compiled; run.json remembers it.
    """
    policy = policy or run.header["output"]["policy"]
    masks = masks or run.header["output"]["masks"]
    run.remember_output({"policy": policy, "masks": masks})
    categories = {
        c["id"]: Category.from_json(c) for kind in ("main", "partners") for c in run.header["categories"][kind]
    }
    data = compile_lvis(run.records(), list(categories.values()), policy, masks)
    write_atomic(run.path / "lvis.json", to_bytes(data))
    write_report(run, policy)
    return summarize(run, policy)


def summarize(run: RunFolder, policy: Policy = "drop") -> Summary:
    """Count what the parts of a run hold."""
    stats = RunStats(header=run.header, run_name=run.path.name, planned=run.total, policy=policy)
    stats.read(run.records(), max_canvases=0)
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
