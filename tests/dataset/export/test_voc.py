"""Pascal VOC: xml by the standard parser, png by pillow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mosaicfusion.dataset.export import export
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image)


def painted(masks: list[np.ndarray[Any, Any]], hw: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Larger objects first, so that the smaller ones are on top."""
    values = np.zeros(hw, np.uint8)
    for number in sorted(range(len(masks)), key=lambda number: -masks[number].sum()):
        values[masks[number]] = number + 1
    return values


def test_objects_have_the_categories_boxes_and_masks_of_the_source(example: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(example.source, "voc", out, **example.arguments)
    categories = {category["id"]: category for category in json.loads((out / "categories.json").read_text("utf-8"))}
    for image_id, masks in example.masks.items():
        root = ElementTree.parse(out / f"Annotations/{image_id:012d}.xml").getroot()
        with Image.open(out / "JPEGImages" / str(root.findtext("filename"))) as image:
            hw = image.size[::-1]
            assert [root.findtext(f"size/{side}") for side in ("width", "height")] == [str(side) for side in image.size]
        assert (out / "JPEGImages" / str(root.findtext("filename"))).read_bytes() == example.images[image_id]
        names = [thing.findtext("name") for thing in root.findall("object")]
        assert names == [categories[category_id]["name"] for category_id in example.category_ids[image_id]]
        objects = pixels(out / f"SegmentationObject/{image_id:012d}.png")
        assert np.array_equal(objects, painted(masks, hw))
        classes = [0, *(categories[category_id]["index"] + 1 for category_id in example.category_ids[image_id])]
        assert np.array_equal(pixels(out / f"SegmentationClass/{image_id:012d}.png"), np.array(classes)[objects])


def test_masks_that_do_not_overlap_are_the_same(run: Any, tmp_path: Path) -> None:
    done = export(run.source, "voc", tmp_path / "out")
    objects = pixels(tmp_path / "out/SegmentationObject/000000000003.png")
    assert np.array_equal([objects == 1, objects == 2], run.masks[3])
    ring, small = run.masks[1]
    assert f"{np.count_nonzero(ring & small)} pixels of objects are covered by smaller ones" in done.notes


def test_boxes_count_from_one_and_include_both_ends(run: Any, tmp_path: Path) -> None:
    export(run.source, "voc", tmp_path / "out")
    root = ElementTree.parse(tmp_path / "out/Annotations/000000000003.xml").getroot()
    for thing, mask in zip(root.findall("object"), run.masks[3], strict=True):
        left, top, right, bottom = (
            int(thing.findtext(f"bndbox/{side}") or 0) for side in ("xmin", "ymin", "xmax", "ymax")
        )
        assert [left - 1, top - 1, right - left + 1, bottom - top + 1] == rle.box_xywh(mask)


def test_crowds_are_difficult(coco: Any, tmp_path: Path) -> None:
    export(coco.source, "voc", tmp_path / "out", **coco.arguments)
    root = ElementTree.parse(tmp_path / "out/Annotations/000000000009.xml").getroot()
    assert [thing.findtext("difficult") for thing in root.findall("object")] == ["0", "1"]
    xmax = [thing.findtext("bndbox/xmax") for thing in root.findall("object")]
    assert xmax == ["31", "40"]


def test_image_sets_list_every_image(coco: Any, tmp_path: Path) -> None:
    export(coco.source, "voc", tmp_path / "out", val_fraction=0.5, **coco.arguments)
    for task in ("Main", "Segmentation"):
        listed = {
            split: (tmp_path / f"out/ImageSets/{task}/{split}.txt").read_text().split()
            for split in ("train", "val", "trainval")
        }
        assert sorted(listed["train"] + listed["val"]) == listed["trainval"] == [f"{i:012d}" for i in (5, 6, 9)]
        assert listed["train"]
        assert listed["val"]


def test_palette_is_the_published_colour_map(run: Any, tmp_path: Path) -> None:
    """The published colour map: 1 is maroon, 2 green, 15 a skin tone, 255 cream."""
    export(run.source, "voc", tmp_path / "out")
    with Image.open(tmp_path / "out/SegmentationObject/000000000001.png") as image:
        palette = np.reshape(image.getpalette() or [], (-1, 3))
    assert palette[[0, 1, 2, 15, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [192, 128, 128],
        [224, 224, 192],
    ]


def rewritten(coco: Any, **changes: Any) -> None:
    coco.source.write_text(json.dumps({**json.loads(coco.source.read_text()), **changes}))


def test_many_categories_have_no_class_png(coco: Any, tmp_path: Path) -> None:
    rewritten(coco, categories=[{"id": i, "name": f"c{i}"} for i in range(1, 300)])
    done = export(coco.source, "voc", tmp_path / "out", **coco.arguments)
    assert "no SegmentationClass: 299 categories, and 8 bits hold 254" in done.notes
    assert not (tmp_path / "out/SegmentationClass").exists()
    assert (tmp_path / "out/SegmentationObject").exists()


def test_too_many_objects_are_refused(coco: Any, tmp_path: Path) -> None:
    one = json.loads(coco.source.read_text())["annotations"][1]
    rewritten(coco, annotations=[{**one, "id": i} for i in range(255)])
    with pytest.raises(MosaicFusionError, match="image 5 has 255 objects, and VOC's png holds at most 254"):
        export(coco.source, "voc", tmp_path / "out", **coco.arguments)
    assert not list(tmp_path.glob("*out*"))


def test_a_name_that_xml_cannot_store_is_refused(coco: Any, tmp_path: Path) -> None:
    rewritten(coco, categories=[{"id": 90, "name": "a\0b"}, {"id": 1, "name": "person"}])
    with pytest.raises(MosaicFusionError, match=r"category 'a\\x00b' holds characters that xml cannot"):
        export(coco.source, "voc", tmp_path / "out", **coco.arguments)
