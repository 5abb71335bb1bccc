"""Reading image files of any origin."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mosaicfusion.errors import MosaicFusionError, first_line

# Formats of pixels. Pillow also knows some that other programs render, such as PostScript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")
_DEEP = ("I", "F")  # first letters of the modes of which Pillow would cut off all values above 255


def read_rgb(path: Path | str, upright: bool = False) -> NDArray[np.uint8]:
    """Read an image, here or at a URL, as uint8 RGB (H, W, 3). ``upright``: turned as its EXIF says, as viewers show it.

    Raises :class:`MosaicFusionError` if it cannot be read, or has more than 8 bits per channel.
    """
    try:
        with (
            (Path(path) if isinstance(path, str) else path).open("rb") as file,
            Image.open(file, formats=FORMATS) as image,
        ):
            mode = image.mode
            if not is_deep(mode):
                return np.asarray((ImageOps.exif_transpose(image) if upright else image).convert("RGB"))
    except Exception as error:  # whatever a broken file makes Pillow raise
        raise MosaicFusionError(unreadable(path, error)) from None
    raise MosaicFusionError(f"{path} has more than 8 bits per channel (Pillow's mode {mode}); convert it to 8 bits")


def encode_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encode uint8 RGB (H, W, 3) as a JPEG of quality 95, with colour at full resolution: masks follow colour edges."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def unreadable(path: Path | str, error: Exception) -> str:
    """The message for an image file that cannot be read, from the error of Pillow or of the system."""
    unknown = "unknown format" if isinstance(error, UnidentifiedImageError) else None
    reason = unknown or getattr(error, "strerror", None) or first_line(error, 160)
    return f"{path} cannot be read as an image ({reason})"


def is_deep(mode: str) -> bool:
    """True for a mode of Pillow with more than 8 bits per channel."""
    return mode.startswith(_DEEP)
