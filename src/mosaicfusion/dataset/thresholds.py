"""Rejecting kept regions below the thresholds of a data set, when it is compiled: no canvas is generated again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mosaicfusion.config import OutputSettings
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks.rejection import RejectionReason
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord
from mosaicfusion.run.semantics import RegionSemantics, read_semantics


def thresholds_of(output: OutputSettings) -> str:
    """The thresholds in force as options, such as ``--min-quality 0.9``; empty if there are none."""
    values = {"--min-quality": output.min_quality, "--min-semantics": output.min_semantics}
    return ", ".join(f"{name} {value:g}" for name, value in values.items() if value)


def accepted(run: RunFolder, output: OutputSettings | None = None) -> Iterator[CanvasRecord]:
    """The records of a run, with a rejection on every region below the thresholds of ``output``, or of the run's own settings."""
    output = output or run.manifest.output
    return reject_below(run.records(), output, read_semantics(run.path) if output.min_semantics else None)


def reject_below(
    records: Iterable[CanvasRecord],
    output: OutputSettings,
    semantics: Mapping[tuple[int, int], RegionSemantics] | None = None,
) -> Iterator[CanvasRecord]:
    """The records with a rejection on every kept region below ``min_quality`` or ``min_semantics``; the rest is unchanged.

    ``semantics``: by (canvas, region). Raises :class:`MosaicFusionError` for a region without the value that is compared.
    """
    for record in records:
        judged = (_by_quality(region, record.index, output.min_quality) for region in record.regions)
        regions = (
            _by_semantics(region, record.index, (semantics or {}).get((record.index, k)), output.min_semantics)
            for k, region in enumerate(judged)
        )
        yield replace(record, regions=tuple(regions))


def _by_quality(region: RegionRecord, index: int, threshold: float) -> RegionRecord:
    if threshold == 0 or not region.kept:
        return region
    if region.quality is None:
        raise MosaicFusionError(
            f"canvas {index} holds a mask without a quality (an earlier version generated it), so "
            f"min_quality={threshold} cannot be applied; use --min-quality 0"
        )
    if region.quality >= threshold:
        return region
    return replace(
        region, reason=RejectionReason.LOW_QUALITY.value, values={"quality": region.quality, "min_quality": threshold}
    )


def _by_semantics(
    region: RegionRecord, index: int, judgement: RegionSemantics | None, threshold: float
) -> RegionRecord:
    """By the probability in the vocabulary: unlike the score, one threshold means the same for all categories and models."""
    if threshold == 0 or not region.kept:
        return region
    if judgement is None:
        raise MosaicFusionError(
            f"canvas {index} was not judged by CLIP, so min_semantics={threshold} cannot be applied; run "
            "`mosaicfusion semantics` on the run first, or use --min-semantics 0"
        )
    if judgement.probability >= threshold:
        return region
    values = {"probability": judgement.probability, "rank": judgement.rank, "min_semantics": threshold}
    return replace(region, reason=RejectionReason.WRONG_OBJECT.value, values=values)
