"""Training sets: the samples of an annotation file with a recipe's augmentation and repeat factors."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from mosaicfusion.arguments import checked
from mosaicfusion.dataset.coco import json_of
from mosaicfusion.dataset.image_files import Folders
from mosaicfusion.detectors.config import DataConfig, Recipe, as_recipe
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.data.copy_paste import CopyPaste
from mosaicfusion.detectors.data.dataset import DetectionDataset
from mosaicfusion.detectors.data.mosaic_augmentation import Mosaic
from mosaicfusion.detectors.data.pasting import Pasting, open_rule
from mosaicfusion.detectors.data.samples import SampleSet, Transform
from mosaicfusion.detectors.data.sampling import repeat_factors, with_share
from mosaicfusion.detectors.data.transforms import large_scale_jitter, short_side
from mosaicfusion.errors import counted, first_few
from mosaicfusion.files.remote import as_path

if TYPE_CHECKING:
    from mosaicfusion.pasting.rule import PasteRule
    from mosaicfusion.progress import OnProgress


@dataclass(frozen=True)
class TrainingSet:
    """Samples for training.

    ``factors``: float64 (samples,), expected repeats per epoch; ``image_counts``: images of each class, by label from 1 on;
    ``synthetic_share``: expected part of the samples that is synthetic;
    ``digest``: 16 hex digits over the annotations, those of a pool too, and the missing images, to resume a training with the
    same set only; ``left_out``: number of images and annotations left out, by reason; ``notes``: what was read as something else.
    """

    samples: SampleSet
    classes: ClassList
    factors: NDArray[np.float64]
    image_counts: Sequence[int]
    synthetic_share: float
    digest: str
    left_out: dict[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()


@checked
def open_training_set(
    config: DataConfig | Recipe | Mapping[str, Any] | str | Path,
    path: str | Path,
    images: Folders | None = None,
    skip_missing: bool = False,
    on_progress: OnProgress | None = None,
) -> TrainingSet:
    """Open a run folder, or an LVIS or COCO json with its images in one or several folders, by default that of the json.

    ``config``: that of a recipe, or the recipe itself, its name or its file. Raises :class:`MosaicFusionError` if the set cannot
    be used.
    """
    config = config if isinstance(config, DataConfig) else as_recipe(config).data
    path, transform = as_path(path), training_transform(config)
    base = DetectionDataset(
        path,
        images,
        None if config.mosaic or config.pool else transform,
        skip_missing=skip_missing,
        skip_empty=True,
        ignore_edge=config.ignore_edge,
        on_progress=on_progress,
    )
    factors = repeat_factors(base.labels(), config.repeat_threshold)
    if config.synthetic_share is not None:
        factors = with_share(factors, base.synthetic(), config.synthetic_share, str(path))
    rule = open_rule(base, config) if config.pool else None
    image_counts = base.image_counts
    if rule is not None:  # no class is without a training image that is pasted
        image_counts[rule.ids] = np.maximum(image_counts[rule.ids], 1)
    return TrainingSet(
        _augmented(base, config, rule, torch.from_numpy(factors), transform),
        base.classes,
        factors,
        image_counts[1:].tolist(),
        float(factors[base.synthetic()].sum() / factors.sum()),
        _digest([path, *map(as_path, config.pool)], base),
        dict(base.left_out + _left_out(rule)),
        [*base.notes, *_notes(rule)],
    )


def _augmented(
    base: DetectionDataset, config: DataConfig, rule: PasteRule | None, weights: torch.Tensor, transform: Transform
) -> SampleSet:
    """What is done with the samples of ``base``, which has the transform itself if nothing comes before it."""
    samples: SampleSet = base
    if rule is not None:
        samples = Pasting(base, rule, config.paste_probability, None if config.mosaic else transform)
    if config.mosaic:
        side = config.jitter_side_px if config.resize == "large_scale_jitter" else max(config.train_sides_px)
        samples = Mosaic(samples, side, transform, weights=weights)
    return CopyPaste(samples, weights=weights) if config.copy_paste else samples


def _left_out(rule: PasteRule | None) -> Counter[str]:
    found = {} if rule is None else rule.pool.left_out
    return Counter({f"of data.pool, {reason}": count for reason, count in found.items()})


def _notes(rule: PasteRule | None) -> list[str]:
    if rule is None:
        return []
    held = sum(map(len, rule.pool.instances.values()))
    unknown = first_few(rule.pool.unmatched, 10)
    return [
        f"data.pool holds {counted(held, 'instance')} of {len(rule.ids)} of the set's categories"
        + (f"; not in the set, and left out: {unknown}" if unknown else "")
    ]


def _digest(sources: Sequence[Path], base: DetectionDataset) -> str:
    digest = hashlib.sha256()
    for path in map(json_of, sources):
        files = [path / "run.json", *sorted((path / "parts").glob("part-*.jsonl"))] if path.is_dir() else [path]
        for each in files:
            with each.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    if base.missing:  # the set also depends on the images on disk
        digest.update(repr(sorted(base.missing)).encode())
    return digest.hexdigest()[:16]


def training_transform(config: DataConfig) -> Transform:
    """Resizing and flipping of a recipe."""
    if config.resize == "large_scale_jitter":
        return large_scale_jitter(config.jitter_side_px, config.jitter_scale, config.flip)
    return short_side(config.train_sides_px, config.max_side_px, config.flip)
