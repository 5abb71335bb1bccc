"""The diversity of a data set by category, alone and against a real set: crops -> features -> figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.dataset.coco import CategoryRef, DatasetFile
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.backbones import Backbone, extract
from mosaicfusion.quality.crops import Instance, read_crops, sample_instances
from mosaicfusion.quality.diversity import (
    MIN_INSTANCES,
    MIN_PAIRS,
    CategoryDiversity,
    CategoryGap,
    Diversity,
    Gap,
    mean_cosine_distance,
    vendi_score,
)
from mosaicfusion.quality.domain_gap import classifier_accuracy, fid, kid, precision_recall

_MAX_PAIRS = 5000  # distances between all pairs: 200 MB

Features = NDArray[np.float32]


@dataclass(frozen=True)
class ImageSet:
    """An LVIS or COCO json and the folder of its images."""

    json: Path
    images: Path


def measure(
    drawn: ImageSet,
    backbone: Backbone,
    against: ImageSet | None = None,
    per_category: int = 100,
    mask_background: bool = False,
    on_progress: Callable[[float, int], None] = lambda done, total: None,
) -> Diversity:
    """Diversity of a drawn set, and its distance from a real one; at most ``per_category`` instances of each category.

    ``on_progress`` gets the crops read and in all. Raises :class:`MosaicFusionError` for bad files and empty sets.
    """
    data = DatasetFile.open(drawn.json)
    instances = sample_instances(data, drawn.images, per_category)
    if len(instances) < MIN_INSTANCES:
        raise MosaicFusionError(
            f"{drawn.json} holds {len(instances)} instances; at least {MIN_INSTANCES} can be compared"
        )
    real: list[Instance] = []
    names: dict[str, str] = {}
    if against:
        real_data = DatasetFile.open(against.json)
        present = {instance.category for instance in instances}
        matched = match_categories(data, real_data)
        names = {name: other.name for name, other in matched.items() if name in present}
        real = sample_instances(real_data, against.images, per_category, {matched[name].id for name in names})
    total = len(instances) + len(real)

    def features_of(some: Sequence[Instance], before: int) -> Features:
        crops = read_crops(some, backbone.side_px, mask_background)
        return extract(backbone, crops, on_progress=lambda done: on_progress(before + done, total))

    features = features_of(instances, 0)
    here = _by_category(instances, features)
    there: Mapping[str, _Group] = {}
    if real:
        there = _by_category(real, features_of(real, len(instances)))
    pairs = [(group, there[names[name]]) for name, group in here.items() if names.get(name) in there]
    count = sum(min(len(a), len(b)) for a, b in pairs)
    return Diversity(
        features=backbone.name,
        mask_background=mask_background,
        per_category=per_category,
        instances=len(instances),
        vendi=vendi_score(features),
        distance=mean_cosine_distance(features),
        categories=tuple(_category(name, here[name], there.get(names.get(name, ""))) for name in sorted(here)),
        against=against.json.name if against else None,
        pairs=count,
        gap=_gap(pairs) if count >= MIN_PAIRS else None,
        unmatched=tuple(sorted(here.keys() - names.keys())) if against else (),
    )


def match_categories(data: DatasetFile, real: DatasetFile) -> dict[str, CategoryRef]:
    """Names of a set's categories -> those of a real set; new and ambiguous ones are left out, as merging tells them."""
    matcher = Matcher(real.parse("categories", list[CategoryRef]))
    found = {category.name: matcher.find(category) for category in data.parse("categories", list[CategoryRef])}
    return {name: others[0] for name, others in found.items() if len(others) == 1}


class _Group:
    """Features of one category with the images that they come from, in a random order."""

    def __init__(self, features: Features, images: Sequence[str]) -> None:
        order = np.random.default_rng(0).permutation(len(features))
        self.features = features[order]
        self.images = [images[k] for k in order]

    def __len__(self) -> int:
        return len(self.images)


def _by_category(instances: Sequence[Instance], features: Features) -> dict[str, _Group]:
    rows: dict[str, list[int]] = {}
    for row, instance in enumerate(instances):
        rows.setdefault(instance.category, []).append(row)
    return {name: _Group(features[some], [str(instances[row].image) for row in some]) for name, some in rows.items()}


def _category(name: str, here: _Group, there: _Group | None) -> CategoryDiversity:
    enough = len(here) >= MIN_INSTANCES
    return CategoryDiversity(
        category=name,
        instances=len(here),
        vendi=vendi_score(here.features) if enough else None,
        distance=mean_cosine_distance(here.features) if enough else None,
        against=_category_gap(here, there) if there is not None else None,
    )


def _category_gap(here: _Group, there: _Group) -> CategoryGap | None:
    count = min(len(here), len(there))
    if count < MIN_INSTANCES:
        return None
    return CategoryGap(
        instances=count,
        vendi_synthetic=vendi_score(here.features[:count]),
        vendi_real=vendi_score(there.features[:count]),
        distance_real=mean_cosine_distance(there.features),
        kid=kid(there.features, here.features),
    )


def _gap(pairs: Sequence[tuple[_Group, _Group]]) -> Gap:
    counts = [min(len(a), len(b)) for a, b in pairs]
    drawn, real = (
        np.concatenate([pair[side].features[:n] for pair, n in zip(pairs, counts, strict=True)]) for side in (0, 1)
    )
    drawn_images, real_images = (
        [image for pair, n in zip(pairs, counts, strict=True) for image in pair[side].images[:n]] for side in (0, 1)
    )
    order = np.random.default_rng(0).permutation(len(drawn))[:_MAX_PAIRS]  # the same rows, so categories stay paired
    drawn, real = drawn[order], real[order]
    half = len(order) // 2
    precision, recall = precision_recall(real, drawn)
    return Gap(
        pairs=len(order),
        fid=(fid(real[:half], drawn[half:]) + fid(real[half:], drawn[:half])) / 2,
        fid_floor=fid(real[:half], real[half:]),
        kid=kid(real, drawn),
        precision=precision,
        recall=recall,
        classifier=classifier_accuracy(real, drawn, [real_images[k] for k in order], [drawn_images[k] for k in order]),
    )
