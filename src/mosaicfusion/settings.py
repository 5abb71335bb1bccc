"""The base of all settings models."""

from __future__ import annotations

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


def problems(error: ValidationError) -> list[str]:
    """One line per invalid value: ``sampling.steps: Input should be greater than or equal to 1 (got 0)``."""
    lines = []
    for item in error.errors():
        location = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        own = "Value error" in item["msg"]  # our validators name the value themselves
        lines.append(f"{location}: {message}" + ("" if own else f" (got {item['input']!r:.80})"))
    return lines
