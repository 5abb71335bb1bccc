"""Prompts and the positions of their subject, with the tokenizer of the bundled model (32 tokens at most)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicfusion.categories import Category, check_name
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.hub import BUNDLED_FOLDER
from mosaicfusion.mosaic.prompts import Prompt, make_prompt, render

PAPER = "a photo of a single {name}[, {definition}]"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(BUNDLED_FOLDER / "weights" / "tokenizer")


def spoken(prompt: Prompt, tokenizer: Any) -> str:
    """The text of the subject's tokens."""
    ids = tokenizer(prompt.text)["input_ids"]
    return str(tokenizer.decode([ids[position] for position in prompt.subject])).strip()


class TestRender:
    @pytest.mark.parametrize(
        ("template", "definition", "background", "text"),
        [
            (PAPER, "a yellow fruit", "", "a photo of a single banana, a yellow fruit"),
            (PAPER, "", "", "a photo of a single banana"),
            ("a {name}[ on {background}]", "", "green grass", "a banana on green grass"),
            ("a {name}[ on {background}]", "", "", "a banana"),
            ("a {name}[, {definition}][ on {background}]", "", "a table", "a banana on a table"),
            ("a {name}, {definition}", "", "", "a banana"),
            ("a {name}, {definition}, {background}", "", "grass", "a banana, grass"),
            ("{name}", "a yellow fruit", "grass", "banana"),
            ("{background}: a {name}", "", "grass", "grass: a banana"),
        ],
    )
    def test_templates_are_filled(self, template: str, definition: str, background: str, text: str) -> None:
        rendered, (start, end) = render(template, "banana", definition, background)
        assert rendered == text
        assert rendered[start:end] == "banana"

    @settings(deadline=None)
    @given(name=st.text(min_size=1), definition=st.text(), background=st.text())
    def test_the_name_is_never_cut(self, name: str, definition: str, background: str) -> None:
        for template in (PAPER, "{background}, {name}", "{definition} {name}[ in {background}]", "a {name}"):
            text, (start, end) = render(template, name, definition, background)
            assert text[start:end] == name

    @settings(deadline=None)
    @given(value=st.sampled_from(["{name}", "{background}", "[x]", "{definition}", "\\1", "]", "{"]))
    def test_braces_in_values_stay_text(self, value: str) -> None:
        assert render(PAPER, "kite", value)[0] == f"a photo of a single kite, {value}"


class TestSubject:
    def test_subject_of_a_single_token(self, tokenizer: Any) -> None:
        prompt = make_prompt(PAPER, Category(1, "banana"), "", tokenizer)
        assert prompt == Prompt("a photo of a single banana", (6,))  # after <|startoftext|> and five words

    @pytest.mark.parametrize("name", ["hot-air_balloon", "cappuccino", "wine glass", "théière", "日本"])
    def test_subject_includes_all_sub_tokens(self, tokenizer: Any, name: str) -> None:
        prompt = make_prompt("a {name}, on a table", Category(1, name), "", tokenizer)
        assert len(prompt.subject) > 1
        assert prompt.subject == tuple(range(2, 2 + len(prompt.subject)))
        assert spoken(prompt, tokenizer).replace(" ", "") == name.replace("_", "").replace(" ", "")

    @pytest.mark.parametrize("name", ["banana", "single", "a", "alarm clock"])
    def test_subject_is_found_by_position_not_by_word(self, tokenizer: Any, name: str) -> None:
        """The same word elsewhere in the prompt is not the subject."""
        before = make_prompt("a single {name}", Category(1, name), "", tokenizer).subject
        prompt = make_prompt(f"a {name} shop with {{name}} beside a {name}", Category(1, name), "", tokenizer)
        assert spoken(prompt, tokenizer) == name
        assert prompt.subject[0] > before[0]
        assert len(prompt.subject) == len(before)

    @settings(deadline=None)
    @given(st.text(min_size=1, max_size=8))
    def test_every_name_has_a_subject(self, tokenizer: Any, text: str) -> None:
        try:
            category = Category(1, check_name(text))
        except MosaicFusionError:
            return
        subject = make_prompt("a {name}, on a table", category, "", tokenizer).subject
        assert subject == tuple(range(2, 2 + len(subject))) != ()


class TestLength:
    definition = "yellow " * 40 + "fruit"

    def test_long_definition_is_cut_to_fit(self, tokenizer: Any) -> None:
        prompt = make_prompt(PAPER, Category(1, "banana", definition=self.definition), "", tokenizer)
        assert prompt.text.startswith("a photo of a single banana, yellow yellow")
        assert len(tokenizer(prompt.text)["input_ids"]) == tokenizer.model_max_length
        assert spoken(prompt, tokenizer) == "banana"

    def test_a_very_long_definition_is_cut(self, tokenizer: Any) -> None:
        category = Category(1, "banana", definition="yellow " * 100_000)
        assert make_prompt(PAPER, category, "", tokenizer).subject == (6,)

    def test_a_definition_of_one_endless_word_is_dropped(self, tokenizer: Any) -> None:
        category = Category(1, "banana", definition="x" * 10_000)
        assert make_prompt(PAPER, category, "", tokenizer).text == "a photo of a single banana"

    def test_cut_definition_ends_without_a_comma(self, tokenizer: Any) -> None:
        category = Category(1, "banana", definition="yellow, " * 40)
        assert make_prompt(PAPER, category, "", tokenizer).text.endswith("yellow")

    @pytest.mark.parametrize(
        ("name", "background"), [("x" * 100, ""), ("banana", "a very large and messy room " * 8)], ids=["name", "scene"]
    )
    def test_too_long_prompts_without_a_definition_are_refused(
        self, tokenizer: Any, name: str, background: str
    ) -> None:
        category = Category(1, name, definition=self.definition)
        with pytest.raises(MosaicFusionError, match=r"has \d+ tokens; the model's text encoder takes 32: shorten"):
            make_prompt(PAPER + "[ in {background}]", category, background, tokenizer)
