"""Categories by the vocabulary of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.lvis_sets import write_json

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.selection import vocabulary_for


class TestClosedModel:
    """The bundled model knows its categories and says so."""

    def test_all_it_knows(self) -> None:
        assert len(vocabulary_for("mini")) >= 150  # enough for a long tail

    def test_names_keep_the_ids_of_lvis(self) -> None:
        assert [(c.id, c.name) for c in vocabulary_for("mini", ["car", "drum"])] == [
            (207, "car_(automobile)"),
            (vocabulary_for("mini").find("drum").id, "drum_(musical_instrument)"),
        ]

    def test_unknown_name(self) -> None:
        with pytest.raises(MosaicFusionError, match=r"the model 'mini' does not know 'bananna'; nearest: banana"):
            vocabulary_for("mini", ["bananna"])

    def test_two_words_for_one_category(self) -> None:
        with pytest.raises(MosaicFusionError, match="the list of categories holds the name 'airplane' 2 times"):
            vocabulary_for("mini", ["airplane", "aeroplane"])

    def test_file_keeps_its_ids_and_is_spoken_in_the_models_words(self, tmp_path: Path) -> None:
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

    def test_open_model_takes_any_name_but_must_be_told(self) -> None:
        assert [c.name for c in vocabulary_for("owner/name", ["gnu"])] == ["gnu"]
        with pytest.raises(MosaicFusionError, match="name some with --categories or --vocabulary"):
            vocabulary_for("owner/name")
