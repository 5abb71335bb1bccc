"""What is exported: the images of a run folder or of a json, one by one, with their annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from PIL import Image, UnidentifiedImageError

from mosaicfusion.config import MaskFormat, Policy
from mosaicfusion.dataset.annotated import Record, Records, read_json
from mosaicfusion.dataset.coco import ImageRef, find_image
from mosaicfusion.dataset.lvis import category_records, lvis_entries, lvis_head
from mosaicfusion.dataset.thresholds import accepted
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.folder import RunFolder

_NAMED = 5  # missing images that are named; the others are counted
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}


@dataclass(frozen=True)
class Sample:
    """One image: its LVIS record, its LVIS annotations, and the file that holds it."""

    image: Record
    annotations: list[Record]
    file: Path
    suffix: str

    @property
    def stem(self) -> str:
        """Name in an export, after COCO's habit: names of the source may clash, or hold anything."""
        return f"{self.image['id']:012d}"

    @property
    def name(self) -> str:
        """``000000000123.jpg``; the suffix is that of the bytes."""
        return self.stem + self.suffix

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image["height"], self.image["width"]

    def read(self) -> bytes:
        """The image, byte by byte."""
        try:
            return self.file.read_bytes()
        except OSError as error:
            raise MosaicFusionError(f"cannot read {self.file}: {error.strerror or error}") from None


@dataclass(frozen=True)
class Dataset:
    """A data set that can be read again and again, image by image, and what it holds in all.

    ``folder``: where the names of the images begin. ``head``: ``info`` and ``licenses``. ``categories``: LVIS records by id,
    with ``image_count`` and ``instance_count``. ``masks``: the form that a run was last compiled with; ``None`` for a json,
    which may hold both.
    """

    name: str
    folder: Path
    head: Record
    categories: list[Record]
    records: Records
    images: int
    instances: int
    masks: MaskFormat | None = None

    def __iter__(self) -> Iterator[Sample]:
        for image, objects in self.records():
            file = find_image(self.folder, msgspec.convert(image, ImageRef))
            if file is None:
                raise MosaicFusionError(f"{_named(image)} was in {self.folder}, and is gone")
            yield Sample(image, objects, file, _suffix(file, image))

    @property
    def index_of(self) -> dict[int, int]:
        """Category id -> its place among the categories, from 0: for formats that want no gaps."""
        return {category["id"]: index for index, category in enumerate(self.categories)}


def open_dataset(source: Path, images: Path | None = None, policy: Policy | None = None) -> Dataset:
    """A run folder (``policy``: as in :func:`mosaicfusion.dataset.lvis.compile_lvis`), or a json with the folder of its images.

    A run is read part by part, however long it is. Raises :class:`MosaicFusionError` for a damaged source, and for images
    that are missing, no images, or of another size than their record says.
    """
    if source.is_dir():
        if images is not None:
            raise MosaicFusionError(f"{source} is a run folder and holds its images; leave out --images")
        return _read_run(RunFolder.open(source), policy)
    if policy is not None:
        raise MosaicFusionError(f"--policy is for run folders, and {source} is none; leave it out")
    if images is None or not images.is_dir():
        given = "" if images is None else f"; {images} is none"
        raise MosaicFusionError(f"give the folder of the images of {source} with --images{given}")
    return _read_json(source, images)


def _read_run(run: RunFolder, policy: Policy | None) -> Dataset:
    policy = policy or run.manifest.output.policy

    def records() -> Iterator[tuple[Record, list[Record]]]:
        return lvis_entries(accepted(run), policy)

    totals = _survey(run.path, records)
    if not totals.images:
        hint = "; try --policy not_exhaustive" if policy == "drop" else ""
        raise MosaicFusionError(f"{run.path} holds no canvas that the policy {policy} lets in{hint}")
    return Dataset(
        name=run.path.resolve().name,
        folder=run.path,
        head=lvis_head(),
        categories=category_records(run.categories, totals.by_image, totals.by_instance),
        records=records,
        images=totals.images,
        instances=totals.by_instance.total(),
        masks=run.manifest.output.masks,
    )


def _read_json(path: Path, images: Path) -> Dataset:
    head, categories, records = read_json(path)
    totals = _survey(images, records)
    if not totals.images:
        raise MosaicFusionError(f"{path} holds no images")
    counted = [
        {**c, "image_count": totals.by_image[c["id"]], "instance_count": totals.by_instance[c["id"]]}
        for c in categories
    ]
    return Dataset(path.stem, images, head, counted, records, totals.images, totals.by_instance.total())


@dataclass
class _Totals:
    """Images in all; images and instances by category id."""

    images: int = 0
    by_image: Counter[int] = field(default_factory=Counter)
    by_instance: Counter[int] = field(default_factory=Counter)


def _survey(folder: Path, records: Records) -> _Totals:
    """Count, and look at every record and image header, so that what is wrong is said before anything is written."""
    totals = _Totals()
    missing, named = 0, []
    for image, objects in records():
        ids = [annotation["category_id"] for annotation in objects]
        totals.images += 1
        totals.by_image.update(set(ids))
        totals.by_instance.update(ids)
        file = find_image(folder, msgspec.convert(image, ImageRef))
        if file is not None:
            _suffix(file, image)
            continue
        missing += 1
        if missing <= _NAMED:
            named.append(_named(image))
    if missing:
        more = f" and {missing - _NAMED} more" if missing > _NAMED else ""
        raise MosaicFusionError(
            f"{missing} of {totals.images} images are not in {folder}: {', '.join(named)}{more}; nothing was written"
        )
    return totals


def _named(image: Record) -> str:
    return repr(image.get("file_name") or image.get("coco_url") or f"image {image['id']} without a file_name")


def _suffix(file: Path, image: Record) -> str:
    try:
        with Image.open(file, formats=tuple(_SUFFIXES)) as opened:
            # What is opened as JPEG may call itself MPO: cameras put several pictures into one.
            size, suffix = opened.size, _SUFFIXES.get(str(opened.format), ".jpg")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise MosaicFusionError(f"{file} is not an image that can be exported ({error})") from None
    if size != (image["width"], image["height"]):
        raise MosaicFusionError(
            f"{file} has {size[0]} x {size[1]} pixels, its record says {image['width']} x {image['height']}; "
            "`mosaicfusion validate` lists all such places"
        )
    return suffix
