"""Image files of a data set: whole or cut off, their size, and the orientation that a camera notes in EXIF.

Viewers and most loaders turn the pixels by that mark; the masks of a json do not turn with them.

pycocotools, CVAT and this package take an image as it is stored; detectron2, Ultralytics and ``datasets`` turn it. A file without
the mark is the same for all of them.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mosaicfusion.arguments import listed
from mosaicfusion.dataset.coco import json_of
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.images import FORMATS, read_rgb, unreadable
from mosaicfusion.files.remote import as_path

Hw = tuple[int, int]  # height and width
Folders = str | Path | Sequence[str | Path]  # where the images of a json are; the first that has an image counts
ORIENTATION = 0x0112  # EXIF's tag
_TURNS = (5, 6, 7, 8)  # values that swap height and width
_QUALITY = 95


@dataclass(frozen=True)
class ImageFile:
    """The stored size, the size after it is turned, EXIF's orientation (1 is upright), and Pillow's names of format and mode."""

    hw: Hw
    upright_hw: Hw
    orientation: int
    format: str
    mode: str


def image_folders(folders: Folders) -> tuple[Path, ...]:
    """Paths of one or several folders of images; raises :class:`MosaicFusionError` for one that does not exist."""
    paths = [as_path(folder) for folder in listed(folders)]
    for path in paths:
        if not path.is_dir():
            raise MosaicFusionError(f"there is no folder {path}; give --images the folder of the images")
    return tuple(paths)


def folders_of(source: str | Path, images: Folders | None = None) -> tuple[Path, ...]:
    """The folders of the images of a run folder or a json: ``images``, by default the run folder itself or that of the json."""
    source = json_of(source)
    return image_folders(images or (source if source.is_dir() else source.parent))


def inspect(file: Path, *, whole: bool = True) -> ImageFile:
    """Read the header of an image, and with ``whole`` all of its data; raises whatever Pillow does for a broken file."""
    with Image.open(file, formats=FORMATS) as image:
        orientation = orientation_of(image)
        height, width = hw = image.height, image.width
        upright_hw = (width, height) if orientation in _TURNS else hw
        mode = image.mode
        if whole:
            # A JPEG at an eighth of its size: all of its data is read, three times as fast.
            image.draft("L", (max(1, width // 8), max(1, height // 8)))
            image.load()
        return ImageFile(hw, upright_hw, orientation, str(image.format), mode)


def check_image(file: Path, hw: Hw, *, whole: bool = True) -> ImageFile:
    """Read a file as :func:`inspect` does; ``hw`` is the size in its record, which may be that of the turned image.

    Raises :class:`MosaicFusionError` for a broken file, an unknown format and another size.
    """
    try:
        image = inspect(file, whole=whole)
    except Exception as error:  # whatever a broken file makes Pillow raise
        raise MosaicFusionError(unreadable(file, error)) from None
    if hw not in (image.hw, image.upright_hw):
        raise _other_size(file, image.hw, hw)
    return image


def read_pixels(file: Path | str, hw: Hw) -> NDArray[np.uint8]:
    """The pixels that masks of height and width ``hw`` refer to, uint8 RGB (H, W, 3).

    They are those as stored, or, if only these have the size, those turned as EXIF says. Raises :class:`MosaicFusionError` for a
    file that cannot be read or has another size.
    """
    for upright in (False, True):
        pixels = read_rgb(file, upright)
        if pixels.shape[:2] == hw:
            return pixels
    raise _other_size(file, pixels.shape[:2], hw)


def _other_size(file: Path | str, own: Sequence[int], hw: Hw) -> MosaicFusionError:
    return MosaicFusionError(
        f"{file} has {own[1]} x {own[0]} pixels, its record says {hw[1]} x {hw[0]}: masks may be of another image"
    )


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation of an open image, 1 to 8; 1 is upright, also for an image without the mark or with damaged EXIF."""
    if image.format == "TIFF":  # Pillow turns it, as all loaders do
        return 1
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # the pixels can be read without it
        return 1
    return value if value in range(1, 9) else 1


def without_orientation(data: bytes, hw: Hw) -> bytes:
    """The bytes of an image file whose pixels, of height and width ``hw``, are those of its masks in every loader.

    A file without the mark stays. If ``hw`` is the size of the stored pixels, only the mark is set to upright and the pixels stay
    bit for bit. If it is the size of the turned ones, they are turned and encoded again.
    """
    with Image.open(io.BytesIO(data)) as image:
        orientation = orientation_of(image)
        if orientation == 1:
            return data
        if (image.height, image.width) == hw and (patched := _patched(data, image, orientation)) is not None:
            return patched
        stored = (image.height, image.width) == hw
        pixels = image.copy() if stored else ImageOps.exif_transpose(image)
        exif = image.getexif()
        exif[ORIENTATION] = 1
        buffer = io.BytesIO()
        kind = "JPEG" if image.format == "MPO" else image.format
        options = {"lossless": True} if kind == "WEBP" and stored else {"quality": _QUALITY}
        pixels.save(buffer, kind, exif=exif, **options)
    return buffer.getvalue()


def _patched(data: bytes, image: Image.Image, orientation: int) -> bytes | None:
    """The same file with the value 1; ``None`` if the value does not stand where JPEG and PNG keep it."""
    if image.format not in ("JPEG", "MPO", "PNG"):
        return None
    exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    at = data.find(exif) if exif else -1
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"
    # An entry of TIFF: tag, type 3 (a short), count 1, and the value in the first two of four bytes.
    head = ORIENTATION.to_bytes(2, order) + (3).to_bytes(2, order) + (1).to_bytes(4, order)
    entry = exif.find(head + orientation.to_bytes(2, order))
    if at < 0 or entry < 0:
        return None
    value = at + entry + len(head)
    patched = bytearray(data)
    patched[value : value + 2] = (1).to_bytes(2, order)
    if image.format == "PNG":  # the checksum of the chunk covers its type and content
        end = at + len(exif)
        patched[end : end + 4] = zlib.crc32(patched[at - 4 : end]).to_bytes(4, "big")
    with Image.open(io.BytesIO(patched)) as check:
        return bytes(patched) if orientation_of(check) == 1 else None
