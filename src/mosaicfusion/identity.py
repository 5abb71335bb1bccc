"""Identity of JSON-able values: a short fingerprint, and the places where two of them differ."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(*parts: Any) -> str:
    """16 hex digits over JSON-able parts; equal parts, equal digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(old: Any, new: Any, place: str = "") -> list[str]:
    """``sampling.steps: 20 -> 25`` for every leaf that differs between two JSON-able values."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new})
            for line in differences(old.get(key), new.get(key), f"{place}.{key}" if place else key)
        ]
    return [] if old == new else [f"{place}: {old!r:.120} -> {new!r:.120}"]
