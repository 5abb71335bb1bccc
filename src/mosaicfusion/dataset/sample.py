"""One image of a data set with its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.config import MaskFormat
from mosaicfusion.dataset.coco import ImageRef, Record, find_image, is_synthetic
from mosaicfusion.dataset.image_files import ImageFile, check_image, without_orientation
from mosaicfusion.dataset.masks import PolygonMask, RunMask, read_mask
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.notebook import ShownInNotebooks

# Pillow reports MPO for JPEGs that hold several pictures, as some cameras write them.
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}


@dataclass(frozen=True)
class Annotation:
    """One object of a sample. ``record``: all fields of its LVIS or COCO annotation."""

    record: Record
    hw: tuple[int, int]

    @property
    def category_id(self) -> int:
        """Id of the category."""
        return int(self.record["category_id"])

    @property
    def is_crowd(self) -> bool:
        """True for a mask that covers a group of objects."""
        return bool(self.record.get("iscrowd"))

    @cached_property
    def mask(self) -> PolygonMask | RunMask:
        """The mask; raises :class:`MosaicFusionError` if it is not valid."""
        return read_mask(self.record, self.hw)

    def segmentation(self, masks: MaskFormat | None) -> Any:
        """The mask as run lengths, as polygons, or (``None``) in its own form. A crowd stays run lengths, COCO's rule."""
        if masks is None or self.is_crowd:
            masks = "rle" if isinstance(self.mask, RunMask) else "polygon"
        return self.mask.run_lengths() if masks == "rle" else self.mask.polygons()


@dataclass(frozen=True)
class Sample(ShownInNotebooks):
    """One image of a data set. ``record``: all fields of its LVIS or COCO image. ``folders``: where the images are.

    ``own_val``: True for an image of a validation set that is exported beside a training set.
    """

    record: Record
    annotation_records: list[Record]
    folders: Sequence[Path]
    own_val: bool = False

    @property
    def id(self) -> int:
        """Id of the image."""
        return int(self.record["id"])

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.record["height"], self.record["width"]

    @cached_property
    def annotations(self) -> list[Annotation]:
        """The objects of the image."""
        return [Annotation(record, self.hw) for record in self.annotation_records]

    @cached_property
    def file(self) -> Path:
        """The image file; raises :class:`MosaicFusionError` if it does not exist."""
        file = find_image(self.folders, msgspec.convert(self.record, ImageRef))
        if file is None:
            raise MosaicFusionError(f"there is no file {describe_image(self.record)} in {shown_folders(self.folders)}")
        return file

    @property
    def synthetic(self) -> bool:
        """True if mosaicfusion generated the image."""
        return is_synthetic(self.record)

    @cached_property
    def image_file(self) -> ImageFile:
        """Size, orientation and format by the content of the file; raises :class:`MosaicFusionError` as :meth:`check`."""
        return self.check(whole=False)

    def check(self, *, whole: bool = True) -> ImageFile:
        """Read the header of the file, and with ``whole`` all of its data; raises as :func:`check_image`."""
        return check_image(self.file, self.hw, whole=whole)

    @property
    def suffix(self) -> str:
        """Suffix by the content of the file, such as ``.jpg``."""
        kind = self.image_file.format
        return _SUFFIXES.get(kind, f".{kind.lower()}")

    @property
    def stem(self) -> str:
        """Name in an export without suffix, such as ``000000000123``: original names may clash, or hold anything."""
        return f"{self.id:012d}"

    @property
    def name(self) -> str:
        """Name in an export, such as ``000000000123.jpg``."""
        return self.stem + self.suffix

    def read(self) -> bytes:
        """The content of the image file; one that EXIF turns has the pixels of its masks, without the mark."""
        try:
            data = self.file.read_bytes()
        except OSError as error:
            raise MosaicFusionError(f"cannot read {self.file}: {error.strerror or error}") from None
        return data if self.image_file.orientation == 1 else without_orientation(data, self.hw)


def shown_folders(folders: Sequence[Path]) -> str:
    """One or several folders for a message."""
    return " or ".join(map(str, folders))


def describe_image(image: Record) -> str:
    """The name of an image for a message."""
    return repr(image.get("file_name") or image.get("coco_url") or f"image {image['id']} without a file_name")
