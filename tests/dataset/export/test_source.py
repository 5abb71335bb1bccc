"""A validation set beside a training set, and the categories of another json: ids, counts and names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.lvis_sets import jpeg, write_json

from mosaicfusion.dataset.export import export
from mosaicfusion.dataset.export.source import open_source
from mosaicfusion.errors import MosaicFusionError


def make_set(folder: Path, categories: dict[int, str], files: dict[int, str], fill: int = 0) -> Path:
    """A json beside its images, each with one object of each category."""
    folder.mkdir()
    for name in files.values():
        (folder / name).write_bytes(jpeg(fill))
    shape = {"bbox": [0, 0, 4, 4], "area": 16, "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}
    pairs = [(image, category) for image in files for category in categories]
    data = {
        "images": [{"id": id_, "file_name": name, "height": 32, "width": 48} for id_, name in files.items()],
        "annotations": [{"id": k, "image_id": i, "category_id": c, **shape} for k, (i, c) in enumerate(pairs)],
        "categories": [{"id": id_, "name": name} for id_, name in categories.items()],
    }
    return write_json(folder / "set.json", data)


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return make_set(tmp_path / "train", {1: "kite", 2: "drum"}, {1: "a.jpg", 7: "b.jpg"})


@pytest.fixture
def val(tmp_path: Path) -> Path:
    """Other ids of the same categories, and an image of the same id and name."""
    return make_set(tmp_path / "val", {5: "Drum"}, {7: "b.jpg"}, fill=200)


def test_a_validation_set_follows_in_the_categories_of_the_training_set(train: Path, val: Path) -> None:
    dataset = open_source(train, val=val)
    assert [(sample.id, sample.own_val) for sample in dataset] == [(1, False), (7, False), (14, True)]
    assert [[a.category_id for a in sample.annotations] for sample in dataset] == [[1, 2], [1, 2], [2]]
    assert [(c["name"], c["image_count"]) for c in dataset.categories] == [("kite", 2), ("drum", 3)]
    assert [sample.file.parent for sample in dataset] == [train.parent, train.parent, val.parent]


def test_ids_stay_if_no_image_shares_one(train: Path, tmp_path: Path) -> None:
    other = make_set(tmp_path / "other", {1: "kite"}, {3: "c.jpg"})
    assert [sample.id for sample in open_source(train, val=other)] == [1, 7, 3]


def test_yolo_writes_it_as_val_under_its_own_names(train: Path, val: Path, tmp_path: Path) -> None:
    done = export(train, "yolo", tmp_path / "out", val=val)
    files = {path.relative_to(tmp_path / "out/images").as_posix() for path in (tmp_path / "out/images").rglob("*.jpg")}
    assert files == {"train/a.jpg", "train/b.jpg", "val/b.jpg"}
    assert (tmp_path / "out/images/val/b.jpg").read_bytes() == jpeg(200)
    assert (tmp_path / "out/labels/val/b.txt").read_text().startswith("1 ")
    data = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert (data["train"], data["val"]) == ("images/train", "images/val")
    assert not any("val is train" in note for note in done.notes)


def test_voc_lists_both(train: Path, val: Path, tmp_path: Path) -> None:
    export(train, "voc", tmp_path / "out", val=val)
    lists = {split: (tmp_path / f"out/ImageSets/Main/{split}.txt").read_text().split() for split in ("train", "val")}
    assert lists == {"train": ["000000000001", "000000000007"], "val": ["000000000014"]}


def test_images_of_the_validation_set_may_lie_elsewhere(train: Path, val: Path, tmp_path: Path) -> None:
    moved = val.rename(tmp_path / "val.json")
    with pytest.raises(MosaicFusionError, match=r"give the folder of the images of .*val.json with --val-images"):
        open_source(train, val=moved)
    with pytest.raises(MosaicFusionError, match=r"1 of 1 images .*; give each folder that has some with --val-images"):
        open_source(train, val=moved, val_images=tmp_path)
    assert sum(sample.own_val for sample in open_source(train, val=moved, val_images=[tmp_path, tmp_path / "val"])) == 1


def test_unknown_categories_are_refused(train: Path, tmp_path: Path) -> None:
    other = make_set(tmp_path / "other", {1: "kite", 2: "harp"}, {3: "c.jpg"})
    with pytest.raises(MosaicFusionError, match=r"has 1 category that .*train/set.json lacks: 'harp'"):
        open_source(train, val=other)


def test_all_categories_of_a_json_with_their_ids(train: Path, tmp_path: Path) -> None:
    names = ["bow", "drum", "harp", "kite"]
    listed: Any = [{"id": k, "name": name, "frequency": "r"} for k, name in enumerate(names, start=1)]
    dataset = open_source(train, categories=write_json(tmp_path / "lvis.json", {"categories": listed}))
    assert [(c["id"], c["name"], c["instance_count"]) for c in dataset.categories] == [
        (1, "bow", 0), (2, "drum", 2), (3, "harp", 0), (4, "kite", 2),
    ]  # fmt: skip
    assert {a.category_id for sample in dataset for a in sample.annotations} == {2, 4}


def test_lvis_warns_of_gaps_in_the_ids(train: Path, tmp_path: Path) -> None:
    gaps = make_set(tmp_path / "gaps", {45: "kite"}, {3: "c.jpg"})
    assert any("--categories lvis_v1_train.json" in note for note in export(gaps, "lvis", tmp_path / "out").notes)
    assert export(train, "lvis", tmp_path / "plain").notes == ()
