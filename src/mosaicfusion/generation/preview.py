"""What a job would generate, without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.categories import Selection
from mosaicfusion.config import OutputSettings, RunConfig
from mosaicfusion.diffusion.registry import family_of
from mosaicfusion.generation.amount import Amount, grow
from mosaicfusion.generation.build_dataset import Aim, Summary, summarize
from mosaicfusion.generation.canvas_sampler import make_plan
from mosaicfusion.generation.real_set import with_real_set
from mosaicfusion.generation.references import with_references
from mosaicfusion.layouts.geometry import Region
from mosaicfusion.models.hub import is_folder
from mosaicfusion.models.pipeline_folder import takes_guidance
from mosaicfusion.mosaic.plan import CanvasSpec, Plan
from mosaicfusion.mosaic.prompts import render
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.manifest import Manifest, ModelIdentity, RunCategories

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
    """A job before it is started: the canvases that are still to be generated.

    ``canvases``: their number; where a number of instances is wanted, those that suffice if masks are kept as before, or at
    first all. ``existing``: canvases that the run has. ``objects``: requested objects, exact up to 256 canvases, else estimated;
    as are ``megabytes``, on disk, and ``unet_calls``, evaluations of a single region by the U-Net. ``background_calls``: those
    of whole canvases, for layouts with a background. ``aims``: see :class:`Summary`. ``first``: by number of the canvas, the
    regions of the first ones, which the job will generate exactly so.
    """

    canvases: int
    existing: int
    objects: int
    megabytes: float
    unet_calls: int
    background_calls: int
    aims: dict[str, Aim]
    first: dict[int, list[PlannedRegion]]


def preview(
    selection: Selection,
    config: RunConfig,
    amount: Amount,
    *,
    existing: RunFolder | None = None,
    output: OutputSettings | None = None,
    latent_factor: int | None = None,
    show: int = 3,
) -> Preview:
    """Plan a job.

    ``existing``: a run that it continues; ``output``: the settings of its data set that are to change. ``latent_factor``: pixels
    of the image per latent cell, by default those of the model's family, and 8 for a model that is in no folder here. ``show``:
    number of canvases in ``first``. Raises :class:`MosaicFusionError` for a layout that does not fit, and if ``existing`` is
    another run.
    """
    config, _ = with_references(with_real_set(config, selection), selection)
    usual, halves = _of_model(config)
    latent_factor = latent_factor or usual
    config.layout.check(latent_factor)
    manifest, done, summary = _begun(selection, config, existing, output)
    manifest = grow(manifest, amount, summary if done.all() else None)
    plan = make_plan(manifest, latent_factor)
    gaps = np.flatnonzero(~done)
    total = len(gaps) + manifest.total - len(done)
    stride = max(1, total // _SAMPLED)
    numbers = [_missing(gaps, len(done), k) for k in range(0, total, stride)]
    specs = [plan.spec(index) for index in numbers]
    share = total / len(specs) if specs else 0
    objects = round(sum(len(spec.categories) for spec in specs) * share)
    pixels = sum(spec.canvas.delivered_hw[0] * spec.canvas.delivered_hw[1] for spec in specs) * share
    backgrounds = total if any(spec.canvas.blend.background > 0 for spec in specs) else 0
    calls = config.sampling.steps * (2 if config.sampling.guidance > 1 and halves else 1)  # of a region
    first = [_missing(gaps, len(done), k) for k in range(min(show, total))]
    return Preview(
        canvases=total,
        existing=int(done.sum()),
        objects=objects,
        megabytes=pixels * _BYTES_PER_PIXEL / 1e6,
        unet_calls=objects * calls,
        background_calls=backgrounds * calls,
        aims=amount.aims(plan, manifest.counts, _missing_of_each(plan, manifest.counts, done), summary),
        first={index: _planned(plan.spec(index)) for index in first},
    )


def _of_model(config: RunConfig) -> tuple[int, bool]:
    """Pixels of the image per latent cell of the model, and if guidance takes two halves of a batch."""
    folder = Path(config.model)
    return (family_of(folder).cell_px, not takes_guidance(folder)) if is_folder(folder) else (8, True)


def _begun(
    selection: Selection, config: RunConfig, existing: RunFolder | None, output: OutputSettings | None
) -> tuple[Manifest, NDArray[np.bool_], Summary | None]:
    """The run as it is, the canvases that it has, bool (canvases,), and their counts."""
    digest = existing.manifest.model.digest if existing else ""  # that of the model would take its weights
    manifest = Manifest(
        config=config,
        categories=RunCategories(main=tuple(selection.main), partners=tuple(selection.partners)),
        model=ModelIdentity(digest=digest),
        canvases_per_category=0,
    )
    if existing is None:
        return manifest, np.zeros(0, np.bool_), None
    if config.sampling.dtype == "auto":
        sampling = config.sampling.model_copy(update={"dtype": existing.manifest.config.sampling.dtype})
        manifest = manifest.model_copy(update={"config": config.model_copy(update={"sampling": sampling})})
    existing.check_same(manifest)
    done = existing.done()
    for part in existing.without_image():
        done[part] = False
    compiled = existing.with_output(existing.manifest.output.updated(output))
    return manifest.with_canvases_of(existing.manifest), done, summarize(compiled)


def _missing(gaps: NDArray[np.intp], planned: int, position: int) -> int:
    """Number of a canvas that is to be generated: one of the ``gaps`` among the ``planned`` ones, or a new one."""
    return int(gaps[position]) if position < len(gaps) else planned + position - len(gaps)


def _missing_of_each(plan: Plan, counts: Sequence[int], done: NDArray[np.bool_]) -> list[int]:
    """Number of canvases that do not exist, for each main category; ``counts``: of those that are to exist."""
    existing = Counter(map(plan.main_position, np.flatnonzero(done).tolist()))
    return [planned - existing[k] for k, planned in enumerate(counts)]


def _planned(spec: CanvasSpec) -> list[PlannedRegion]:
    return [
        PlannedRegion(
            category.name,
            render(template, category.display_name, category.definition_or_qualifier, background)[0],
            region,
        )
        for category, background, template, region in zip(
            spec.categories, spec.backgrounds, spec.templates, spec.canvas.regions, strict=True
        )
    ]
