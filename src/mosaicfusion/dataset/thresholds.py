"""Which kept regions are good enough for the data set: a choice of compiling, so that nothing has to be drawn again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.records import CanvasRecord, RegionRecord, RunFolder


@dataclass(frozen=True)
class Thresholds:
    """The least values of an instance, each in [0, 1]; 0 asks for nothing. Raises :class:`MosaicFusionError`."""

    min_quality: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_quality <= 1:
            raise MosaicFusionError(f"min_quality={self.min_quality} must be from 0 to 1, as the quality is; try 0.8")


def accepted(run: RunFolder, output: Mapping[str, Any] | None = None) -> Iterator[CanvasRecord]:
    """The records of a run as its data set has them: :func:`reject_below` the thresholds of ``output``, or else its own."""
    output = output or run.header["output"]
    return reject_below(run.records(), Thresholds(output["min_quality"]))


def reject_below(records: Iterable[CanvasRecord], thresholds: Thresholds) -> Iterator[CanvasRecord]:
    """The records with a reason of rejection on every kept region below a threshold; all else stays.

    Raises :class:`MosaicFusionError` on a region that lacks a value it is asked for.
    """
    for record in records:
        regions = (_judged(region, record.index, thresholds) if region.kept else region for region in record.regions)
        yield replace(record, regions=tuple(regions))


def _judged(region: RegionRecord, index: int, thresholds: Thresholds) -> RegionRecord:
    if thresholds.min_quality == 0:
        return region
    if region.quality is None:
        raise MosaicFusionError(
            f"canvas {index} was drawn before masks had a quality, so min_quality={thresholds.min_quality} "
            "cannot be applied; draw the run again, or use --min-quality 0"
        )
    if region.quality >= thresholds.min_quality:
        return region
    values = {"quality": region.quality, "min_quality": thresholds.min_quality}
    return replace(region, reason="low_quality", values=values)
