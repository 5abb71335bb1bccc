"""Short texts for values and errors from outside."""

import pytest

from mosaicfusion.errors import first_few, is_printable, printable


@pytest.mark.parametrize(
    "text",
    [
        "hot air balloon",
        "Screenshot 9.41\u202fAM.png",  # as macOS writes it
        "scie\u00a0: lame",
        "手\u3000袋",
        "می\u200cخواهم",  # a joiner, without which the word is misspelt
        "👩\u200d🚒",
    ],
)
def test_texts_of_all_scripts_stay(text: str) -> None:
    assert is_printable(text)
    assert printable(text) == text


@pytest.mark.parametrize(
    "character",
    ["\x1b", "\x07", "\r", "\t", "\x7f", "\x9b", "\u2028", "\u202e", "\u2066", "\udcff"],  # the last: a byte, not UTF-8
)
def test_what_a_terminal_would_obey_becomes_a_question_mark(character: str) -> None:
    assert not is_printable(f"a{character}b")
    assert printable(f"a{character}b\nc") == "a?b\nc"


def test_the_first_texts_are_printable() -> None:
    assert first_few(["kite", "dr\x1bum", "vase"], 2) == "kite, dr?um and 1 more"
    assert not is_printable("two\nlines")
