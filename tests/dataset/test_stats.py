"""Statistics of data sets, against counts by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.lvis_sets import REAL_COCO, category, make_run, write_json, write_lvis

from mosaicfusion.dataset.merge import merge
from mosaicfusion.dataset.stats import Spread, read_stats
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.build_dataset import build_dataset
from mosaicfusion.run.folder import RunFolder


def test_real_and_synthetic_parts_are_counted_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [category(1, "kite"), category(2, "zebra")], [[(1, True), (2, True)], [(1, True)]])
    merge(write_lvis(tmp_path), [run], tmp_path / "out.json")
    stats = read_stats(tmp_path / "out.json")
    every, real, synthetic = (stats.parts[key] for key in ("all", "real", "synthetic"))
    assert (every.images, real.images, synthetic.images) == (4, 2, 2)
    assert (every.annotations, real.annotations, synthetic.annotations) == (6, 3, 3)
    assert (real.masks_per_image, synthetic.masks_per_image) == (Spread(1, 1.5, 2), Spread(1, 1.5, 2))
    assert (real.instances_per_category, synthetic.instances_per_category) == (Spread(1, 1.5, 2), Spread(1, 1.5, 2))
    assert (real.categories_with_image, synthetic.categories_with_image, every.categories_with_image) == (2, 2, 3)
    assert (every.small, every.medium, every.large) == (6, 0, 0)
    assert stats.without_image == ["bow_(decorative_ribbons)"]
    assert stats.by_category == [("bow_(decorative_ribbons)", 0), ("bow_(weapon)", 1), ("zebra", 1), ("kite", 4)]


def test_a_run_folder_counts_like_its_json(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [category(1, "kite"), category(2, "drum")], [[(1, True), (2, True)], [(1, True)]])
    build_dataset(RunFolder.open(run))
    of_run, of_json = read_stats(run), read_stats(run / "lvis.json")
    assert (of_run.parts, of_run.frequencies) == (of_json.parts, of_json.frequencies)
    assert of_run.parts["all"].annotations == 3


def test_frequencies_of_the_file_and_counted_ones(tmp_path: Path) -> None:
    frequencies = read_stats(write_lvis(tmp_path)).frequencies
    assert {frequency: (of.categories, of.counted) for frequency, of in frequencies.items()} == {
        "r": (1, 3),  # no category has more than 10 images here
        "c": (1, 0),
        "f": (1, 0),
    }
    assert [frequencies[frequency].instances for frequency in "rcf"] == [1, 0, 2]
    assert [frequencies[frequency].without_image for frequency in "rcf"] == [0, 1, 0]


def test_coco_has_no_frequencies(tmp_path: Path) -> None:
    stats = read_stats(write_json(tmp_path / "coco.json", REAL_COCO))
    assert stats.frequencies == {}
    assert list(stats.parts) == ["all"]


@pytest.mark.parametrize(
    ("area", "counts"), [(1023, (1, 0, 0)), (1024, (0, 1, 0)), (9216, (0, 1, 0)), (9217, (0, 0, 1))]
)
def test_sizes_are_those_of_coco(tmp_path: Path, area: int, counts: tuple[int, int, int]) -> None:
    data = {**REAL_COCO, "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "area": area}]}
    whole = read_stats(write_json(tmp_path / "coco.json", data)).parts["all"]
    assert (whole.small, whole.medium, whole.large) == counts


def test_empty_sets_are_counted_and_bad_ones_refused(tmp_path: Path) -> None:
    empty = read_stats(write_json(tmp_path / "empty.json", {"images": [], "annotations": [], "categories": []}))
    assert empty.parts["all"].masks_per_image == Spread(0, 0, 0)
    with pytest.raises(MosaicFusionError, match="cannot read"):
        read_stats(tmp_path / "none.json")


def test_a_damaged_box_does_not_hinder_counting(tmp_path: Path) -> None:
    row = {"id": 1, "image_id": 1, "category_id": 2, "area": float("nan"), "bbox": [float("inf")] * 4}
    stats = read_stats(write_json(tmp_path / "coco.json", {**REAL_COCO, "annotations": [row]}))
    assert stats.parts["all"].annotations == 1
    assert stats.remarks == ["5 numbers are Infinity or NaN, or too large for a float; they are read as null"]
