"""Where the method fails, by category: the paper's three kinds (section 5), as measures of each object that was asked for.

- entangled: the attention spreads to what the object holds or stands on (spice rack);
- small: too little of the region is the object (legume);
- abstract: the model does not know what to draw, or draws something else (hardback book).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from mosaicfusion.masks.rejection import RejectionReason
from mosaicfusion.run.judgements import RegionSemantics
from mosaicfusion.run.records import CanvasRecord, RegionRecord

Kind = Literal["entangled", "small", "abstract"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Chosen on 152 canvases of the miniature, looking at the masks that they single out.
LOW_CONTRAST = 0.42  # of heat inside and outside of the mask: the attention is not on it; the least tenth of the masks
LARGE_AREA = 0.5  # of the region; large objects that are drawn well have a high contrast
SIDES = 2  # of the region that the mask reaches: one may be chance, two say that it goes on
SMALL_AREA = 0.1  # of the region: twice the least that the paper keeps
LOW_RANK = 5  # a picture whose category is not among CLIP's first five shows something else
MIN_REGIONS = 5  # of a category, for a flag
FLAG_SHARE = 1 / 3  # of a category's regions: of five at least two

_ENTANGLED_REASONS = (RejectionReason.TOO_LARGE, RejectionReason.SEVERAL_COMPONENTS)
_SMALL_REASONS = (RejectionReason.TOO_SMALL, RejectionReason.EMPTY_MASK)


@dataclass(frozen=True)
class Example:
    """The worst region of a category in one way; ``severity`` from 0 on, the higher the worse."""

    severity: float
    record: CanvasRecord
    region: int


@dataclass
class CategoryFailures:
    """How many of the ``regions`` asked for show each kind of failure."""

    category: str
    regions: int = 0
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    worst: dict[Kind, Example] = field(default_factory=dict)

    def share(self, kind: Kind) -> float:
        """Part of the regions, in [0, 1]."""
        return self.counts[kind] / self.regions if self.regions else 0.0

    @property
    def flags(self) -> list[Kind]:
        """The kinds that the category as a whole suffers from; none for one with too few regions."""
        return [kind for kind in KINDS if self.regions >= MIN_REGIONS and self.share(kind) >= FLAG_SHARE]


def map_failures(
    records: Iterable[CanvasRecord], semantics: Mapping[tuple[int, int], RegionSemantics] | None = None
) -> list[CategoryFailures]:
    """Measure every region; the categories with most failures first. Memory grows with the categories only.

    ``semantics``, where it was computed, says by (canvas, region) whether the picture shows its category.
    """
    categories: dict[str, CategoryFailures] = {}
    for record in records:
        for k, region in enumerate(record.regions):
            failures = categories.setdefault(region.category, CategoryFailures(region.category))
            failures.regions += 1
            for kind, severity in measure(region, (semantics or {}).get((record.index, k))).items():
                failures.counts[kind] += 1
                if kind not in failures.worst or severity > failures.worst[kind].severity:
                    failures.worst[kind] = Example(severity, record, k)
    return sorted(categories.values(), key=lambda c: (-len(c.flags), -max(map(c.share, KINDS)), -c.regions, c.category))


def measure(region: RegionRecord, semantics: RegionSemantics | None = None) -> dict[Kind, float]:
    """The kinds of failure that a region shows, each with its severity."""
    found: dict[Kind, float] = {}
    largest = float(region.values.get("largest_area", 0))
    scattered = region.kept and region.score < LOW_CONTRAST
    spread = scattered and (area_part(region) > LARGE_AREA or _sides(region) >= SIDES)
    wrong = semantics is not None and semantics.rank > LOW_RANK
    if spread or region.reason in _ENTANGLED_REASONS:
        found["entangled"] = 1 - region.score if spread else largest
    if region.kept and area_part(region) < SMALL_AREA:
        found["small"] = 1 - area_part(region)
    elif region.reason in _SMALL_REASONS:
        found["small"] = 1 - largest
    if wrong or (scattered and not spread):
        found["abstract"] = 1 - semantics.probability if semantics and wrong else 1 - region.score
    return found


def area_part(region: RegionRecord) -> float:
    """The part of its region that the mask covers, in [0, 1]."""
    return region.area / (region.region_xywh[2] * region.region_xywh[3])


def _sides(region: RegionRecord) -> int:
    """How many sides of its region the mask reaches, 0 to 4."""
    if not region.box_xywh:
        return 0
    (left, top, width, height), (x, y, w, h) = region.region_xywh, region.box_xywh
    return sum((x <= left, y <= top, x + w >= left + width, y + h >= top + height))
