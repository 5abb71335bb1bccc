"""The measurement of diversity: sample instances, extract the features of their crops, and compute every score."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.arguments import checked
from mosaicfusion.dataset.coco import CategoryRef, DatasetFile
from mosaicfusion.dataset.image_files import Folders, folders_of
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.dataset.reader import open_rows
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import as_path
from mosaicfusion.models.backbones import DEFAULT_FEATURES, Backbone, extract, load_backbone
from mosaicfusion.quality.crops import AnnotatedInstance, read_crops, sample_instances
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

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress

_MAX_PAIRS = 5000  # the distances between all of them take 200 MB

Features = NDArray[np.float32]


@dataclass(frozen=True)
class ImageSet:
    """A run folder, or an LVIS or COCO json, and one or several folders of its images, by default that of the json."""

    path: Path
    images: Folders | None = None

    @classmethod
    def of(cls, images: ImageSet | str | Path) -> ImageSet:
        """A set as it is, or that of a path."""
        return images if isinstance(images, ImageSet) else cls(as_path(images))

    def sample(
        self, data: DatasetFile, per_category: int, category_ids: Collection[int] | None = None
    ) -> list[AnnotatedInstance]:
        """Choose instances of ``data``, the open file; see :func:`sample_instances`."""
        return sample_instances(data, folders_of(self.path, self.images), per_category, category_ids)


@checked
def measure_diversity(
    synthetic: ImageSet | str | Path,
    backbone: Backbone | str = DEFAULT_FEATURES,
    against: ImageSet | str | Path | None = None,
    per_category: int = 100,
    mask_background: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> Diversity:
    """Measure the diversity of a synthetic set and its distance from a real one, ``against``.

    Sets are run folders, jsons beside their images, or an :class:`ImageSet`. ``backbone``: the model whose features are compared,
    or its name for :func:`mosaicfusion.models.backbones.load_backbone`. At most ``per_category``
    instances of each category are used. ``on_progress`` gets the number of crops that were read, and of all. Raises
    :class:`MosaicFusionError` for unreadable files and for fewer than :data:`MIN_INSTANCES` instances.
    """
    synthetic, against = ImageSet.of(synthetic), None if against is None else ImageSet.of(against)
    backbone = load_backbone(backbone) if isinstance(backbone, str) else backbone
    data = open_rows(synthetic.path)
    instances = synthetic.sample(data, per_category)
    if len(instances) < MIN_INSTANCES:
        raise MosaicFusionError(
            f"{synthetic.path} holds {len(instances)} instances; at least {MIN_INSTANCES} can be compared"
        )
    names, real_instances = _matching_instances(data, instances, against, per_category) if against else ({}, [])
    total = len(instances) + len(real_instances)

    def features_of(some: Sequence[AnnotatedInstance], before: int) -> Features:
        crops = read_crops(some, backbone.side_px, mask_background)
        return extract(backbone, crops, on_progress=lambda done: on_progress(before + done, total))

    features = features_of(instances, 0)
    groups = _by_category(instances, features)
    real = _by_category(real_instances, features_of(real_instances, len(instances))) if real_instances else {}
    matched = {name: real[names[name]] for name in groups if names.get(name) in real}
    pairs = [(groups[name], real_group) for name, real_group in matched.items()]
    count = sum(min(len(a), len(b)) for a, b in pairs)
    return Diversity(
        features=backbone.name,
        mask_background=mask_background,
        per_category=per_category,
        instances=len(instances),
        vendi=vendi_score(features),
        distance=mean_cosine_distance(features),
        categories=tuple(_category(name, groups[name], matched.get(name)) for name in sorted(groups)),
        against=against.path.name if against else None,
        pairs=count,
        gap=_gap(pairs) if count >= MIN_PAIRS else None,
        unmatched=tuple(sorted(groups.keys() - names.keys())) if against else (),
    )


def _matching_instances(
    data: DatasetFile, instances: Sequence[AnnotatedInstance], against: ImageSet, per_category: int
) -> tuple[dict[str, str], list[AnnotatedInstance]]:
    """The real set's names of the categories of ``instances``, and a sample of the real instances of these categories."""
    real_data = open_rows(against.path)
    present = {instance.category for instance in instances}
    matched = {name: other for name, other in match_categories(data, real_data).items() if name in present}
    category_ids = {other.id for other in matched.values()}
    real = against.sample(real_data, per_category, category_ids)
    return {name: other.name for name, other in matched.items()}, real


def match_categories(data: DatasetFile, real: DatasetFile) -> dict[str, CategoryRef]:
    """Category names of a set -> the same categories of a real set, by the rules of merging; without new and ambiguous ones."""
    matcher = Matcher(real.parse("categories", list[CategoryRef]))
    matches = {category.name: matcher.find(category) for category in data.parse("categories", list[CategoryRef])}
    return {name: others[0] for name, others in matches.items() if len(others) == 1}


class _Group:
    """Features of one category, and the image of each, in random order."""

    def __init__(self, features: Features, images: Sequence[str]) -> None:
        order = np.random.default_rng(0).permutation(len(features))
        self.features = features[order]
        self.images = [images[k] for k in order]

    def __len__(self) -> int:
        return len(self.images)


def _by_category(instances: Sequence[AnnotatedInstance], features: Features) -> dict[str, _Group]:
    rows: dict[str, list[int]] = {}
    for row, instance in enumerate(instances):
        rows.setdefault(instance.category, []).append(row)
    return {name: _Group(features[some], [str(instances[row].image) for row in some]) for name, some in rows.items()}


def _category(name: str, group: _Group, real: _Group | None) -> CategoryDiversity:
    enough = len(group) >= MIN_INSTANCES
    return CategoryDiversity(
        category=name,
        instances=len(group),
        vendi=vendi_score(group.features) if enough else None,
        distance=mean_cosine_distance(group.features) if enough else None,
        against=_category_gap(group, real) if real is not None else None,
    )


def _category_gap(synthetic: _Group, real: _Group) -> CategoryGap | None:
    count = min(len(synthetic), len(real))
    if count < MIN_INSTANCES:
        return None
    return CategoryGap(
        instances=count,
        vendi_synthetic=vendi_score(synthetic.features[:count]),
        vendi_real=vendi_score(real.features[:count]),
        distance_real=mean_cosine_distance(real.features),
        kid=kid(real.features, synthetic.features),
    )


def _gap(pairs: Sequence[tuple[_Group, _Group]]) -> Gap:
    """The gap between synthetic and real groups; each pair contributes equally many of both."""
    counts = [min(len(a), len(b)) for a, b in pairs]
    order = np.random.default_rng(0).permutation(sum(counts))[:_MAX_PAIRS]  # of both, so that categories stay paired

    def equal_numbers(side: int) -> tuple[Features, list[str]]:
        groups = [(pair[side], count) for pair, count in zip(pairs, counts, strict=True)]
        images = [image for group, count in groups for image in group.images[:count]]
        return np.concatenate([group.features[:count] for group, count in groups])[order], [images[k] for k in order]

    synthetic, synthetic_images = equal_numbers(0)
    real, real_images = equal_numbers(1)
    half = len(order) // 2
    precision, recall = precision_recall(real, synthetic)
    return Gap(
        pairs=len(order),
        fid=(fid(real[:half], synthetic[half:]) + fid(real[half:], synthetic[:half])) / 2,
        fid_floor=fid(real[:half], real[half:]),
        kid=kid(real, synthetic),
        precision=precision,
        recall=recall,
        classifier=classifier_accuracy(real, synthetic, real_images, synthetic_images),
    )
