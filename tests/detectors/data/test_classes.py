"""Labels, categories, and the differences of two lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaicfusion.detectors.data.classes import ClassList, DetectorClass
from mosaicfusion.errors import MosaicFusionError


def classes(*pairs: tuple[int, str], source: str = "a.json") -> ClassList:
    return ClassList(tuple(DetectorClass(id_, name) for id_, name in pairs), source)


def test_labels_follow_the_ids(tiny_lvis: Path) -> None:
    own = ClassList.open(tiny_lvis / "train.json")
    assert len(own) == 3
    assert own.labels() == {3: 1, 5: 2, 8: 3}
    assert own.names == ["disc", "square", "bar"]
    assert own.category_ids.tolist() == [0, 3, 5, 8]
    assert own.labels_of("r") == [3]
    assert own.labels_of("cf") == [1, 2]


def test_order_of_the_file_does_not_count() -> None:
    assert classes((9, "kite"), (2, "bow")).names == ["bow", "kite"]
    classes((9, "kite"), (2, "bow")).require_same(classes((2, "bow"), (9, "kite"), source="b.json"))


def test_a_checkpoint_gives_back_the_same_list(tiny_lvis: Path) -> None:
    own = ClassList.open(tiny_lvis / "train.json")
    back = ClassList.from_json(own.to_json(), own.source)
    assert back == own


@pytest.mark.parametrize(
    "values", [None, 3, [3], [{"id": 1}], [{"id": "1", "name": "a"}], [{"id": 1, "name": "a", "x": 2}]]
)
def test_a_damaged_checkpoint_is_refused(values: object) -> None:
    with pytest.raises(MosaicFusionError, match="exp/mf has no list of categories"):
        ClassList.from_json(values, "exp/mf")


def test_differences_are_named() -> None:
    own = classes((1, "kite"), (2, "bow"), (4, "cup"))
    other = classes((1, "kite"), (2, "longbow"), (7, "mug"), (9, "[red]"), source="b.json")
    with pytest.raises(MosaicFusionError) as error:
        own.require_same(other)
    text = str(error.value)
    assert '1 only in a.json (4 "cup")' in text
    assert '2 only in b.json (7 "mug", 9 "[red]")' in text
    assert '1 with different names (2 is "bow" and "longbow")' in text


def test_a_validation_set_may_lack_categories_of_the_detector() -> None:
    own = classes((1, "kite"), (2, "bow"), (4, "cup"))
    own.require_all_of(classes((2, "bow"), source="b.json"))
    with pytest.raises(MosaicFusionError, match=r'1 only in b\.json \(7 "mug"\)'):
        own.require_all_of(classes((2, "bow"), (7, "mug"), source="b.json"))


def test_long_lists_are_cut() -> None:
    many = classes(*((number, f"thing {number}") for number in range(1, 1204)))
    with pytest.raises(MosaicFusionError, match=r"1202 only in a\.json \(.*and 1197 more\)"):
        many.require_same(classes((1, "thing 1"), source="b.json"))


def test_ids_must_be_unique_and_present() -> None:
    with pytest.raises(MosaicFusionError, match="2 categories have the id 2"):
        classes((2, "a"), (2, "b"))
    with pytest.raises(MosaicFusionError, match="has no categories"):
        classes()
