"""Categories by the vocabulary of the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.lvis_sets import write_json

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.selection import select, vocabulary_for


class TestClosedModel:
    """The bundled model has a vocabulary of its own, and other names are refused."""

    def test_the_vocabulary_is_large_enough(self) -> None:
        assert len(vocabulary_for("mini")) >= 150  # enough for a long tail

    def test_names_keep_the_ids_of_lvis(self) -> None:
        assert [(c.id, c.name) for c in vocabulary_for("mini", ["car", "drum"])] == [
            (207, "car_(automobile)"),
            (vocabulary_for("mini").find("drum").id, "drum_(musical_instrument)"),
        ]

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(MosaicFusionError, match=r"the model 'mini' does not know 'bananna'; nearest: banana"):
            vocabulary_for("mini", ["bananna"])

    def test_two_names_of_one_category_are_refused(self) -> None:
        with pytest.raises(MosaicFusionError, match="the list of categories holds the name 'airplane' 2 times"):
            vocabulary_for("mini", ["airplane", "aeroplane"])

    def test_ids_of_a_file_are_kept_and_its_names_are_those_of_the_model(self, tmp_path: Path) -> None:
        path = write_json(
            tmp_path / "vocabulary.json", [{"id": 7, "name": "aeroplane"}, {"id": 9, "name": "orange_(fruit)"}]
        )
        assert [(c.id, c.name, c.display_name) for c in vocabulary_for("mini", file=path)] == [
            (7, "aeroplane", "airplane"),
            (9, "orange_(fruit)", "orange"),
        ]

    def test_another_sense_of_a_known_word_is_unknown(self, tmp_path: Path) -> None:
        path = write_json(tmp_path / "vocabulary.json", [{"id": 1, "name": "crab_(food)"}])
        with pytest.raises(MosaicFusionError, match=r"does not know 'crab_\(food\)'"):
            vocabulary_for("mini", file=path)

    def test_an_open_model_accepts_any_name_but_needs_some(self) -> None:
        assert [c.name for c in vocabulary_for("owner/name", ["gnu"])] == ["gnu"]
        with pytest.raises(MosaicFusionError, match="name some with --categories or --vocabulary"):
            vocabulary_for("owner/name")


def test_all_unknown_names_are_listed_with_a_way_on() -> None:
    with pytest.raises(MosaicFusionError) as caught:
        vocabulary_for("mini", ["banana", "forklift", "bananna"])
    message = str(caught.value)
    assert "does not know 'forklift'" in message
    assert "does not know 'bananna'; nearest: banana" in message
    assert "`mosaicfusion categories --search WORD`" in message
    assert "--model" in message


def test_unknown_categories_of_a_file_may_be_skipped(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "banana"}, {"id": 2, "name": "forklift"}]
    (tmp_path / "own.json").write_text(json.dumps({"categories": categories}))
    with pytest.raises(MosaicFusionError, match="does not know 'forklift'"):
        vocabulary_for("mini", None, tmp_path / "own.json")
    known = vocabulary_for("mini", None, tmp_path / "own.json", skip_unknown=True)
    assert [category.name for category in known] == ["banana"]


def test_a_text_is_split_at_its_commas() -> None:
    assert [category.display_name for category in select("banana, teapot", "mini").main] == ["banana", "teapot"]
