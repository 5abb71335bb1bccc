"""YOLO, read by the rules of Ultralytics: files beside each other, a polygon a line, names in the yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from support.lvis_sets import jpeg, write_json

from mosaicfusion.dataset.export import export
from mosaicfusion.dataset.export.yolo import original_stems, single_polygon
from mosaicfusion.dataset.reader import open_json
from mosaicfusion.dataset.sample import Annotation
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle

IDS = {"a-same": 9, "b-same": 5, "empty.v2": 6}  # stems of the json's images; two files have one name


def read(out: Path, split: str = "train") -> dict[int, list[tuple[int, np.ndarray[Any, Any]]]]:
    """Objects of each image by its id: category and corners (N, 2), from 0 to 1."""
    data = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))
    objects = {}
    for image in (out / data[split]).iterdir():
        label = Path(str(image.with_suffix(".txt")).replace("/images/", "/labels/"))
        rows = [line.split() for line in label.read_text().splitlines()]
        assert all(len(row) >= 7 and len(row) % 2 for row in rows)  # five numbers would be a box
        objects[IDS.get(image.stem) or int(image.stem)] = [
            (int(row[0]), np.array(row[1:], float).reshape(-1, 2)) for row in rows
        ]
    return objects


def filled(corners: np.ndarray[Any, Any], hw: tuple[int, int]) -> np.ndarray[Any, Any]:
    outline = (corners * hw[::-1]).ravel().tolist()
    return np.asarray(coco_mask.decode(coco_mask.frPyObjects([outline], *hw)[0]), dtype=bool)


def test_masks_are_the_same(example: Any, tmp_path: Path) -> None:
    done = export(example.source, "yolo", tmp_path / "out", **example.arguments)
    names = yaml.safe_load((tmp_path / "out/data.yaml").read_text(encoding="utf-8"))["names"]
    assert list(names) == list(range(done.categories))
    index_of = {category_id: index for index, category_id in enumerate([3, 7, 12] if 1 in example.masks else [1, 90])}
    objects = read(tmp_path / "out")
    assert objects.keys() == example.masks.keys()
    crowds = 0
    for image_id, masks in example.masks.items():
        kept = [
            pair
            for pair in zip(masks, example.category_ids[image_id], strict=True)
            if not is_crowd(example, *pair, image_id)
        ]
        crowds += len(masks) - len(kept)
        assert [index for index, _ in objects[image_id]] == [index_of[category_id] for _, category_id in kept]
        for (_, corners), (mask, _) in zip(objects[image_id], kept, strict=True):
            assert np.array_equal(filled(corners, mask.shape), mask)
    assert ("left out: crowds: 1" in done.notes) == (crowds == 1)


def is_crowd(example: Any, mask: np.ndarray[Any, Any], category_id: int, image_id: int) -> bool:
    return bool((image_id, category_id) == (9, 1) and "images" in example.arguments)


def test_boxes_are_exact_to_a_hundredth_of_a_pixel(run: Any, tmp_path: Path) -> None:
    """Ultralytics computes the box from the polygon, which is moved inwards so that its border fills no other pixel."""
    export(run.source, "yolo", tmp_path / "out")
    for image_id, objects in read(tmp_path / "out").items():
        for (_, corners), mask in zip(objects, run.masks[image_id], strict=True):
            pixels = corners * mask.shape[::-1]
            box = [*pixels.min(0), *(pixels.max(0) - pixels.min(0))]
            assert np.allclose(box, rle.box_xywh(mask), atol=0.0201)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 17))))
def test_parts_and_holes_are_joined_into_one_polygon(mask: np.ndarray[Any, Any]) -> None:
    outline = single_polygon(Annotation({"id": 1, "segmentation": rle.encode(mask)}, mask.shape))
    assert len(outline) == 0 if not mask.any() else len(outline) >= 4
    if mask.any():
        corners = np.round(outline / mask.shape[::-1], 6)
        assert np.array_equal(filled(corners, mask.shape), mask)


def test_joined_parts_survive_the_rasterisation_of_ultralytics(run: Any, tmp_path: Path) -> None:
    """At 10 times the size: exact but for a line from part to part."""
    export(run.source, "yolo", tmp_path / "out")
    _, corners = read(tmp_path / "out")[3][0]
    large = np.zeros((400, 640), np.uint8)
    cv2.fillPoly(large, [(corners * (640, 400)).astype(np.int32)], 1)
    exact = np.kron(run.masks[3][0], np.ones((10, 10), bool))
    corner_to_corner = 10 * np.hypot(50 - 36, 30 - 7)
    assert not (exact & (large == 0)).any()
    assert 0 < np.count_nonzero(~exact & (large == 1)) <= corner_to_corner


@pytest.mark.parametrize("clockwise", [1, -1])
def test_own_polygons_fill_the_same_pixels_in_opencv(clockwise: int) -> None:
    """A square of 23 x 23 pixels: without the inset, OpenCV would fill 24 x 24."""
    square = np.array([[8, 8], [31, 8], [31, 31], [8, 31]])[::clockwise].ravel().tolist()
    outline = single_polygon(Annotation({"id": 1, "segmentation": [square]}, (48, 64)))
    canvas = np.zeros((48, 64), np.uint8)
    cv2.fillPoly(canvas, [outline.astype(np.int32)], 1)
    assert rle.box_xywh(canvas > 0) == [8, 8, 23, 23]
    assert canvas.sum() == 23 * 23


def test_names_are_listed_in_the_yaml(run: Any, tmp_path: Path) -> None:
    export(run.source, "yolo", tmp_path / "out")
    names = yaml.safe_load((tmp_path / "out/data.yaml").read_text(encoding="utf-8"))["names"]
    hostile = '../<img src=x onerror=alert(1)>/"a":\n- b # é \u2028 \U0001f600'
    assert names == {0: hostile, 1: "kite", 2: "no"}


def test_without_a_split_val_is_train_with_a_warning(run: Any, tmp_path: Path) -> None:
    done = export(run.source, "yolo", tmp_path / "out")
    data = yaml.safe_load((tmp_path / "out/data.yaml").read_text(encoding="utf-8"))
    assert data["val"] == data["train"] == "images/train"
    assert "path" not in data
    assert any("val is train" in note for note in done.notes)


def test_split_has_two_folders(coco: Any, tmp_path: Path) -> None:
    done = export(coco.source, "yolo", tmp_path / "out", val_fraction=0.5, **coco.arguments)
    train, val = read(tmp_path / "out"), read(tmp_path / "out", "val")
    assert train.keys() | val.keys() == {5, 6, 9}
    assert train
    assert val
    assert not train.keys() & val.keys()
    assert not any("val is train" in note for note in done.notes)


def merged_set(folder: Path) -> Path:
    """Six real images and two synthetic ones; one corner of each real object is 0.01 px outside, and one object is beyond."""
    outline = [-0.01, 0, 4, 0, 4, 32.01, -0.01, 4]
    rows = [{"file_name": f"{k}/photo{k % 5}.jpg"} for k in range(6)]
    rows += [{"file_name": f"synthetic-a-000/{k}.jpg", "coco_url": f"mosaicfusion://run/x/{k}.jpg"} for k in (0, 1)]
    images = [{"id": 10 + k, "height": 32, "width": 48, **row} for k, row in enumerate(rows)]
    base = {"category_id": 1, "bbox": [0, 0, 4, 4], "area": 16}
    objects = [{**base, "id": k, "image_id": 10 + k, "segmentation": [outline]} for k in range(8)]
    objects.append({**base, "id": 99, "image_id": 10, "segmentation": [[-9, 0, -5, 0, -5, 4]]})
    for image in images:
        (folder / image["file_name"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / image["file_name"]).write_bytes(jpeg())
    data = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "kite"}]}
    return write_json(folder / "merged.json", data)


def test_val_of_a_merged_set_is_real_with_the_original_names(tmp_path: Path) -> None:
    done = export(merged_set(tmp_path), "yolo", tmp_path / "out", images=tmp_path, val_fraction=0.6)
    stems = {split: {path.stem for path in (tmp_path / "out/images" / split).iterdir()} for split in ("train", "val")}
    synthetic = {"synthetic-a-000-0", "synthetic-a-000-1"}
    assert stems["train"] | stems["val"] == {"0-photo0", "photo1", "photo2", "photo3", "photo4", "5-photo0", *synthetic}
    assert synthetic < stems["train"]
    assert stems["val"]
    assert "val holds real images only" in done.notes
    labels = {path.stem for path in (tmp_path / "out/labels/val").iterdir()}
    assert labels == stems["val"]


def test_corners_are_clipped_and_objects_beyond_the_image_are_counted(tmp_path: Path) -> None:
    done = export(merged_set(tmp_path), "yolo", tmp_path / "out", images=tmp_path)
    lines = [line for path in (tmp_path / "out/labels").rglob("*.txt") for line in path.read_text().splitlines()]
    assert len(lines) == 8
    assert all(0 <= float(value) <= 1 for line in lines for value in line.split()[1:])
    assert "1 object beyond the image left out" in done.notes


@pytest.mark.parametrize(
    "name", ["a b.jpg", ".hidden.jpg", "a;b.jpg", "x" * 250 + ".jpg", "-a.jpg", "000000000010.jpg"]
)
def test_names_that_are_no_file_name_everywhere_are_replaced_by_the_id(tmp_path: Path, name: str) -> None:
    path = merged_set(tmp_path)
    data = json.loads(path.read_text())
    data["images"][2]["file_name"] = name
    path.write_text(json.dumps(data))
    assert 12 not in original_stems(open_json(path, tmp_path))
    assert original_stems(open_json(path, tmp_path))[11] == "photo1"


def test_an_empty_split_is_refused(run: Any, tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match=r"--val-fraction 0.0001 leaves no image for val"):
        export(run.source, "yolo", tmp_path / "out", val_fraction=0.0001)
    assert not list(tmp_path.glob("*out*"))
