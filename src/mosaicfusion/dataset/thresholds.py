"""Which kept regions are good enough for the data set: a choice of compiling, so that nothing has to be drawn again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.judgements import RegionSemantics, read_semantics
from mosaicfusion.run.records import CanvasRecord, RegionRecord


@dataclass(frozen=True)
class Thresholds:
    """The least values of an instance, each in [0, 1]; 0 asks for nothing. Raises :class:`MosaicFusionError`."""

    min_quality: float = 0.0
    min_semantics: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_quality <= 1:
            raise MosaicFusionError(f"min_quality={self.min_quality} must be from 0 to 1, as the quality is; try 0.8")
        if not 0 <= self.min_semantics <= 1:
            raise MosaicFusionError(f"min_semantics={self.min_semantics} must be from 0 to 1, a probability; try 0.2")


def accepted(run: RunFolder, output: Mapping[str, Any] | None = None) -> Iterator[CanvasRecord]:
    """The records of a run as its data set has them: :func:`reject_below` the thresholds of ``output``, or else its own."""
    output = output or run.header["output"]
    thresholds = Thresholds(output["min_quality"], output["min_semantics"])
    return reject_below(run.records(), thresholds, read_semantics(run.path) if thresholds.min_semantics else None)


def reject_below(
    records: Iterable[CanvasRecord],
    thresholds: Thresholds,
    semantics: Mapping[tuple[int, int], RegionSemantics] | None = None,
) -> Iterator[CanvasRecord]:
    """The records with a reason of rejection on every kept region below a threshold; all else stays.

    ``semantics``: by (canvas, region). Raises :class:`MosaicFusionError` on a region that lacks a value it is asked for.
    """
    for record in records:
        judged = (_by_quality(region, record.index, thresholds.min_quality) for region in record.regions)
        regions = (
            _by_semantics(region, record.index, (semantics or {}).get((record.index, k)), thresholds.min_semantics)
            for k, region in enumerate(judged)
        )
        yield replace(record, regions=tuple(regions))


def _by_quality(region: RegionRecord, index: int, least: float) -> RegionRecord:
    if least == 0 or not region.kept:
        return region
    if region.quality is None:
        raise MosaicFusionError(
            f"canvas {index} holds a mask without a quality (it was drawn by an earlier version), so "
            f"min_quality={least} cannot be applied; use --min-quality 0"
        )
    if region.quality >= least:
        return region
    return replace(region, reason="low_quality", values={"quality": region.quality, "min_quality": least})


def _by_semantics(region: RegionRecord, index: int, found: RegionSemantics | None, least: float) -> RegionRecord:
    """By the probability among the vocabulary: unlike the score, one threshold means the same for all categories and models."""
    if least == 0 or not region.kept:
        return region
    if found is None:
        raise MosaicFusionError(
            f"what canvas {index} shows was not judged, so min_semantics={least} cannot be applied; run "
            "`mosaicfusion semantics` on the run first, or use --min-semantics 0"
        )
    if found.probability >= least:
        return region
    values = {"probability": found.probability, "rank": found.rank, "min_semantics": least}
    return replace(region, reason="wrong_object", values=values)
