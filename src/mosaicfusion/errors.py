"""The one exception that users see, and short texts for values and errors from outside."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Controls, line separators, marks that turn the direction of what follows, and bytes that are not UTF-8. Spaces and joiners of
# all scripts are none of these, though Python's isprintable() refuses them.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class MosaicFusionError(Exception):
    """An error that the user can fix; the message has the problem, the value and the remedy.

    The command line prints it without a traceback and exits with status 2.
    """


@contextmanager
def option_renamed(option: str, own: str) -> Iterator[None]:
    """Let the errors of the block advise ``own`` in place of ``option``: for a second data set, which has options of its own."""
    try:
        yield
    except MosaicFusionError as error:
        raise type(error)(str(error).replace(option, own)) from None


def first_line(error: BaseException, max_length: int = 200) -> str:
    """The first line of another library's error message, shortened; the name of its type if the message is empty.

    The system's errors come without their number and the path, which the caller names.
    """
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip() or type(error).__name__).splitlines()[0][:max_length]


def shown(value: Any) -> str:
    """Any value from outside on one short line of ASCII."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_not(value: Any, expected: Sequence[str]) -> str:
    """``'abc' is neither 'otsu' nor a number``: a value that is of none of the kinds that were expected."""
    kinds = list(dict.fromkeys(expected))
    negation = "not" if len(kinds) == 1 else "neither"
    return f"{value!r:.80} is {negation} {' nor '.join(kinds)}"


def is_printable(text: str) -> bool:
    """True if a text from outside holds no character that a terminal would obey or could not show; line breaks are such."""
    return _UNPRINTABLE.search(text) is None


def printable(text: str) -> str:
    """A text from outside with question marks in place of characters that a terminal would obey; line breaks stay."""
    return "\n".join(_UNPRINTABLE.sub("?", line) for line in text.split("\n"))


def counted(count: int, noun: str) -> str:
    """``1 canvas``, ``2 canvases``, ``0 categories``: a number and a noun, which is given in the singular."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count} {noun[:-1]}ies"
    return f"{count} {noun}{'es' if noun.endswith(('s', 'x', 'ch')) else 's'}"


def first_few(texts: Sequence[str], count: int = 5) -> str:
    """``kite, drum and 7 more``: the first ``count`` texts from outside, and the number of the others."""
    rest = f" and {len(texts) - count} more" if len(texts) > count else ""
    return printable(", ".join(texts[:count])) + rest
