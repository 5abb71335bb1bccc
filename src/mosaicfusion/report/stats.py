"""Statistics of a run from one pass over its records: counters of fixed size, and a sample of canvases."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.config import Policy
from mosaicfusion.dataset.lvis import is_used
from mosaicfusion.run.records import CanvasRecord, RegionRecord

BINS = 20  # of the histograms
CELLS = 16  # on each side of the map of positions

Item = TypeVar("Item")


class EvenSample(Generic[Item]):
    """A sample of at most ``capacity`` items of a stream of unknown length, spread evenly over it, in order.

    The stream is divided into intervals of equal length. Each keeps one random item; when there are too many intervals,
    neighbours merge. A fixed stride is no alternative: canvas i shows main category i modulo their number, so a stride that
    shares a factor with that number would never show some categories. Equal streams give equal samples.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise ValueError(f"capacity={capacity} must be 0 or more")
        self.capacity = capacity
        self._kept: list[tuple[float, Item]] = []  # one per interval with a random priority; the lowest priority stays
        self._interval = 1
        self._offered = 0
        self._rng = random.Random(0)

    def offer(self, item: Item) -> None:
        """Offer the next item of the stream."""
        candidate = (self._rng.random(), item)
        interval = self._offered // self._interval
        self._offered += 1
        if interval < len(self._kept):
            self._kept[-1] = _lowest([self._kept[-1], candidate])
            return
        self._kept.append(candidate)
        if len(self._kept) > 2 * max(1, self.capacity):
            self._kept = [_lowest(self._kept[k : k + 2]) for k in range(0, len(self._kept), 2)]
            self._interval *= 2

    def items(self) -> list[Item]:
        """The sample so far."""
        count, capacity = len(self._kept), self.capacity
        if count <= capacity:
            return [item for _, item in self._kept]
        groups = (self._kept[g * count // capacity : (g + 1) * count // capacity] for g in range(capacity))
        return [_lowest(group)[1] for group in groups]


def _lowest(candidates: list[tuple[float, Item]]) -> tuple[float, Item]:
    return min(candidates, key=lambda candidate: candidate[0])


@dataclass
class CategoryTally:
    """Counts of the regions of one category. ``used``: those kept on canvases that are in the data set."""

    name: str
    requested: int = 0
    kept: int = 0
    used: int = 0
    area_sum: float = 0.0  # of kept regions: the parts of them that masks cover
    score_sum: float = 0.0
    quality_sum: float = 0.0  # of those that have one
    with_quality: int = 0

    @property
    def yield_(self) -> float:
        """Kept regions per requested region, in [0, 1]."""
        return self.kept / self.requested if self.requested else 0.0


@dataclass
class RunStats:
    """Statistics of a run, under the policy of its data set.

    ``areas``, ``scores`` and ``qualities`` are histograms of the kept masks, (BINS,) over [0, 1]: the part of the region that
    the mask covers, its score and its predicted IoU, which masks of old versions lack. ``centres`` counts the centres of their
    boxes on the canvas, (CELLS, CELLS), from top to bottom. ``sizes`` counts canvases by (height, width). ``marked``: canvases
    with a category that is seen on their background.
    """

    policy: Policy
    canvases: int = 0
    used: int = 0
    without_image: int = 0
    marked: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    categories: dict[int, CategoryTally] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    areas: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    qualities: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    centres: NDArray[np.int64] = field(default_factory=lambda: np.zeros((CELLS, CELLS), np.int64))
    sample: list[CanvasRecord] = field(default_factory=list)

    @property
    def requested(self) -> int:
        """Requested regions."""
        return sum(tally.requested for tally in self.categories.values())

    @property
    def kept(self) -> int:
        """Kept regions: those with a mask."""
        return sum(tally.kept for tally in self.categories.values())

    @property
    def instances(self) -> int:
        """Annotations in the data set: the kept regions of used canvases."""
        return sum(tally.used for tally in self.categories.values())

    def read(self, records: Iterable[CanvasRecord], max_canvases: int) -> RunStats:
        """Count the records and sample at most ``max_canvases`` of them; returns itself."""
        for _ in self.watch(records, max_canvases):
            pass
        return self

    def watch(self, records: Iterable[CanvasRecord], max_canvases: int) -> Iterator[CanvasRecord]:
        """:meth:`read` the records and pass them on to another reader."""
        sample: EvenSample[CanvasRecord] = EvenSample(max_canvases)
        for record in records:
            self._count(record)
            sample.offer(record)
            yield record
        self.sample = sample.items()

    def _count(self, record: CanvasRecord) -> None:
        used = is_used(record, self.policy)
        self.canvases += 1
        self.used += used
        self.without_image += record.file_name is None
        self.marked += bool(record.unlabelled)
        self.sizes[record.hw_px] += 1
        for region in record.regions:
            tally = self.categories.setdefault(region.category_id, CategoryTally(region.category))
            tally.requested += 1
            if not region.kept:
                self.reasons[str(region.reason)] += 1
                continue
            tally.kept += 1
            tally.used += used
            self._measure(region, record.hw_px, tally)

    def _measure(self, region: RegionRecord, canvas_hw: tuple[int, int], tally: CategoryTally) -> None:
        area = region.area / max(1, region.region_xywh[2] * region.region_xywh[3])
        tally.area_sum += area
        tally.score_sum += region.score
        self.areas[_bin(area, BINS)] += 1
        self.scores[_bin(region.score, BINS)] += 1
        if region.quality is not None:
            tally.quality_sum += region.quality
            tally.with_quality += 1
            self.qualities[_bin(region.quality, BINS)] += 1
        if region.box_xywh:
            left, top, width, height = region.box_xywh
            row, column = (top + height / 2) / canvas_hw[0], (left + width / 2) / canvas_hw[1]
            self.centres[_bin(row, CELLS), _bin(column, CELLS)] += 1


def _bin(value: float, count: int) -> int:
    return min(count - 1, max(0, int(value * count)))
