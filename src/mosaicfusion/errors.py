"""The one exception users see, and what to tell of those of others."""

from __future__ import annotations

import json
from typing import Any


class MosaicFusionError(Exception):
    """Something the user can mend; the message says what was wrong, the value and the fix.

    The command line prints it without a traceback and exits with status 2.
    """


def first_line(error: BaseException, most: int = 200) -> str:
    """What another library's error says, in one line of at most ``most`` characters; its type's name if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:most]


def shown(value: Any) -> str:
    """A value from outside on one short line, in ASCII: it may hold anything."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
