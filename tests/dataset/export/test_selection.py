"""Objects that no reader can use are left out of every export and counted; images that EXIF turns lose the mark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.images import encode
from support.lvis_sets import jpeg, write_json

from mosaicfusion.dataset.export import FORMATS, export
from mosaicfusion.dataset.stats import read_stats
from mosaicfusion.errors import MosaicFusionError

SQUARE = [[4, 4, 12, 4, 12, 12, 4, 12]]
CROWD = {"size": [32, 48], "counts": [0, 64, 32 * 48 - 64]}


def make_set(folder: Path, *objects: dict[str, Any], **image: Any) -> Path:
    """One image of 32 x 48 (height x width) with these annotations."""
    row = {"id": 1, "file_name": "a.jpg", "height": 32, "width": 48, **image}
    base = {"image_id": 1, "category_id": 2, "bbox": [4, 4, 8, 8], "area": 64, "segmentation": SQUARE}
    annotations = [{**base, "id": k, **values} for k, values in enumerate(objects, start=1)]
    categories = [{"id": 2, "name": "kite"}]
    (folder / "a.jpg").write_bytes(jpeg())
    return write_json(folder / "set.json", {"images": [row], "annotations": annotations, "categories": categories})


@pytest.mark.parametrize("to", FORMATS)
def test_a_line_is_left_out_of_every_format(tmp_path: Path, to: str) -> None:
    line = {"segmentation": [[29, 38, 29, 38, 30, 38, 30, 38]], "bbox": [29, 38, 1, 0], "area": 0}
    done = export(make_set(tmp_path, {}, line), to, tmp_path / "out", images=tmp_path)
    assert done.instances == 1
    assert "left out: objects without a pixel: 1" in done.notes
    (category,) = json.loads((tmp_path / "out/categories.json").read_text())
    assert (category["image_count"], category["instance_count"]) == (1, 1)


@pytest.mark.parametrize(("to", "instances"), [("yolo", 1), ("lvis", 1), ("coco", 2), ("hf", 2)])
def test_instances_are_those_that_were_written(tmp_path: Path, to: str, instances: int) -> None:
    source = make_set(tmp_path, {}, {"iscrowd": 1, "segmentation": CROWD})
    done = export(source, to, tmp_path / "out", images=tmp_path)
    assert done.instances == instances
    assert ("left out: crowds: 1" in done.notes) == (instances == 1)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([{"iscrowd": 1, "segmentation": CROWD}], r"1 crowds; if .* `mosaicfusion validate --fix` clears"),
        ([], "it has none"),
    ],
)
def test_an_export_without_any_object_is_refused(tmp_path: Path, objects: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(MosaicFusionError, match=f"no object of .*set.json can be exported: {message}"):
        export(make_set(tmp_path, *objects), "yolo", tmp_path / "out", images=tmp_path)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "set.json: 1 of 2 annotations have no mask, the first is annotation 2"),
        (
            [["8", "8", "31", "8", "31", "31"]],
            "set.json: annotation 2: the segmentation holds a polygon that is not a list of",
        ),
    ],
)
def test_masks_that_cannot_be_read_are_named_with_their_file(tmp_path: Path, segmentation: Any, message: str) -> None:
    with pytest.raises(MosaicFusionError, match=message):
        export(make_set(tmp_path, {}, {"segmentation": segmentation}), "coco", tmp_path / "out", images=tmp_path)
    assert not list(tmp_path.glob("*out*"))


def test_real_images_stay_real(tmp_path: Path) -> None:
    source = make_set(tmp_path, {}, coco_url="http://images.cocodataset.org/train2017/a.jpg")
    export(source, "coco", tmp_path / "out", images=tmp_path)
    (image,) = json.loads((tmp_path / "out/coco.json").read_text())["images"]
    assert image["coco_url"] == image["file_name"] == "images/000000000001.jpg"
    assert image["source_coco_url"] == "http://images.cocodataset.org/train2017/a.jpg"
    assert read_stats(tmp_path / "out/coco.json").parts.keys() == {"all"}


def test_fields_that_parquet_lacks_are_named(tmp_path: Path) -> None:
    done = export(make_set(tmp_path, {"mood": 1}), "hf", tmp_path / "out", images=tmp_path)
    assert "fields of annotations left out: mood" in done.notes


def test_half_an_image_is_refused(tmp_path: Path) -> None:
    source = make_set(tmp_path, {})
    data = encode(np.random.default_rng(0).integers(0, 256, (32, 48), np.uint8))
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(MosaicFusionError, match=r"a.jpg cannot be read as an image .*truncated"):
        export(source, "coco", tmp_path / "out", images=tmp_path)


@pytest.mark.parametrize(
    ("kind", "stored", "note"),
    [
        ("JPEG", True, "1 image lost the EXIF mark"),
        ("PNG", True, "1 image lost the EXIF mark"),
        ("WEBP", True, "1 image lost the EXIF mark"),
        ("JPEG", False, "1 image turned as the EXIF mark says"),
        ("PNG", False, "1 image turned as the EXIF mark says"),
    ],
)
def test_pixels_of_images_that_exif_turns_are_those_of_the_masks(
    tmp_path: Path, kind: str, stored: bool, note: str
) -> None:
    pixels = np.zeros((32, 48) if stored else (48, 32), np.uint8)
    pixels[4:12, 4:12] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # clockwise by a quarter
    source = make_set(tmp_path, {})
    (tmp_path / "a.jpg").write_bytes(encode(pixels, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {})))
    done = export(source, "coco", tmp_path / "out", images=tmp_path)
    assert any(line.startswith(note) for line in done.notes)
    (file,) = (tmp_path / "out/images").iterdir()
    with Image.open(file) as image:
        assert image.getexif().get(0x0112, 1) == 1
        assert np.abs(np.asarray(image.convert("L"), int) - (pixels if stored else np.rot90(pixels, -1))).max() < 40
    if stored and kind == "JPEG":  # two bytes of the mark, nothing else
        pairs = zip(file.read_bytes(), (tmp_path / "a.jpg").read_bytes(), strict=True)
        assert sum(one != other for one, other in pairs) == 1
