"""The set that is exported: as it is, in the categories of another json, or with a validation set of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import msgspec

from mosaicfusion.config import Policy
from mosaicfusion.dataset.coco import CATEGORY_LISTS, CategoryRef, DatasetFile, Record, Remark, json_of
from mosaicfusion.dataset.counts import Counts, Samples
from mosaicfusion.dataset.image_files import Folders
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.dataset.reader import Dataset, open_dataset
from mosaicfusion.dataset.sample import Sample
from mosaicfusion.dataset.text import read_text
from mosaicfusion.errors import MosaicFusionError, counted, first_few, option_renamed


def open_source(
    source: Path | str,
    images: Folders | None = None,
    policy: Policy | None = None,
    *,
    categories: Path | str | None = None,
    val: Path | str | None = None,
    val_images: Folders | None = None,
) -> Dataset:
    """Open a set with its images, and check them.

    ``categories``: a json whose categories the result has, all and with their ids. ``val``: a second set, whose samples come last
    and have ``own_val``. Categories match as in a merge. Raises :class:`MosaicFusionError` for a category that has no match.
    """
    dataset = open_dataset(source, images, policy, check_images=True)
    if categories is not None:
        path = json_of(categories)
        file = DatasetFile.from_bytes(path, read_text(path), needed=("categories",))
        records = file.parse("categories", list[Record])
        dataset = _with(dataset, _renamed(dataset, records, path), records)
    if val is not None:
        with option_renamed("--images", "--val-images"):
            second = open_dataset(val, val_images, check_images=True)
        samples = _beside(dataset, _renamed(second, dataset.categories, dataset.path))
        dataset = _with(dataset, samples, dataset.categories, second.remarks)
    return dataset


def _with(dataset: Dataset, samples: Samples, categories: list[Record], remarks: Sequence[Remark] = ()) -> Dataset:
    """The set with other samples and categories, the counts of these, and more remarks."""
    counts, remarks = Counts.of(samples), [*dataset.remarks, *remarks]
    return replace(dataset, samples=samples, categories=counts.categories(categories), counts=counts, remarks=remarks)


def _renamed(dataset: Dataset, records: list[Record], path: Path) -> Samples:
    """The samples of a set with the ids of the categories ``records`` of another one, ``path``."""
    matcher = Matcher(msgspec.convert(records, list[CategoryRef]))
    ids, new = matcher.ids(dataset.categories_in_use, str(dataset.path))
    if new:
        names = first_few([repr(category.name) for category in new])
        raise MosaicFusionError(f"{dataset.path} has {counted(len(new), 'category')} that {path} lacks: {names}")
    return lambda: (_with_ids(sample, ids) for sample in dataset)


def _with_ids(sample: Sample, ids: Mapping[int, int]) -> Sample:
    lists = {key: sorted({ids[id_] for id_ in sample.record[key]}) for key in CATEGORY_LISTS if sample.record.get(key)}
    annotations = [{**row, "category_id": ids[row["category_id"]]} for row in sample.annotation_records]
    return replace(sample, record={**sample.record, **lists}, annotation_records=annotations)


def _beside(dataset: Dataset, val: Samples) -> Samples:
    """The samples of a set, then those of its validation set, whose image ids are moved up where both have one."""
    taken = {sample.id for sample in dataset}
    offset = max(taken) if taken & {sample.id for sample in val()} else 0

    def moved() -> Iterator[Sample]:
        for sample in val():
            yield replace(sample, record={**sample.record, "id": sample.id + offset}, own_val=True)

    return lambda: chain(dataset, moved())
