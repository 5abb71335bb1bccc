import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mosaicfusion.dataset.coco import DatasetFile
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.quality.crops import GREY, read_crops, sample_instances
from mosaicfusion.quality.measure_diversity import ImageSet

RED, BLUE = (255, 0, 0), (0, 0, 255)
MakeSet = Callable[..., ImageSet]


def change(made: ImageSet, key: str, index: int, **values: Any) -> None:
    data = json.loads(made.path.read_text())
    data[key][index].update(values)
    made.path.write_text(json.dumps(data))


def sample(made: ImageSet, per_category: int = 10, category_ids: set[int] | None = None) -> list[Any]:
    return sample_instances(DatasetFile.open(made.path), [made.images], per_category, category_ids)


def test_a_sample_of_each_category_the_same_each_time(image_set: MakeSet) -> None:
    made = image_set({"kite": [RED] * 9, "drum": [BLUE] * 3})
    instances = sample(made, per_category=5)
    assert [instance.category for instance in instances].count("kite") == 5
    assert [instance.category for instance in instances].count("drum") == 3
    assert instances == sample(made, per_category=5)
    assert {instance.category for instance in sample(made, category_ids={2})} == {"drum"}


def test_crowds_and_empty_boxes_are_left_out(image_set: MakeSet) -> None:
    made = image_set({"kite": [RED] * 3})
    change(made, "annotations", 0, iscrowd=1)
    change(made, "annotations", 1, bbox=[3, 3, 0, 5])
    assert len(sample(made)) == 1


def test_a_crop_is_the_box_with_a_margin_of_a_tenth(image_set: MakeSet) -> None:
    made = image_set({"kite": [RED]})
    (crop,) = read_crops(sample(made), side_px=96)
    assert (crop.shape, crop.dtype) == ((96, 96, 3), np.uint8)
    is_red = (crop[..., 0] > 180) & (crop[..., 1] < 60)
    assert is_red.mean() == pytest.approx((1 / 1.2) ** 2, abs=0.03)
    assert abs(crop[2, 2].astype(int) - 100).max() < 10


def test_a_masked_crop_is_grey_outside(image_set: MakeSet) -> None:
    made = image_set({"kite": [RED]})
    (crop,) = read_crops(sample(made), side_px=96, mask_background=True)
    assert abs(crop[2, 2].astype(int) - GREY).max() < 3
    assert tuple(crop[48, 48]) == RED


def test_boxes_beyond_the_border_are_clipped(image_set: MakeSet) -> None:
    made = image_set({"kite": [RED]})
    change(made, "annotations", 0, bbox=[-5, -5, 100, 100])
    (crop,) = read_crops(sample(made), side_px=8)
    assert crop.shape == (8, 8, 3)


@pytest.mark.parametrize("name", ["gone.png", "../set.json", "/etc/passwd"])
def test_a_missing_image_or_one_outside_of_the_folder_is_refused(image_set: MakeSet, name: str) -> None:
    made = image_set({"kite": [RED]})
    change(made, "images", 0, file_name=name)
    with pytest.raises(MosaicFusionError, match="there is no image"):
        sample(made)


def test_an_unreadable_image_and_an_unlisted_one_are_refused(image_set: MakeSet) -> None:
    made = image_set({"kite": [RED]})
    instances = sample(made)
    (made.images / "001.png").write_bytes(b"no image")
    with pytest.raises(MosaicFusionError, match="cannot be read as an image"):
        list(read_crops(instances, 8))
    change(made, "annotations", 0, image_id=77)
    with pytest.raises(MosaicFusionError, match="annotations refer to image 77, which is not listed"):
        sample(made)


def test_a_damaged_mask_matters_only_for_masked_crops(image_set: MakeSet) -> None:
    made = image_set({"kite": [RED]})
    change(made, "annotations", 0, segmentation={"size": [32, 32], "counts": "!!"})
    assert list(read_crops(sample(made), 8))
    with pytest.raises(MosaicFusionError, match=r"annotation 1: the segmentation .* damaged"):
        list(read_crops(sample(made), 8, mask_background=True))
