"""Image files: half of one is found, EXIF's orientation is read, and removed without a change of the pixels of the masks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.images import encode

from mosaicfusion.dataset.image_files import ORIENTATION, inspect, without_orientation

STORED = np.zeros((32, 48), np.uint8)
STORED[4:12, 4:20] = 255


def marked(orientation: int, kind: str = "JPEG", byte_order: str = "<") -> bytes:
    exif = Image.Exif()
    exif.endian = byte_order
    exif[ORIENTATION] = orientation
    return encode(STORED, kind, exif=exif.tobytes(), **({"lossless": True} if kind == "WEBP" else {}))


@pytest.mark.parametrize("orientation", range(10))
def test_size_and_orientation_are_read(tmp_path: Path, orientation: int) -> None:
    (tmp_path / "a").write_bytes(marked(orientation))
    image = inspect(tmp_path / "a")
    assert image.hw == (32, 48)
    assert image.upright_hw == ((48, 32) if orientation in (5, 6, 7, 8) else (32, 48))
    assert image.orientation == (orientation if orientation in range(1, 9) else 1)
    assert image.format == "JPEG"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_half_a_file_is_found_unless_only_the_header_is_read(tmp_path: Path, kind: str) -> None:
    data = encode(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8), kind)
    (tmp_path / "a").write_bytes(data[: len(data) // 2])
    with pytest.raises((OSError, SyntaxError)):
        inspect(tmp_path / "a")
    if kind != "WEBP":
        assert inspect(tmp_path / "a", whole=False).hw == (64, 64)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_the_mark_is_removed_from_stored_pixels(kind: str, byte_order: str, orientation: int) -> None:
    data = marked(orientation, kind, byte_order)
    changed = without_orientation(data, (32, 48))
    with Image.open(io.BytesIO(changed)) as image, Image.open(io.BytesIO(data)) as before:
        assert image.getexif().get(ORIENTATION, 1) == 1
        assert np.array_equal(np.asarray(image), np.asarray(before))
    assert kind == "WEBP" or len(changed) == len(data)


@pytest.mark.parametrize(("orientation", "quarter_turns"), [(6, -1), (8, 1)])
def test_pixels_are_turned_if_the_json_has_the_turned_size(orientation: int, quarter_turns: int) -> None:
    with Image.open(io.BytesIO(without_orientation(marked(orientation), (48, 32)))) as image:
        assert image.getexif().get(ORIENTATION, 1) == 1
        assert np.abs(np.asarray(image, int) - np.rot90(STORED, quarter_turns)).max() < 40


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "exif", [b"garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_is_ignored(tmp_path: Path, exif: bytes, kind: str) -> None:
    (tmp_path / "a").write_bytes(encode(STORED, kind, exif=exif))
    assert inspect(tmp_path / "a").orientation == 1
    assert without_orientation((tmp_path / "a").read_bytes(), (32, 48)) == (tmp_path / "a").read_bytes()
