"""Inputs of the same kinds as those in ``data/``, made from the good one, ``ok.json``, whose images show a red square."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from support.images import encode

Json = dict[str, Any]
SQUARE = [8, 8, 31, 8, 31, 31, 8, 31]
_TURNED = {5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}  # from upright to stored pixels


def write_brothers(folder: Path) -> None:
    """Write all of them into a folder that holds ``ok.json`` and ``img/``."""
    ok = json.loads((folder / "ok.json").read_text())
    for name, edit in EDITS.items():
        data = deepcopy(ok)
        edit(data)
        (folder / f"{name}.json").write_text(json.dumps(data))
    plain = (folder / "ok.json").read_text()
    (folder / "gzip.json").write_bytes(gzip.compress(plain.encode()))
    (folder / "utf16.json").write_text(plain, encoding="utf-16")
    _write_images(folder / "img")
    for orientation in _TURNED:
        write_turned(folder, orientation)


def write_turned(folder: Path, orientation: int) -> None:
    """Write an image with EXIF's mark, and its jsons ``stored_K`` and ``upright_K``; the object is a quarter of the picture."""
    upright = np.zeros((48, 64, 3), np.uint8)
    upright[4:24, 8:40] = 255
    image = Image.fromarray(upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image.transpose(Image.Transpose[_TURNED[orientation]])
    stored.save(folder / "img" / f"exif{orientation}.png", exif=exif)
    for name, pixels in (("stored", stored), ("upright", image)):
        left, top, right, bottom = pixels.getbbox() or (0, 0, 0, 0)
        box = [left, top, right - left, bottom - top]
        outline = [left, top, right, top, right, bottom, left, bottom]
        data = {
            "images": [{"id": 1, "file_name": f"exif{orientation}.png", "width": pixels.width, "height": pixels.height}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3],
                             "iscrowd": 0, "segmentation": [outline]}],
            "categories": [{"id": 1, "name": "banana"}],
        }  # fmt: skip
        (folder / f"{name}_{orientation}.json").write_text(json.dumps(data))


def _write_images(folder: Path) -> None:
    """The first image again in other formats: with a palette, compressed otherwise, of 16 bits, turned by TIFF's mark, tiny."""
    with Image.open(folder / "a.jpg") as image:
        pixels = np.asarray(image.convert("RGB"))
    for kind in ("GIF", "AVIF", "WEBP", "TIFF"):
        (folder / f"a.{kind.lower()}").write_bytes(encode(pixels, kind))
    (folder / "deep.png").write_bytes(encode(pixels[..., 0].astype(np.uint16) * 257, "PNG"))
    (folder / "tiny.jpg").write_bytes(encode(pixels[:6, :4], "JPEG"))


def _first(key: str, **values: Any) -> Callable[[Json], None]:
    return lambda data: data[key][0].update(values)


def _both_crowds(data: Json) -> None:
    for row in data["annotations"]:
        row["iscrowd"] = 1


def _same_names(data: Json) -> None:
    data["categories"] += [{"id": 3, "name": "Banana"}]


def _half_broken(data: Json) -> None:
    data["images"].append({"id": 3, "file_name": "trunc2.jpg", "width": 128, "height": 96})


EDITS: dict[str, Callable[[Json], None]] = {
    "infinity_with_mask": _first("annotations", bbox=[float("inf"), float("nan"), 1, 1]),
    "all_crowds": _both_crowds,
    "same_names": _same_names,
    "half_broken": _half_broken,
    "backslash": _first("images", file_name=".\\a.jpg"),
    "seg_null": _first("annotations", segmentation=None),
    "seg_blank_parts": _first("annotations", segmentation=[[]]),
    "seg_object": _first("annotations", segmentation={}),
    "crowd_true": _first("annotations", iscrowd=True),
    "id_true": _first("images", id=True),
    "category_true": _first("annotations", category_id=True),
    "width_true": _first("images", width=True),
    "polygon_true": _first("annotations", segmentation=[[True, *SQUARE[1:]]]),
    "id_float": _first("annotations", image_id=1.0, category_id=1.0),
    "image_id_65_bits": _first("images", id=2**64),
    "annotation_id_64_bits": _first("annotations", id=2**63),
    "category_id_70_bits": _first("categories", id=-(2**70)),
    "keypoints": _first("annotations", keypoints=[9, 9, 2], num_keypoints=1),
    "gif": _first("images", file_name="a.gif"),
    "avif": _first("images", file_name="a.avif"),
    "webp": _first("images", file_name="a.webp"),
    "tiff": _first("images", file_name="a.tiff"),
    "deep": _first("images", file_name="deep.png"),
}
