"""Categories from names and text files; invalid ones are refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicfusion.categories import (
    Category,
    Selection,
    Vocabulary,
    check_name,
    display_name,
    from_names,
    qualifier,
    read_lines,
    split_names,
)
from mosaicfusion.errors import MosaicFusionError, is_printable


class TestReadableNames:
    @pytest.mark.parametrize(
        ("name", "readable", "explained"),
        [
            ("banana", "banana", ""),
            ("hot-air_balloon", "hot-air balloon", ""),
            ("date_(fruit)", "date", "fruit"),
            ("bow_(decorative_ribbons)", "bow", "decorative ribbons"),
            ("monitor_(computer_equipment) computer_monitor", "monitor", "computer equipment"),
            ("(odd)", "(odd)", "odd"),
        ],
    )
    def test_names_of_lvis_are_made_readable(self, name: str, readable: str, explained: str) -> None:
        assert display_name(name) == readable
        assert qualifier(name) == explained

    def test_definition_comes_before_the_qualifier(self) -> None:
        assert (
            Category(1, "date_(fruit)", definition="sweet fruit of a palm").definition_or_qualifier
            == "sweet fruit of a palm"
        )
        assert Category(1, "date_(fruit)").definition_or_qualifier == "fruit"

    def test_prompt_name_replaces_the_spelling(self) -> None:
        assert Category(1, "car_(automobile)", prompt_name="red car").display_name == "red car"


class TestLookUp:
    vocabulary = Vocabulary(
        [
            Category(1, "bow_(weapon)", ("bow_(weapon)", "longbow"), "it shoots arrows", "r"),
            Category(2, "bow_(decorative_ribbons)", frequency="c"),
            Category(3, "teapot", ("teapot", "tea_kettle"), frequency="f"),
            Category(4, "teacup", frequency="r"),
            Category(5, "paper_cup", frequency="c"),
        ],
        "the list",
    )

    @pytest.mark.parametrize("name", ["teapot", "Teapot", " teapot ", "tea_kettle", "tea kettle"])
    def test_category_is_found_by_name_display_name_or_synonym(self, name: str) -> None:
        assert self.vocabulary.find(name).id == 3

    def test_ambiguous_name_lists_the_choices(self) -> None:
        with pytest.raises(
            MosaicFusionError, match=r"'bow' may mean any of: bow_\(weapon\), bow_\(decorative_ribbons\)"
        ):
            self.vocabulary.find("bow")
        assert self.vocabulary.find("bow_(weapon)").id == 1

    @pytest.mark.parametrize(("name", "near"), [("teapott", "teapot"), ("cup", "paper cup"), ("long_bow", "bow")])
    def test_unknown_name_gets_the_nearest(self, name: str, near: str) -> None:
        with pytest.raises(MosaicFusionError, match=f"the list does not know {name!r}; nearest: .*{near}"):
            self.vocabulary.find(name)

    def test_a_name_like_no_other_gets_no_hint(self) -> None:
        with pytest.raises(MosaicFusionError) as caught:
            self.vocabulary.find("x" * 10_000)
        assert "nearest" not in str(caught.value)
        assert len(str(caught.value)) < 200

    def test_search_reads_names_synonyms_and_definitions(self) -> None:
        assert [c.id for c in self.vocabulary.search("TEA")] == [3, 4]
        assert [c.id for c in self.vocabulary.search("arrows")] == [1]
        assert self.vocabulary.search("gnu") == []

    def test_frequency_filter(self) -> None:
        assert [c.id for c in self.vocabulary.with_frequency(["r"])] == [1, 4]
        assert [c.id for c in self.vocabulary.with_frequency(["f", "c"])] == [2, 3, 5]
        for frequencies in (["x"], [""], []):
            with pytest.raises(MosaicFusionError, match="is not among r, c, f"):
                self.vocabulary.with_frequency(frequencies)
        with pytest.raises(MosaicFusionError, match="no category of the list of categories has frequency r"):
            from_names(["kite"]).with_frequency(["r"])


class TestNames:
    def test_numbered_from_one(self) -> None:
        assert [(c.id, c.name) for c in from_names(["kite", " drum "])] == [(1, "kite"), (2, "drum")]

    @pytest.mark.parametrize(
        "name", ["AC/DC", "../../etc/passwd", "x'; --", '"q"', "<script>alert(1)</script>", "7-up"]
    )
    def test_hostile_but_printable_names_pass_unchanged(self, name: str) -> None:
        assert check_name(name) == name

    @pytest.mark.parametrize(
        "name", ["", "  ", "...", "..", "/", "___", "a\nb", "a\x00b", "\x1b[31mred", "a\u202eb", "🍌", "()"]
    )
    def test_names_without_a_letter_or_not_printable_are_refused(self, name: str) -> None:
        with pytest.raises(MosaicFusionError, match="must be printable and hold at least one letter or digit"):
            check_name(name)

    def test_long_names_are_refused(self) -> None:
        with pytest.raises(MosaicFusionError, match=r"has 10000 characters; at most 100") as caught:
            from_names(["x" * 10_000])
        assert len(str(caught.value)) < 200

    def test_names_that_are_no_text_are_refused(self) -> None:
        with pytest.raises(MosaicFusionError, match=r"category names are text, such as \['teapot', 'kite'\]; got 7"):
            from_names(["kite", 7])  # type: ignore[list-item]

    @pytest.mark.parametrize("names", [["kite", "kite"], ["kite", "Kite "], ["tea_pot", "tea pot"]])
    def test_duplicates_are_refused(self, names: list[str]) -> None:
        with pytest.raises(MosaicFusionError, match=r"the list of categories holds the name '.*' 2 times"):
            from_names(names)

    @settings(deadline=None)
    @given(st.text(max_size=120))
    def test_any_text_is_accepted_or_refused_with_a_message(self, text: str) -> None:
        try:
            name = check_name(text)
        except MosaicFusionError as error:
            assert str(error).isprintable()
        else:
            assert is_printable(name)
            assert display_name(name)


class TestSplitNames:
    def test_names_are_split_at_commas(self) -> None:
        assert split_names(" kite, hot-air_balloon ,,drum") == ["kite", "hot-air_balloon", "drum"]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_text_file_with_comments(self, tmp_path: Path, encoding: str) -> None:
        path = tmp_path / "names.txt"
        path.write_text("théière\n# a comment\n\n  hot-air_balloon\r\nkite, blue\n", encoding=encoding)
        assert split_names(str(path)) == ["théière", "hot-air_balloon", "kite, blue"]

    @pytest.mark.parametrize("text", ["", " , ,", "\n"])
    def test_an_empty_list_is_refused(self, text: str) -> None:
        with pytest.raises(MosaicFusionError, match="the list of categories is empty"):
            split_names(text)

    def test_unreadable_and_empty_files_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(MosaicFusionError, match=r"there is no file .*none\.txt"):
            split_names(str(tmp_path / "none.txt"))
        with pytest.raises(MosaicFusionError, match=r"my\.json is a json; --vocabulary reads its categories"):
            split_names("labels/my.json")
        (tmp_path / "empty.txt").write_text("# nothing\n")
        with pytest.raises(MosaicFusionError, match="is empty"):
            split_names(str(tmp_path / "empty.txt"))
        (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00k")
        with pytest.raises(MosaicFusionError, match="cannot read"):
            read_lines(tmp_path / "binary.txt")

    def test_a_long_list_is_not_mistaken_for_a_path(self) -> None:
        assert split_names("kite" * 3000 + ".txt,drum")[1] == "drum"


def test_selection_of_two_numberings_is_refused() -> None:
    with pytest.raises(MosaicFusionError, match="holds the id '1' 2 times"):
        Selection(from_names(["kite"]), from_names(["drum"]))
