"""Broken images are named before a training starts, or left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.images import encode

from mosaicfusion.dataset.coco import ImageRow
from mosaicfusion.detectors.data.files import find_readable
from mosaicfusion.errors import MosaicFusionError

GOOD = encode(np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8))


def rows(folder: Path) -> list[ImageRow]:
    """Images of 40 x 60 pixels: a good one, half of one, one of 16 bits, one of another size, one that is missing."""
    deep, small = np.zeros((40, 60), np.uint16), np.zeros((4, 6), np.uint8)
    files = [GOOD, GOOD[: len(GOOD) // 2], encode(deep, "PNG"), encode(small)]
    for number, data in enumerate(files):
        (folder / f"{number}.jpg").write_bytes(data)
    return [ImageRow(id=10 + k, file_name=f"{k}.jpg", height=40, width=60) for k in range(5)]


def test_broken_images_are_left_out_with_a_count(tmp_path: Path) -> None:
    found = find_readable(rows(tmp_path), [tmp_path], Path("set.json"), skip=True)
    assert found.files == {10: tmp_path / "0.jpg"}
    assert found.left_out == {"images that are not on disk": 1, "images that cannot be used": 3}


def test_broken_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError) as caught:
        find_readable(rows(tmp_path)[:4], [tmp_path], Path("set.json"), skip=False)
    text = str(caught.value)
    assert text.startswith("3 of 4 images of set.json cannot be used: ")
    for words in ("1.jpg cannot be read as an image (image file is truncated", "2.jpg has more than 8 bits per channel",
                  "3.jpg has 6 x 4 pixels, its record says 60 x 40", "leave them out with --skip-missing"):  # fmt: skip
        assert words in text


def test_a_set_without_any_good_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match="1 of 1 images"):
        find_readable(rows(tmp_path)[1:2], [tmp_path], Path("set.json"), skip=True)


def test_every_folder_is_searched_and_turned_images_fit(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    (folders[1] / "turned.jpg").write_bytes(encode(np.zeros((60, 40), np.uint8), exif=exif))
    image = ImageRow(id=1, file_name="turned.jpg", height=40, width=60)
    assert find_readable([image], folders, Path("set.json"), skip=False).files == {1: folders[1] / "turned.jpg"}
