"""Names, numbers and settings formatted for readers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def full_name(name: str) -> str:
    """A category's name with spaces; the qualifier stays, since two categories may differ in nothing else."""
    return " ".join(name.replace("_", " ").split())


def thousands(number: int) -> str:
    """12345 -> ``12,345``."""
    return f"{number:,}"


def percent(part: float) -> str:
    """0.604 -> ``60.4 %``."""
    return f"{100 * part:.1f} %"


def share(part: float, total: float) -> str:
    """``part / total`` in percent, or a dash if ``total`` is 0."""
    return percent(part / total) if total else "–"


def measured(values: Mapping[str, float]) -> str:
    """The values behind a rejection: ``largest area 0.25, components 3``."""
    return ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in values.items())


def setting(value: Any) -> str:
    """The value of a setting: yes or no, none, or its items separated by commas."""
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)
