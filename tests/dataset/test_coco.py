"""Names of image files from a json: which are accepted as paths, and which file they refer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mosaicfusion.dataset.coco import ImageRef, find_image, image_name, is_synthetic, path_fault, url_tail


@pytest.mark.parametrize("name", ["a.jpg", "train2017/000000000001.jpg", "a b/ü.png", "10:30.jpg", "...jpg", "a..b/c"])
def test_relative_names_are_paths(name: str) -> None:
    assert path_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "/a",
        "../a",
        "a/../b",
        "a/./../b",
        "http://x/a.jpg",
        "./",
        "a//b",
        "a/",
        "..",
        ".",
        "a\\b",
        "C:a",
        "c:/a",
        "a\0",
        "a\n",
        "\x1b[31m",
    ],
)
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    assert path_fault(name)


@pytest.mark.parametrize(
    ("url", "tail"),
    [
        ("http://images.cocodataset.org/train2017/1.jpg", "train2017/1.jpg"),
        ("val/1.jpg", "val/1.jpg"),
        ("1.jpg", None),
        ("", None),
        (None, None),
        ("/", None),
        ("//", None),
    ],
)
def test_coco_url_tail_is_that_of_detectron2(url: str | None, tail: str | None) -> None:
    assert url_tail(url) == tail


def test_the_best_existing_file_is_chosen(tmp_path: Path) -> None:
    image = ImageRef(1, "COCO_val2014_000000000001.jpg", "http://images.cocodataset.org/val2017/000000000001.jpg")
    assert find_image(tmp_path, image) is None
    for name in ("000000000001.jpg", "val2017/000000000001.jpg", "COCO_val2014_000000000001.jpg"):  # the last is best
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        assert find_image(tmp_path, image) == tmp_path / name
    assert image_name(ImageRef(1, None, image.coco_url)) == "val2017/000000000001.jpg"
    assert find_image(tmp_path / "val2017", ImageRef(1, "../COCO_val2014_000000000001.jpg")) is None


@pytest.mark.parametrize(
    ("image", "synthetic"),
    [
        ({"coco_url": "images/000/000000000000.jpg", "synthetic": True}, True),
        ({"coco_url": "mosaicfusion://run/images/000/000000000000.jpg"}, True),  # of earlier versions
        ({"coco_url": "http://images.cocodataset.org/train2017/000000000050.jpg"}, False),
        ({"coco_url": "images/000000000050.jpg", "synthetic": "no"}, False),
        ({}, False),
    ],
)
def test_synthetic_images_have_a_mark(image: dict[str, Any], synthetic: bool) -> None:
    assert is_synthetic(image) == synthetic
    assert msgspec.convert({"id": 1, **image}, ImageRef).synthetic == synthetic
