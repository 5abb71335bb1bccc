"""The one exception that users see, and short texts for values and errors from outside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


class MosaicFusionError(Exception):
    """An error that the user can fix; the message has the problem, the value and the remedy.

    The command line prints it without a traceback and exits with status 2.
    """


def first_line(error: BaseException, max_length: int = 200) -> str:
    """The first line of another library's error message, shortened; the name of its type if the message is empty."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return (str(error).strip() or type(error).__name__).splitlines()[0][:max_length]


def shown(value: Any) -> str:
    """Any value from outside on one short line of ASCII."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def first_few(texts: Sequence[str], count: int = 5) -> str:
    """``kite, drum and 7 more``: the first ``count`` texts, and the number of the others."""
    return ", ".join(texts[:count]) + (f" and {len(texts) - count} more" if len(texts) > count else "")
