"""Pools of instances: what is in them, how it is cut out, and what is refused before anything is pasted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.shapes_set import BAR, CATEGORIES, COLOURS, DISC, HW, SQUARE, write_set

from mosaicfusion.dataset.coco import CategoryRef
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.pasting.cutouts import CutoutPool

REFS = [CategoryRef(each["id"], each["name"]) for each in CATEGORIES]
Json = dict[str, Any]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A json of six images beside it: six discs, three squares, two bars."""
    write_set(tmp_path, "train", first_id=1, count=6)
    (tmp_path / "train.json").rename(tmp_path / "images/train.json")
    return tmp_path / "images/train.json"


def edit(path: Path, change: Callable[[Json], object]) -> Path:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


def rows_of(data: Json, category: int) -> list[Json]:
    return [row for row in data["annotations"] if row["category_id"] == category]


def counts(pool: CutoutPool) -> dict[int, int]:
    return {id_: len(found) for id_, found in pool.instances.items()}


def test_cutouts_have_the_pixels_of_their_masks(source: Path) -> None:
    pool = CutoutPool.open([source], REFS)
    assert counts(pool) == {DISC: 6, SQUARE: 3, BAR: 2}
    rng = np.random.default_rng(0)
    for category, colour in COLOURS.items():
        cutout = pool.cut(category, rng)
        assert cutout.pixels.shape[:2] == cutout.mask.shape
        assert np.unique(cutout.pixels[cutout.mask], axis=0).tolist() == [list(colour)]
        assert cutout.mask.any(0).all() and cutout.mask.any(1).all()


def test_several_sources_are_one_pool(source: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(source.parent, tmp_path / "other")) / source.name
    for file in other.parent.rglob("*.png"):
        with Image.open(file) as image:
            stripes = np.asarray(image) // 2 + np.where(np.arange(HW[1]) // 4 % 2, 0, 90)[None, :, None]
        Image.fromarray(stripes.astype(np.uint8)).save(file)
    pool = CutoutPool.open([other, source], REFS[1:2])
    assert {instance.file.is_relative_to(other.parent) for instance in pool.instances[SQUARE]} == {True, False}
    assert pool.unmatched == ["disc", "bar"]


def test_of_several_sources_what_is_nearly_the_same_is_left_out(source: Path, tmp_path: Path) -> None:
    assert counts(CutoutPool.open([source], REFS)) == {DISC: 6, SQUARE: 3, BAR: 2}, "a single source is taken as it is"
    pool = CutoutPool.open([source, source], REFS)
    assert counts(pool) == {DISC: 2, SQUARE: 1, BAR: 1}, "shapes of one colour differ in size alone"
    assert pool.left_out == {"instances that are nearly the same as others": 22 - 4}


def test_pieces_are_left_out_unless_a_category_has_nothing_else(source: Path) -> None:
    def hide(data: Json) -> None:
        for row in [*rows_of(data, DISC)[:2], *rows_of(data, BAR)]:
            row["amodal_segmentation"] = row["segmentation"]

    pool = CutoutPool.open([edit(source, hide)], REFS)
    assert counts(pool) == {DISC: 4, SQUARE: 3, BAR: 2}
    assert pool.left_out == {"instances that are hidden in part": 2}


def test_crowds_and_boxes_alone_are_left_out(source: Path) -> None:
    def change(data: Json) -> None:
        rows_of(data, DISC)[0].update(iscrowd=1, segmentation={"size": list(HW), "counts": [HW[0] * HW[1]]})
        rows_of(data, SQUARE)[0].update(segmentation=[])

    pool = CutoutPool.open([edit(source, change)], REFS)
    assert counts(pool) == {DISC: 5, SQUARE: 2, BAR: 2}
    assert pool.left_out == {"crowds": 1, "objects without a mask": 1}


def test_a_turned_image_is_cut_as_its_row_says(source: Path) -> None:
    """The file is stored lying on its side, with EXIF's mark; the row has the size of the upright image."""
    (first, *_) = sorted(source.parent.glob("train/*.png"))
    with Image.open(first) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(first, exif=exif)
    pool = CutoutPool.open([source], REFS)
    for instance in pool.instances[DISC]:
        cutout = instance.cut()
        assert np.unique(cutout.pixels[cutout.mask], axis=0).tolist() == [list(COLOURS[DISC])]


def test_images_that_do_not_fit_are_refused(source: Path) -> None:
    (first, *_) = sorted(source.parent.glob("train/*.png"))
    content = first.read_bytes()
    Image.new("RGB", (32, 24)).save(first)
    with pytest.raises(MosaicFusionError, match=f"{first} has 32 x 24 pixels, its record says 64 x 48"):
        CutoutPool.open([source], REFS)
    Image.new("I;16", (64, 48)).save(first)
    with pytest.raises(MosaicFusionError, match=f"{first} has more than 8 bits per channel"):
        CutoutPool.open([source], REFS)
    first.write_bytes(content[:-200])
    with pytest.raises(MosaicFusionError, match=f"{first} cannot be read as an image"):
        CutoutPool.open([source], REFS)
    first.unlink()
    with pytest.raises(MosaicFusionError, match=r"there is no file 'train/0{11}1.png' in .*images"):
        CutoutPool.open([source], REFS)


def test_a_pool_without_anything_to_paste_says_why(source: Path, tmp_path: Path) -> None:
    others = [CategoryRef(1, "kite")]
    with pytest.raises(
        MosaicFusionError, match=r"nothing to paste; left out: those of other categories \(disc, square, bar\)"
    ):
        CutoutPool.open([source], others)
    for absent in ("absent", "absent/pool.json"):
        with pytest.raises(MosaicFusionError, match=f"there is no .*/{absent}; give a run folder, or a json beside"):
            CutoutPool.open([tmp_path / absent], REFS)

    def crowd(data: Json) -> None:
        for row in data["annotations"]:
            row.update(iscrowd=1, segmentation={"size": list(HW), "counts": [HW[0] * HW[1]]})

    with pytest.raises(MosaicFusionError, match="nothing to paste; left out: 11 crowds"):
        CutoutPool.open([edit(source, crowd)], REFS)


def test_a_mask_that_is_not_valid_is_named(source: Path) -> None:
    edit(source, lambda data: data["annotations"][1].update(segmentation=[[1, 2, 3]]))
    with pytest.raises(MosaicFusionError, match=r"train.json: annotation 2: .*; `mosaicfusion validate"):
        CutoutPool.open([source], REFS)
