"""The bytes of image files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def encode(pixels: np.ndarray[Any, Any], kind: str = "JPEG", **options: Any) -> bytes:
    """uint8 (H, W) or (H, W, 3) -> the bytes of an image file; ``options`` are those of pillow."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()
