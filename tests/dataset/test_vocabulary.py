"""Vocabularies of LVIS and COCO jsons, and of plain lists; invalid ones are refused with a reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mosaicfusion.categories import Category
from mosaicfusion.dataset.vocabulary import read_vocabulary
from mosaicfusion.errors import MosaicFusionError

LVIS_RECORD = {
    "id": 160,
    "name": "bow_(weapon)",
    "synonyms": ["bow_(weapon)", "longbow"],
    "def": "a weapon for shooting arrows",
    "synset": "bow.n.04",
    "frequency": "r",
    "image_count": 10,
    "instance_count": 17,
}


def write_json(folder: Path, data: Any) -> Path:
    path = folder / "vocabulary.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(MosaicFusionError) as caught:
        read_vocabulary(path)
    return str(caught.value)


def test_fields_of_lvis_are_read(tmp_path: Path) -> None:
    (category,) = read_vocabulary(write_json(tmp_path, {"images": [], "categories": [LVIS_RECORD]}))
    assert category == Category(
        id=160,
        name="bow_(weapon)",
        synonyms=("bow_(weapon)", "longbow"),
        definition="a weapon for shooting arrows",
        frequency="r",
        synset="bow.n.04",
    )


def test_coco_has_fewer_fields_and_others(tmp_path: Path) -> None:
    data = {
        "info": {},
        "categories": [{"id": 90, "name": "hair drier", "supercategory": "indoor", "color": [1, 2]}],
    }
    assert list(read_vocabulary(write_json(tmp_path, data))) == [Category(90, "hair drier")]


@pytest.mark.parametrize("start", ["", "\ufeff", "\n  "])
def test_a_plain_list_and_a_byte_order_mark_are_accepted(tmp_path: Path, start: str) -> None:
    path = write_json(tmp_path, start + json.dumps([{"id": 2, "name": "kite"}]))
    assert [category.name for category in read_vocabulary(path)] == ["kite"]


def test_names_of_any_script_and_ids_of_any_size(tmp_path: Path) -> None:
    records = [{"id": 2**62, "name": "théière"}, {"id": 0, "name": "風呂敷"}]
    assert [(c.id, c.name) for c in read_vocabulary(write_json(tmp_path, records))] == [
        (2**62, "théière"),
        (0, "風呂敷"),
    ]


@pytest.mark.parametrize("cut", [1, 30, 80, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = write_json(tmp_path, json.dumps({"categories": [LVIS_RECORD], "images": [{"id": 1}]})[:cut])
    assert "was it cut off?" in refusal(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "was it cut off?"),
        ("names: banana", "not whole JSON"),
        ('{"categories": [{"id": 1, "name": "\\ud83c"}', "was it cut off?"),
        ({"images": []}, "no list of 'categories'"),
        ({"categories": []}, "an empty list of 'categories'"),
        ({"categories": {"1": "banana"}}, "no list of 'categories'"),
        (["banana", "teapot"], 'category "banana" lacks an integer id or a name'),
        ([{"id": 1}], "lacks an integer id or a name"),
        ([{"id": 2**63, "name": "kite"}], "'kite' has the id 9223372036854775808; at most 9223372036854775807"),
        ([{"id": "1", "name": "kite"}], "lacks an integer id"),
        ([{"id": True, "name": "kite"}], "lacks an integer id"),
        ([{"id": 1, "name": "kite"}, {"id": 1, "name": "drum"}], "holds the id '1' 2 times"),
        ([{"id": 1, "name": "kite"}, {"id": 2, "name": "Kite"}], "holds the name 'kite' 2 times"),
        ([{"id": 1, "name": "kite", "frequency": "often"}], "frequency 'often'; r, c or f expected"),
        ([{"id": 1, "name": "kite", "synonyms": "dragon"}], "synonyms 'dragon'; a list expected"),
        ([{"id": 1, "name": "kite", "prompt_name": 7}], "prompt_name 7; a text expected"),
        ([{"id": 1, "name": "kite", "prompt_name": "\n"}], "must be printable"),
    ],
)
def test_invalid_categories_are_refused_with_a_reason(tmp_path: Path, data: Any, message: str) -> None:
    assert message in refusal(write_json(tmp_path, data))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.json")
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"categories": [{"id": 1, "name": "caf\xe9"}]}')
    assert "perhaps Latin-1; convert it" in refusal(tmp_path / "latin.json")


@pytest.mark.parametrize("encode", [gzip.compress, lambda data: data.decode().encode("utf-16")], ids=["gzip", "utf-16"])
def test_other_encodings_are_read(tmp_path: Path, encode: Any) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(encode(json.dumps([{"id": 2.0, "name": "théière"}]).encode()))
    assert list(read_vocabulary(path)) == [Category(2, "théière")]


def test_the_root_category_of_roboflow_is_left_out_with_a_note(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "fruit", "supercategory": "none"}]
    categories += [{"id": k, "name": name, "supercategory": "fruit"} for k, name in ((1, "banana"), (2, "Fruit"))]
    vocabulary = read_vocabulary(write_json(tmp_path, {"categories": categories}))
    assert [category.name for category in vocabulary] == ["banana", "Fruit"]
    assert ["'fruit' is only the parent of the others" in note for note in vocabulary.notes] == [True]
