"""Failure modes of the method: the three of the paper (section 5), measured on every requested object.

- entangled: the attention spreads to things beside the object, such as the contents of a spice rack;
- small: the object covers too little of its region, such as a legume;
- abstract: the model does not know the category, or generates another one, such as for hardback book.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from mosaicfusion.masks.rejection import RejectionReason
from mosaicfusion.run.records import CanvasRecord, RegionRecord
from mosaicfusion.run.semantics import RegionSemantics

FailureMode = Literal["entangled", "small", "abstract"]
FAILURE_MODES: tuple[FailureMode, ...] = get_args(FailureMode)

# Chosen by inspecting the masks that they flag on 152 canvases of the miniature.
LOW_CONTRAST = 0.42  # of heat inside and outside of the mask; a tenth of the masks have less
LARGE_AREA = 0.5  # of the region; well generated large objects have a high contrast
SIDES = 2  # of the region that the mask touches: one may be chance, two mean that it goes beyond
SMALL_AREA = 0.1  # of the region: twice the minimum of the paper
LOW_RANK = 5  # an image whose category is not among CLIP's first five shows something else
MIN_REGIONS = 5  # of a category, for a flag
FLAG_SHARE = 1 / 3  # of a category's regions: two of five

_ENTANGLED_REASONS = (RejectionReason.TOO_LARGE, RejectionReason.SEVERAL_COMPONENTS)
_SMALL_REASONS = (RejectionReason.TOO_SMALL, RejectionReason.EMPTY_MASK)


@dataclass(frozen=True)
class Example:
    """The worst region of a category for one failure mode; ``severity`` is 0 or more, and higher is worse."""

    severity: float
    record: CanvasRecord
    region: int


@dataclass
class CategoryFailures:
    """Counts of the failures among the requested ``regions`` of a category, and the worst example of each mode."""

    category: str
    regions: int = 0
    counts: dict[FailureMode, int] = field(default_factory=lambda: dict.fromkeys(FAILURE_MODES, 0))
    worst: dict[FailureMode, Example] = field(default_factory=dict)

    def share(self, mode: FailureMode) -> float:
        """The share of the regions with this failure mode, in [0, 1]."""
        return self.counts[mode] / self.regions if self.regions else 0.0

    @property
    def flags(self) -> list[FailureMode]:
        """The modes that affect at least :data:`FLAG_SHARE` of the regions; none for fewer than :data:`MIN_REGIONS`."""
        return [mode for mode in FAILURE_MODES if self.regions >= MIN_REGIONS and self.share(mode) >= FLAG_SHARE]


def count_failures(
    records: Iterable[CanvasRecord], semantics: Mapping[tuple[int, int], RegionSemantics] | None = None
) -> list[CategoryFailures]:
    """Count the failures of every region; returns the categories, those with the highest share of failures first.

    ``semantics``: judgements by (canvas, region), if they were computed. Memory grows with the number of categories only.
    """
    categories: dict[str, CategoryFailures] = {}
    for record in records:
        for k, region in enumerate(record.regions):
            failures = categories.setdefault(region.category, CategoryFailures(region.category))
            failures.regions += 1
            for mode, severity in detect_failure_modes(region, (semantics or {}).get((record.index, k))).items():
                failures.counts[mode] += 1
                if mode not in failures.worst or severity > failures.worst[mode].severity:
                    failures.worst[mode] = Example(severity, record, k)
    return sorted(
        categories.values(), key=lambda c: (-len(c.flags), -max(map(c.share, FAILURE_MODES)), -c.regions, c.category)
    )


def detect_failure_modes(region: RegionRecord, semantics: RegionSemantics | None = None) -> dict[FailureMode, float]:
    """Failure modes of a region -> severity."""
    severities: dict[FailureMode, float] = {}
    largest = float(region.values.get("largest_area", 0))
    scattered = region.kept and region.score < LOW_CONTRAST
    spread = scattered and (area_part(region) > LARGE_AREA or _sides(region) >= SIDES)
    wrong = semantics is not None and semantics.rank > LOW_RANK
    if spread or region.reason in _ENTANGLED_REASONS:
        severities["entangled"] = 1 - region.score if spread else largest
    if region.kept and area_part(region) < SMALL_AREA:
        severities["small"] = 1 - area_part(region)
    elif region.reason in _SMALL_REASONS:
        severities["small"] = 1 - largest
    if wrong or (scattered and not spread):
        severities["abstract"] = 1 - semantics.probability if semantics and wrong else 1 - region.score
    return severities


def area_part(region: RegionRecord) -> float:
    """The part of a region that its mask covers, in [0, 1]."""
    return region.area / (region.region_xywh[2] * region.region_xywh[3])


def _sides(region: RegionRecord) -> int:
    """The number of sides of its region that a mask touches, 0 to 4."""
    if not region.box_xywh:
        return 0
    (left, top, width, height), (x, y, w, h) = region.region_xywh, region.box_xywh
    return sum((x <= left, y <= top, x + w >= left + width, y + h >= top + height))
