"""From the parts of a run folder to its data set, report and summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mosaicfusion.dataset.lvis import MaskFormat, Policy, compile_lvis, is_used, to_bytes
from mosaicfusion.records import RunFolder, write_atomic
from mosaicfusion.report.html import write_report
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


def compile_run(run: RunFolder, policy: Policy = "drop", masks: MaskFormat = "rle") -> Summary:
    """Write ``lvis.json`` and ``report.html`` from the parts that are there."""
    categories = {
        c["id"]: Category.from_json(c) for kind in ("main", "partners") for c in run.header["categories"][kind]
    }
    data = compile_lvis(run.records(), list(categories.values()), policy, masks)
    write_atomic(run.path / "lvis.json", to_bytes(data))
    write_report(run, policy)
    return summarize(run, policy)


def summarize(run: RunFolder, policy: Policy = "drop") -> Summary:
    """Count what the parts of a run hold."""
    canvases = used = instances = 0
    asked: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    rejections: Counter[str] = Counter()
    for record in run.records():
        canvases += 1
        in_set = is_used(record, policy)
        used += in_set
        for region in record.regions:
            asked[region.category] += 1
            if region.kept:
                kept[region.category] += 1
                instances += in_set
            else:
                rejections[str(region.reason)] += 1
    return Summary(
        path=run.path,
        canvases=canvases,
        used=used,
        regions=asked.total(),
        kept_regions=kept.total(),
        instances=instances,
        rejections=dict(rejections.most_common()),
        per_category={name: (count, kept[name]) for name, count in sorted(asked.items())},
    )
