"""Values with one meaning are mended, others stay; Roboflow's root category is told from a class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.lvis_sets import REAL_COCO, write_json

from mosaicfusion.dataset.coco import AnnotationRow, CategoryRef, DatasetFile, ImageRow
from mosaicfusion.dataset.mend import mended_rows, mended_values
from mosaicfusion.errors import MosaicFusionError


@pytest.mark.parametrize(
    ("key", "row", "expected"),
    [
        ("images", {"id": 1.0, "width": 640.0, "height": 480}, {"id": 1, "width": 640}),
        ("images", {"width": 640.5, "height": "480", "id": None}, {}),
        ("images", {"width": 1e300}, {}),
        ("annotations", {"iscrowd": None, "image_id": 3.0}, {"iscrowd": 0, "image_id": 3}),
        ("annotations", {"iscrowd": True}, {"iscrowd": 1}),
        ("annotations", {"iscrowd": 0.5}, {}),
        ("annotations", {"iscrowd": "0"}, {}),
        ("categories", {"id": 2.0, "name": None}, {"id": 2}),
    ],
)
def test_values_with_one_meaning_are_mended(key: str, row: dict[str, Any], expected: dict[str, Any]) -> None:
    values = mended_values(key, row)
    assert values == expected
    assert all(type(value) is int for value in values.values())


def test_other_fields_and_rows_keep_their_bytes() -> None:
    rows = [msgspec.Raw(row) for row in (b'{"id":1.0,"x":1.10}', b'{"id":2, "x":3.00}', b"7", b'{"id":1e999}')]
    mended, changed = mended_rows("images", rows)
    assert [bytes(row) for row in mended] == [b'{"id":1,"x":1.10}', *map(bytes, rows[1:])]
    assert changed == 1


def test_a_file_is_mended_where_it_is_needed(tmp_path: Path) -> None:
    data = json.loads(json.dumps(REAL_COCO))
    data["images"][0] |= {"width": 48.0, "height": 32.0}
    data["annotations"][0] |= {"iscrowd": None}
    file = DatasetFile.open(write_json(tmp_path / "set.json", data))
    assert file.parse("images", list[ImageRow])[0].hw == (32, 48)
    assert file.parse("annotations", list[AnnotationRow])[0].iscrowd == 0
    assert [remark.kind for remark in file.remarks] == ["whole-number"] * 2
    data["images"][0]["width"] = 48.5
    with pytest.raises(MosaicFusionError, match=r"`images\[0\].width`"):
        DatasetFile.open(write_json(tmp_path / "set.json", data)).parse("images", list[ImageRow])


def categories(*rows: tuple[int, str, str | None]) -> list[dict[str, Any]]:
    return [{"id": id_, "name": name, "supercategory": parent} for id_, name, parent in rows]


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([(0, "toys", "none"), (2, "kite", "toys"), (3, "ball", "toys")], ["kite", "ball"]),
        ([(0, "kite", "none"), (2, "kite", "kite")], ["kite"]),
        ([(2, "kite", "toys"), (1, "toys", None)], ["kite"]),
        ([(1, "toys", "none"), (2, "kite", "toys"), (3, "cat", "animal")], ["toys", "kite", "cat"]),
        ([(2, "kite", "none"), (3, "box kite", "kite")], ["kite", "box kite"]),  # has an annotation
        ([(2, "kite", "none")], ["kite"]),
    ],
)
def test_the_root_is_left_out(tmp_path: Path, rows: list[tuple[int, str, str | None]], names: list[str]) -> None:
    file = DatasetFile.open(write_json(tmp_path / "set.json", {**REAL_COCO, "categories": categories(*rows)}))
    assert [category.name for category in file.parse("categories", list[CategoryRef])] == names
    assert len(file.remarks) == (len(names) < len(rows))
