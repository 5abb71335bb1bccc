"""Image files of any kind become RGB; files that are no images are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.images import read_rgb


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_every_kind_becomes_rgb(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (6, 4)).save(tmp_path / "a.tiff")
    image = read_rgb(tmp_path / "a.tiff")
    assert (image.shape, image.dtype) == ((4, 6, 3), np.uint8)


def test_images_are_turned_upright_as_viewers_show_them(tmp_path: Path) -> None:
    image = Image.fromarray(np.repeat([[255, 0]], 8, axis=0).astype(np.uint8)).resize((16, 8), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the left: viewers turn it to the right
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    lying, upright = read_rgb(tmp_path / "a.jpg"), read_rgb(tmp_path / "a.jpg", upright=True)
    assert (lying.shape, upright.shape) == ((8, 16, 3), (16, 8, 3))
    assert upright[0].min() > 200 > 50 > upright[-1].max()


@pytest.mark.parametrize("mode", ["I", "I;16", "F"])
def test_more_than_eight_bits_are_refused(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (6, 4)).save(tmp_path / "a.tiff")
    with pytest.raises(MosaicFusionError, match=r"a\.tiff has more than 8 bits per channel .*convert it to 8 bits"):
        read_rgb(tmp_path / "a.tiff")


def test_files_that_are_no_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("dear")
    for name in ("a.png", "none.png", ""):
        with pytest.raises(MosaicFusionError, match="cannot be read as an image"):
            read_rgb(tmp_path / name)
