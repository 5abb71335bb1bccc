"""Reading a run folder or an LVIS or COCO json image by image, the one way for merging, exporting and judging."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.arguments import checked
from mosaicfusion.config import MaskFormat, Policy
from mosaicfusion.dataset.coco import (
    CATEGORY_LISTS,
    AnnotationRef,
    CategoryRef,
    CompleteAnnotation,
    DatasetFile,
    ImageRef,
    ImageRow,
    Record,
    Remark,
    find_image,
    json_of,
    path_fault,
    require_known,
    require_unique,
)
from mosaicfusion.dataset.counts import Counts, Samples
from mosaicfusion.dataset.image_files import Folders, folders_of
from mosaicfusion.dataset.lvis import category_records, lvis_entries, lvis_head, write_lvis
from mosaicfusion.dataset.mend import mended_values
from mosaicfusion.dataset.sample import Sample
from mosaicfusion.dataset.thresholds import accepted
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.notebook import ShownInNotebooks
from mosaicfusion.run.folder import RunFolder


@dataclass(frozen=True)
class Dataset(ShownInNotebooks):
    """A data set that can be read image by image, any number of times.

    ``folders``: those of the images. ``head``: ``info`` and ``licenses``. ``categories``: LVIS records by id, with
    ``image_count`` and ``instance_count``. ``masks``: the mask format that a run was last compiled with; ``None`` for a json,
    which may hold both. ``remarks``: what was read as something else.
    """

    path: Path
    folders: Sequence[Path]
    head: Record
    categories: list[Record]
    samples: Samples
    counts: Counts
    masks: MaskFormat | None = None
    remarks: Sequence[Remark] = ()

    @property
    def name(self) -> str:
        """Name of the run folder or the json."""
        return self.path.resolve().name.removesuffix(".gz").removesuffix(".json")

    @property
    def images(self) -> int:
        """Number of images."""
        return self.counts.images

    @property
    def instances(self) -> int:
        """Number of annotations."""
        return self.counts.by_instance.total()

    @property
    def categories_in_use(self) -> list[CategoryRef]:
        """The categories that an annotation or an image's list names."""
        return [msgspec.convert(one, CategoryRef) for one in self.categories if one["id"] in self.counts.used]

    def __iter__(self) -> Iterator[Sample]:
        return self.samples()

    @cached_property
    def index_of(self) -> dict[int, int]:
        """Category id -> index of the category, from 0 without gaps."""
        return {category["id"]: index for index, category in enumerate(self.categories)}


@checked
def open_dataset(
    source: str | Path,
    images: Folders | None = None,
    policy: Policy | None = None,
    masks: MaskFormat = "rle",
    *,
    check_images: bool = False,
    allow_empty: bool = False,
) -> Dataset:
    """Open a run folder, or a json whose images are in the folders ``images``, by default beside it.

    ``policy``: see :class:`mosaicfusion.config.OutputSettings`; that of the run if left out. ``masks``: the format of a run's
    masks. ``check_images``: refuse missing images, and images of another size than their record says. Runs are read part by
    part, however long they are. Raises :class:`MosaicFusionError` for a damaged source, and for an empty one unless
    ``allow_empty``.
    """
    source = json_of(source)
    if source.is_dir():
        if images is not None:
            raise MosaicFusionError(f"{source} is a run folder and holds its images; leave out --images")
        return _open_run(RunFolder.open(source), policy, masks, check_images, allow_empty)
    if policy is not None:
        raise MosaicFusionError(f"--policy is for run folders, and {source} is none; leave it out")
    if images is None and not _has_images(source):
        raise MosaicFusionError(f"give the folder of the images of {source} with --images")
    return open_json(source, folders_of(source, images), check_images=check_images)


def _has_images(source: Path) -> bool:
    """True if the first image of a json lies beside it."""
    images = DatasetFile.open(source).parse("images", list[ImageRef])
    return bool(images) and find_image(source.parent, images[0]) is not None


def open_rows(source: str | Path) -> DatasetFile:
    """Open a json, or a run folder as if it were one, for readers that need all rows at once."""
    source = json_of(source)
    if not source.is_dir():
        return DatasetFile.open(source)
    run = RunFolder.open(source)
    output, data = run.manifest.output, BytesIO()
    write_lvis(data, accepted(run), run.categories, output.policy, output.masks)
    return DatasetFile.from_bytes(source, data.getvalue())


def _open_run(
    run: RunFolder, policy: Policy | None, masks: MaskFormat, check_images: bool, allow_empty: bool
) -> Dataset:
    policy = policy or run.manifest.output.policy

    def samples() -> Iterator[Sample]:
        return (Sample(*entry, [run.path]) for entry in lvis_entries(accepted(run), policy, masks))

    counts = Counts.checked(run.path, samples) if check_images else Counts.of(samples)
    if not counts.images and not allow_empty:
        hint = "; try --policy not_exhaustive" if policy == "drop" else ""
        raise MosaicFusionError(f"{run.path} holds no canvas that the policy {policy} accepts{hint}")
    categories = category_records(run.categories, counts.by_image, counts.by_instance)
    return Dataset(run.path, [run.path], lvis_head(), categories, samples, counts, run.manifest.output.masks)


def open_json(path: Path, folders: Sequence[Path], *, complete: bool = True, check_images: bool = False) -> Dataset:
    """Open an LVIS or COCO json whose images are in ``folders``; takes as much memory as the file has bytes.

    ``complete``: images need a size and annotations a box, an area and a mask, else both may lack them. Raises
    :class:`MosaicFusionError` for a truncated file, ids that are not unique or not known, and (when an image is read) for
    incomplete annotations.
    """
    file = DatasetFile.open(path)
    images: Sequence[ImageRef] = (
        file.parse("images", list[ImageRow]) if complete else file.parse("images", list[ImageRef])
    )
    categories = file.parse("categories", list[CategoryRef])
    require_unique(path, "images", (image.id for image in images))
    require_unique(path, "categories", (category.id for category in categories))
    if complete:
        _require_complete(path, images, categories)
    by_image = _annotations_by_image(file, {image.id for image in images}, {category.id for category in categories})
    raw_images = file.parse("images", list[msgspec.Raw])

    def samples() -> Iterator[Sample]:
        for image, raw in zip(images, raw_images, strict=True):
            record = _decode(path, "image", raw)
            yield Sample(record, [_annotation(path, row, complete) for row in by_image.get(image.id, ())], folders)

    counts = Counts.checked(path, samples) if check_images else Counts.of(samples)
    if not counts.images and complete:
        raise MosaicFusionError(f"{path} holds no images")
    head: Record = {"info": {}, "licenses": []}
    head.update({key: file.parse(key, Any) for key in head if key in file.fields})
    categories_with_counts = counts.categories(file.parse("categories", list[Record]))
    return Dataset(path, folders, head, categories_with_counts, samples, counts, remarks=file.remarks)


def _require_complete(path: Path, images: Sequence[ImageRef], categories: Sequence[CategoryRef]) -> None:
    require_unique(path, "categories", (category.name for category in categories), "name")
    if any(not category.name for category in categories):
        raise MosaicFusionError(f"{path}: a category has an empty name; name it")
    for image in images:
        if image.file_name and (fault := path_fault(image.file_name)):
            raise MosaicFusionError(f"{path}: image {image.id}: the file_name {image.file_name!r:.100} {fault}")


def _annotations_by_image(file: DatasetFile, images: set[int], categories: set[int]) -> dict[int, list[msgspec.Raw]]:
    by_image: dict[int, list[msgspec.Raw]] = defaultdict(list)
    references = file.parse("annotations", list[AnnotationRef])
    for reference, raw in zip(references, file.parse("annotations", list[msgspec.Raw]), strict=True):
        require_known(file.path, reference, images, categories)
        by_image[reference.image_id].append(raw)
    for image in file.parse("images", list[ImageRef]):
        for key in CATEGORY_LISTS:
            if unknown := set(getattr(image, key) or ()) - categories:
                raise MosaicFusionError(
                    f"{file.path}: {key} of image {image.id} holds {min(unknown)}, which is not among the categories; "
                    f"`mosaicfusion validate {file.path}` lists all problems"
                )
    return by_image


def _decode(path: Path, kind: str, raw: msgspec.Raw) -> Record:
    try:
        record: Record = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:  # a number that no float holds
        id_ = msgspec.json.decode(raw, type=ImageRef).id
        raise MosaicFusionError(f"{path}: {kind} {id_}: {error}; remove it or write valid numbers") from None
    return record


def _annotation(path: Path, raw: msgspec.Raw, complete: bool) -> Record:
    record = _decode(path, "annotation", raw)
    if not complete:
        return record
    record |= mended_values("annotations", record)
    try:
        msgspec.convert(record, CompleteAnnotation)
    except msgspec.ValidationError as error:
        raise MosaicFusionError(
            f"{path}: annotation {record['id']}: {error}; `mosaicfusion validate {path}` lists all problems"
        ) from None
    return record
