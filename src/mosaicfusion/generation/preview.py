"""What a job would generate, without a model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mosaicfusion.categories import Selection
from mosaicfusion.config import RunConfig
from mosaicfusion.generation.amount import Amount
from mosaicfusion.generation.real_sizes import with_real_sizes
from mosaicfusion.layouts.geometry import Region
from mosaicfusion.mosaic.plan import CanvasSpec, Plan, main_order
from mosaicfusion.mosaic.prompts import render

_SAMPLED = 256  # canvases that the means are taken over
_BYTES_PER_PIXEL = 0.5  # JPEGs of quality 95, as measured on the bundled model


@dataclass(frozen=True)
class PlannedRegion:
    """A region of a planned canvas: its category, its prompt before the tokenizer shortens it, its place in pixels."""

    category: str
    prompt: str
    region: Region


@dataclass(frozen=True)
class Preview:
    """A job before it is started.

    ``canvases``: of the whole run; where a number of instances is wanted, those that suffice if all masks are kept.
    ``objects``: requested objects, exact up to 256 canvases, else estimated; as are ``megabytes``, on disk, and ``unet_calls``,
    evaluations of a single region by the U-Net. ``per_category``: canvases of each main category. ``first``: the regions of the
    first canvases, which the job will generate exactly so.
    """

    canvases: int
    objects: int
    megabytes: float
    unet_calls: int
    per_category: dict[str, int]
    first: list[list[PlannedRegion]]


def preview(
    selection: Selection, config: RunConfig, amount: Amount, *, latent_factor: int = 8, show: int = 3
) -> Preview:
    """Plan a job.

    ``latent_factor``: pixels of the image per latent cell, 8 in all published models of the families. ``show``: number of
    canvases in ``first``. Raises :class:`MosaicFusionError` for a layout that does not fit.
    """
    config = with_real_sizes(config, selection)
    config.layout.check(latent_factor)
    plan = Plan(config, tuple(selection.main), tuple(selection.partners), latent_factor)
    counts = amount.counts(plan, (0,) * len(plan.main), None)
    plan, total = replace(plan, extra=tuple(main_order([counts]).tolist())), sum(counts)
    stride = max(1, total // _SAMPLED)
    specs = [plan.spec(index) for index in range(0, total, stride)]
    objects = round(sum(len(spec.categories) for spec in specs) / len(specs) * total)
    pixels = sum(spec.canvas.hw_px[0] * spec.canvas.hw_px[1] for spec in specs) / len(specs) * total
    guided = 2 if config.sampling.guidance > 1 else 1
    return Preview(
        canvases=total,
        objects=objects,
        megabytes=pixels * _BYTES_PER_PIXEL / 1e6,
        unet_calls=objects * config.sampling.steps * guided,
        per_category={category.name: count for category, count in zip(plan.main, counts, strict=True)},
        first=[_planned(plan.spec(index), config) for index in range(min(show, total))],
    )


def _planned(spec: CanvasSpec, config: RunConfig) -> list[PlannedRegion]:
    return [
        PlannedRegion(
            category.name,
            render(config.prompt.template, category.display_name, category.definition_or_qualifier, background)[0],
            region,
        )
        for category, background, region in zip(spec.categories, spec.backgrounds, spec.canvas.regions, strict=True)
    ]
