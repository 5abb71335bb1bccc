"""One image of a data set with its objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image, UnidentifiedImageError

from mosaicfusion.config import MaskFormat
from mosaicfusion.dataset.coco import ImageRef, Record, find_image
from mosaicfusion.dataset.masks import PolygonMask, RunMask, read_mask
from mosaicfusion.errors import MosaicFusionError

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}


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
class Sample:
    """One image of a data set. ``record``: all fields of its LVIS or COCO image. ``root``: the folder of the images."""

    record: Record
    annotation_records: list[Record]
    root: Path

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
        file = find_image(self.root, msgspec.convert(self.record, ImageRef))
        if file is None:
            raise MosaicFusionError(f"there is no file {describe_image(self.record)} in {self.root}")
        return file

    @cached_property
    def suffix(self) -> str:
        """Suffix by the content of the file; raises :class:`MosaicFusionError` for another size or an unknown format."""
        try:
            with Image.open(self.file, formats=tuple(_SUFFIXES)) as opened:
                # Pillow reports MPO for JPEGs that hold several pictures, as some cameras write them.
                size, suffix = opened.size, _SUFFIXES.get(str(opened.format), ".jpg")
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
            raise MosaicFusionError(f"{self.file} is not an image that can be exported ({error})") from None
        height, width = self.hw
        if size != (width, height):
            raise MosaicFusionError(
                f"{self.file} has {size[0]} x {size[1]} pixels, its record says {width} x {height}; "
                "`mosaicfusion validate` lists all problems"
            )
        return suffix

    @property
    def stem(self) -> str:
        """Name in an export without suffix, such as ``000000000123``: original names may clash, or hold anything."""
        return f"{self.id:012d}"

    @property
    def name(self) -> str:
        """Name in an export, such as ``000000000123.jpg``."""
        return self.stem + self.suffix

    def read(self) -> bytes:
        """The content of the image file."""
        try:
            return self.file.read_bytes()
        except OSError as error:
            raise MosaicFusionError(f"cannot read {self.file}: {error.strerror or error}") from None


def describe_image(image: Record) -> str:
    """The name of an image for a message."""
    return repr(image.get("file_name") or image.get("coco_url") or f"image {image['id']} without a file_name")
