"""Options that a format does not have are refused; the split depends on the image id."""

from __future__ import annotations

from typing import Any

import pytest

from mosaicfusion.dataset.export.format import FORMATS, ExportOptions, check_options, load_format
from mosaicfusion.dataset.sample import Sample
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
        ({"to": "hf", "own_val": True}, "export what --val names on its own"),
        ({"to": "yolo", "own_val": True, "val_fraction": 0.1}, "give --val or --val-fraction, not both"),
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
    val = val_of(5000, val_fraction=0.2)
    assert 900 < len(val) < 1100
    assert val_of(100, val_fraction=0.2) == [image_id for image_id in val if image_id < 100]
    assert val_of(500) == []


def val_of(count: int, **options: Any) -> list[int]:
    """The ids of the first ``count`` images that are in val."""
    split = ExportOptions(**options).split
    return [id_ for id_ in range(count) if split(Sample({"id": id_}, [], [])) == "val"]


def test_a_larger_fraction_keeps_the_validation_images_of_a_smaller_one() -> None:
    few, many = (val_of(500, val_fraction=fraction) for fraction in (0.1, 0.3))
    assert set(few) < set(many)


def test_an_own_validation_set_is_val_whole() -> None:
    split = ExportOptions(own_val=True).split
    assert [split(Sample({"id": 1}, [], [], own_val=own)) for own in (True, False)] == ["val", "train"]
