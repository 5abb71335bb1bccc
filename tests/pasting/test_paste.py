"""Pasted sets: real images with more objects, whose rows and lists stay true."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.command_line import call
from support.shapes_set import BAR, SQUARE, write_set

import mosaicfusion as mf
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``real/`` with six images and ``source/`` with nine, of which every third has a bar."""
    folder = tmp_path_factory.mktemp("pasting")
    write_set(folder / "real", "train", first_id=1, count=6)
    write_set(folder / "source", "train", first_id=201, count=9)
    (folder / "source/train.json").rename(folder / "source/images/train.json")
    return folder


def paste(sets: Path, out: Path, **options: Any) -> dict[str, Any]:
    mf.paste(
        str(sets / "real/train.json"), sets / "source/images/train.json", out, images=sets / "real/images", **options
    )
    data: dict[str, Any] = json.loads(out.read_text())
    return data


def test_images_have_their_own_objects_and_pasted_ones(sets: Path, tmp_path: Path) -> None:
    data = paste(sets, tmp_path / "new/pasted.json", count=8, objects=(2, 3))
    real = json.loads((sets / "real/train.json").read_text())
    assert len(data["images"]) == 8
    assert all(image["synthetic"] for image in data["images"])
    assert len(data["annotations"]) > len(real["annotations"])
    for image in data["images"]:
        pixels = np.asarray(Image.open(tmp_path / "new" / image["file_name"]))
        assert pixels.shape == (48, 64, 3)
        rows = [row for row in data["annotations"] if row["image_id"] == image["id"]]
        shown = {row["category_id"] for row in rows}
        assert not shown & set(image["neg_category_ids"])
    assert call("validate", tmp_path / "new/pasted.json").exit_code == 0


def test_the_lists_say_what_was_searched_for(sets: Path, tmp_path: Path) -> None:
    """Discs are in every image, squares and bars are searched for in all: nothing becomes not exhaustive."""
    data = paste(sets, tmp_path / "a.json", count=6)
    assert all(image["not_exhaustive_category_ids"] == [] for image in data["images"])
    real = json.loads((sets / "real/train.json").read_text())
    for image in real["images"]:
        image["neg_category_ids"] = []
    (sets / "real/unsearched.json").write_text(json.dumps(real))
    mf.paste(
        sets / "real/unsearched.json",
        [sets / "source/images/train.json"],
        tmp_path / "b.json",
        images=sets / "real/images",
        count=6,
    )
    data = json.loads((tmp_path / "b.json").read_text())
    partial = {id_ for image in data["images"] for id_ in image["not_exhaustive_category_ids"]}
    assert partial and partial <= {SQUARE, BAR}


def test_each_instance_says_whether_it_is_synthetic(sets: Path, tmp_path: Path) -> None:
    data = paste(sets, tmp_path / "a.json", count=6)
    real = len(json.loads((sets / "real/train.json").read_text())["annotations"])
    marks = [row["synthetic"] for row in data["annotations"]]
    assert marks.count(False) == real < len(marks)


def test_only_images_that_are_pasted_on_are_read(sets: Path, tmp_path: Path) -> None:
    shutil.copytree(sets / "real", tmp_path / "real")
    failed = 0
    for image in sorted((tmp_path / "real/images/train").iterdir()):
        content = image.read_bytes()
        image.write_bytes(content[:100])
        try:
            mf.paste(
                tmp_path / "real/train.json", sets / "source/images/train.json", tmp_path / image.stem / "x.json",
                images=tmp_path / "real/images", count=2,
            )  # fmt: skip
        except MosaicFusionError as error:
            assert f"{image} cannot be read as an image" in str(error)
            failed += 1
        image.write_bytes(content)
    assert failed == 2


def test_the_same_seed_gives_the_same_set(sets: Path, tmp_path: Path) -> None:
    first, again, other = (
        paste(sets, tmp_path / name / "x.json", count=5, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first["annotations"] != other["annotations"]
    names = [image["file_name"] for image in first["images"]]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_the_rarer_a_category_the_more_it_is_pasted(sets: Path, tmp_path: Path) -> None:
    summary = mf.paste(
        sets / "real/train.json", sets / "source/images/train.json", tmp_path / "x.json", images=sets / "real/images",
        count=60, max_hidden=1,
    )  # fmt: skip
    assert summary.pasted["bar"] > summary.pasted["disc"]


def test_hidden_parts_leave_the_masks_of_real_objects(sets: Path, tmp_path: Path) -> None:
    data = paste(sets, tmp_path / "x.json", count=6, objects=(8, 8), max_hidden=0.9)
    for image in data["images"]:
        rows = [row for row in data["annotations"] if row["image_id"] == image["id"]]
        masks = [rle.decode(row["segmentation"]) for row in rows if isinstance(row["segmentation"], dict)]
        assert np.sum(masks, axis=0).max() == 1
        assert [row["area"] for row in rows if isinstance(row["segmentation"], dict)] == [mask.sum() for mask in masks]


def test_two_runs_with_the_same_seed_count_once(sets: Path, tmp_path: Path) -> None:
    settings = [
        *("generate", "-c", "banana, teapot", "-n", "1", "--grid", "2x2", "--steps", "2", "--policy", "not_exhaustive"),
        *("--set", "masks.min_area=0", "--set", "masks.max_area=1", "--set", "layout.region_hw_px=[64,64]"),
        *("--set", "layout.overlap_xy_px=[16,16]"),
    ]
    for name in ("one", "two"):
        assert call(*settings, "--out", tmp_path / name).exit_code == 0
    data = json.loads((sets / "real/train.json").read_text())
    for category, name in zip(data["categories"], ("banana", "teapot"), strict=False):
        category.update(name=name, synonyms=[name], synset="")
    real = tmp_path / "real.json"
    real.write_text(json.dumps(data))
    left_out = [
        [line for line in call(
            "paste", real, *runs, "--images", sets / "real/images", "-o", tmp_path / f"{len(runs)}.json", "--count", 1
        ).stderr.splitlines() if "nearly the same" in line]
        for runs in ([tmp_path / "one"], [tmp_path / "one", tmp_path / "two"])
    ]  # fmt: skip
    instances = len(json.loads((tmp_path / "one/lvis.json").read_text())["annotations"])
    assert left_out == [[], [f"note: left out: instances that are nearly the same as others: {instances}"]]


def test_on_the_command_line(sets: Path, tmp_path: Path) -> None:
    out = tmp_path / "pasted.json"
    result = call(
        "paste", sets / "real/train.json", sets / "source/images/train.json", "--images", sets / "real/images",
        "-o", out, "--count", 4, "--objects", 2,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "pasted on 4 images" in " ".join(result.stdout.split())
    merged = call(
        "merge", sets / "real/train.json", out, "-o", tmp_path / "plus.json", "--images", sets / "real/images",
        "--copy-images",
    )  # fmt: skip
    assert merged.exit_code == 0, merged.output
    assert call("validate", tmp_path / "plus.json").exit_code == 0


def test_what_cannot_be_pasted_is_said(sets: Path, tmp_path: Path) -> None:
    real, source, images = sets / "real/train.json", sets / "source/images/train.json", sets / "real/images"
    data = json.loads(source.read_text())
    for category in data["categories"]:
        category.update(name=f"other {category['name']}", synonyms=[], synset="")
    (sets / "source/images/other.json").write_text(json.dumps(data))
    with pytest.raises(MosaicFusionError, match="no instance of a category that the real set has"):
        mf.paste(real, sets / "source/images/other.json", tmp_path / "x.json", images=images)
    for options in ({"objects": (3, 2)}, {"max_hidden": 1.5}):
        with pytest.raises(MosaicFusionError, match="give fewest and most from 1 on"):
            mf.paste(real, source, tmp_path / "x.json", images=images, **options)
    (tmp_path / "old.json").write_text("{}")
    with pytest.raises(MosaicFusionError, match=r"old.json exists; give another --out, or remove it .* old-images/"):
        mf.paste(real, source, tmp_path / "old.json", images=images)
    with pytest.raises(MosaicFusionError, match="give a count from 1 on"):
        mf.paste(real, source, tmp_path / "x.json", images=images, count=0)
