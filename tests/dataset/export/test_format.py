"""Options that a format does not have are refused; the split depends on the image id."""

from __future__ import annotations

from typing import Any

import pytest

from mosaicfusion.dataset.export.format import FORMATS, ExportOptions, check_options, load_format
from mosaicfusion.errors import MosaicFusionError


@pytest.mark.parametrize(
    ("choices", "message"),
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
def test_choices_that_the_format_lacks_are_refused(choices: dict[str, Any], message: str) -> None:
    name = choices.pop("to")
    with pytest.raises(MosaicFusionError, match=message):
        check_options(name, load_format(name), ExportOptions(**choices))


@pytest.mark.parametrize("name", FORMATS)
def test_the_defaults_fit_every_format(name: str) -> None:
    check_options(name, load_format(name), ExportOptions())


def test_split_depends_on_the_id_alone_and_has_the_requested_size() -> None:
    split = ExportOptions(val_fraction=0.2).split
    val = [image_id for image_id in range(5000) if split(image_id) == "val"]
    assert 900 < len(val) < 1100
    assert [image_id for image_id in range(100) if split(image_id) == "val"] == [i for i in val if i < 100]
    assert {ExportOptions().split(image_id) for image_id in range(500)} == {"train"}


def test_a_larger_fraction_keeps_the_validation_images_of_a_smaller_one() -> None:
    few, many = (ExportOptions(val_fraction=fraction).split for fraction in (0.1, 0.3))
    assert all(many(image_id) == "val" for image_id in range(500) if few(image_id) == "val")
