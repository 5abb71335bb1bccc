"""Choices that a format does not have, and the split."""

from __future__ import annotations

from typing import Any

import pytest

from mosaicfusion.dataset.export.format import FORMATS, Options, check_options, load_format
from mosaicfusion.errors import MosaicFusionError


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"to": "coc"}, "there is no format 'coc'; choose one of coco, lvis, yolo, voc, webdataset, hf"),
        ({"to": "yolo", "masks": "rle"}, "yolo holds masks as polygon, not rle; leave out --masks"),
        ({"to": "voc", "masks": "polygon"}, "voc holds masks as png, not polygon; leave out --masks"),
        ({"to": "yolo", "val_fraction": 1.0}, "must be at least 0 and below 1; try 0.1"),
        ({"to": "yolo", "val_fraction": float("nan")}, "must be at least 0 and below 1"),
        ({"to": "hf", "val_fraction": 0.1}, "hf is written whole, without a split; leave out --val-fraction"),
        ({"to": "hf", "shard_size": 0}, "--shard-size 0 must be at least 1 image"),
    ],
)
def test_refused(choices: dict[str, Any], said: str) -> None:
    name = choices.pop("to")
    with pytest.raises(MosaicFusionError, match=said):
        check_options(name, load_format(name), Options(**choices))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_describes_itself(name: str) -> None:
    check_options(name, load_format(name), Options())


def test_split_is_of_the_id_alone_and_of_the_size_asked_for() -> None:
    split = Options(val_fraction=0.2).split
    val = [image_id for image_id in range(5000) if split(image_id) == "val"]
    assert 900 < len(val) < 1100
    assert [image_id for image_id in range(100) if split(image_id) == "val"] == [i for i in val if i < 100]
    assert {Options().split(image_id) for image_id in range(500)} == {"train"}


def test_a_larger_fraction_only_adds() -> None:
    few, many = (Options(val_fraction=fraction).split for fraction in (0.1, 0.3))
    assert all(many(image_id) == "val" for image_id in range(500) if few(image_id) == "val")
