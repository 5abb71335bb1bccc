"""Choosing what of a run is in its data set, when it is compiled: by thresholds, and by the verdicts of people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mosaicfusion.categories import Category
from mosaicfusion.config import OutputSettings
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks.rejection import RejectionReason
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord
from mosaicfusion.run.reviews import Reviews, Verdict
from mosaicfusion.run.semantics import BackgroundSemantics, RegionSemantics, read_background, read_semantics


def thresholds_of(output: OutputSettings) -> str:
    """The thresholds in force as options, such as ``--min-quality 0.9``; empty if there are none."""
    values = {
        "--min-quality": output.min_quality,
        "--min-semantics": output.min_semantics,
        "--mark-background": output.mark_background,
    }
    return ", ".join(f"{name} {value:g}" for name, value in values.items() if value)


def accepted(run: RunFolder, output: OutputSettings | None = None) -> Iterator[CanvasRecord]:
    """The records of a run as its data set has them.

    Regions below the thresholds of ``output``, or of the run's own settings, have a rejection, unless a person accepted them. So
    have those that a person rejected; others have the category that a person gave them. Categories that CLIP finds on the
    background are ``unlabelled``.
    """
    output, reviews = output or run.manifest.output, Reviews.read(run.path)
    records = reject_below(run.records(), output, read_semantics(run.path) if output.min_semantics else None, reviews)
    if output.mark_background:
        records = mark_background(records, output.mark_background, read_background(run.path))
    return apply_reviews(records, reviews, {category.id: category for category in run.categories})


def mark_background(
    records: Iterable[CanvasRecord], threshold: float, background: Mapping[int, BackgroundSemantics] | None
) -> Iterator[CanvasRecord]:
    """The records with the categories that CLIP finds on their backgrounds with a probability of ``threshold`` or more.

    ``background``: by canvas. Raises :class:`MosaicFusionError` for a canvas that was not searched.
    """
    for record in records:
        searched = (background or {}).get(record.index)
        if searched is None and record.file_name is not None:
            raise MosaicFusionError(
                f"the background of canvas {record.index} was not searched by CLIP, so mark_background={threshold} cannot be "
                "applied; run `mosaicfusion semantics` on the run first, or use --mark-background 0"
            )
        found = searched.found if searched else ()
        yield replace(record, unlabelled=tuple(one.category_id for one in found if one.probability >= threshold))


def reject_below(
    records: Iterable[CanvasRecord],
    output: OutputSettings,
    semantics: Mapping[tuple[int, int], RegionSemantics] | None = None,
    reviews: Reviews | None = None,
) -> Iterator[CanvasRecord]:
    """The records with a rejection on every kept region below ``min_quality`` or ``min_semantics``; the rest is unchanged.

    ``semantics``: by (canvas, region). ``reviews``: what a person accepted stays. Raises :class:`MosaicFusionError` for a region
    without the value that is compared.
    """
    for record in records:
        judged = (_by_quality(region, record.index, output.min_quality) for region in record.regions)
        regions = tuple(
            _by_semantics(region, record.index, (semantics or {}).get((record.index, k)), output.min_semantics)
            for k, region in enumerate(judged)
        )
        if reviews:
            regions = tuple(
                before if _is_accepted(reviews, record.index, k) else after
                for k, (before, after) in enumerate(zip(record.regions, regions, strict=True))
            )
        yield replace(record, regions=regions)


def apply_reviews(
    records: Iterable[CanvasRecord], reviews: Reviews, categories: Mapping[int, Category]
) -> Iterator[CanvasRecord]:
    """The records with the verdicts of people: rejections, and other categories, of ``categories`` by id."""
    for record in records:
        if not reviews:
            yield record
            continue
        canvas = reviews.on(record.index, None)
        regions = tuple(
            _reviewed(region, reviews.on(record.index, k) or canvas, categories)
            for k, region in enumerate(record.regions)
        )
        yield replace(record, regions=regions)


def _is_accepted(reviews: Reviews, canvas: int, region: int) -> bool:
    verdict = reviews.on(canvas, region) or reviews.on(canvas, None)
    return verdict is not None and verdict.verdict in ("accept", "relabel")


def _reviewed(region: RegionRecord, verdict: Verdict | None, categories: Mapping[int, Category]) -> RegionRecord:
    if verdict is None or not region.kept:
        return region
    if verdict.verdict == "reject":
        return replace(region, reason=RejectionReason.REVIEWED.value, values={})
    if verdict.verdict == "wrong_mask":
        return replace(region, reason=RejectionReason.WRONG_MASK.value, values={})
    category = categories.get(-1 if verdict.category_id is None else verdict.category_id)
    if verdict.verdict == "relabel" and category is not None:
        return replace(region, category_id=category.id, category=category.name)
    return region


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
