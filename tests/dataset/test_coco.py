"""Names from outside: which become paths, and which file they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaicfusion.dataset.coco import ImageRef, find_image, image_name, path_fault, url_tail


@pytest.mark.parametrize("name", ["a.jpg", "train2017/000000000001.jpg", "a b/ü.png", "10:30.jpg", "...jpg", "a..b/c"])
def test_good_names(name: str) -> None:
    assert path_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "/a",
        "../a",
        "a/../b",
        "a/./b",
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
def test_bad_names(name: str) -> None:
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
def test_tails_as_detectron2_takes_them(url: str | None, tail: str | None) -> None:
    assert url_tail(url) == tail


def test_which_file_an_image_is(tmp_path: Path) -> None:
    image = ImageRef(1, "COCO_val2014_000000000001.jpg", "http://images.cocodataset.org/val2017/000000000001.jpg")
    assert find_image(tmp_path, image) is None
    for name in ("000000000001.jpg", "val2017/000000000001.jpg", "COCO_val2014_000000000001.jpg"):  # the last is best
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        assert find_image(tmp_path, image) == tmp_path / name
    assert image_name(ImageRef(1, None, image.coco_url)) == "val2017/000000000001.jpg"
    assert find_image(tmp_path / "val2017", ImageRef(1, "../COCO_val2014_000000000001.jpg")) is None
