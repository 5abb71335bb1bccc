"""The base of all settings models, and the merge of nested settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mosaicfusion.errors import MosaicFusionError


class Settings(BaseModel):
    """Frozen values; unknown names and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Any) -> Self:
        """Validate plain values, such as those of a JSON file.

        Raises :class:`MosaicFusionError` that names every wrong value with its location.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise MosaicFusionError("the settings do not fit together:\n  " + "\n  ".join(problems(error))) from None


def merge_settings(
    base: Mapping[str, Any], top: Mapping[str, Any], *, skip_none: bool = False, location: str = ""
) -> dict[str, Any]:
    """Replace values of ``base`` by those of ``top``; a group of settings, given as a dict, is merged value by value.

    ``skip_none``: ``None`` in ``top`` keeps the value of ``base``. ``location``: dotted path of the group, for the message.
    Raises :class:`MosaicFusionError` for a name that is a group in one of the two and a value in the other.
    """
    merged = dict(base)
    for name, new in top.items():
        old, path = base.get(name), f"{location}.{name}" if location else name
        if new is None and skip_none:
            continue
        if None not in (old, new) and isinstance(old, dict) != isinstance(new, dict):
            value = old if isinstance(new, dict) else new
            raise MosaicFusionError(
                f"{path} is given as the value {value!r:.80} and as a group of settings; one of the two is wrong"
            )
        group = isinstance(new, dict)
        merged[name] = merge_settings(old or {}, new, skip_none=skip_none, location=path) if group else new
    return merged


def problems(error: ValidationError) -> list[str]:
    """One line per invalid value: ``sampling.steps: Input should be greater than or equal to 1 (got 0)``."""
    lines = []
    for item in error.errors():
        location = ".".join(str(part) for part in item["loc"])
        prefix = f"{location}: " if location else ""  # no location: values that contradict each other
        message = item["msg"].removeprefix("Value error, ")
        own = "Value error" in item["msg"]  # our validators name the value themselves
        lines.append(f"{prefix}{message}" + ("" if own else f" (got {item['input']!r:.80})"))
    return lines
