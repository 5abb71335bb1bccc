"""What one run found, as its ``result.json``: written once it has ended, so a run is done if the file is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic

RESULT = "result.json"
Metrics = dict[str, float | None]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """AP is in [0, 1], None where there is nothing to measure.

    ``identity``: 16 hex digits over what decides the result. ``metrics``: by ``mask`` and ``box``, then by name as AP_r.
    ``styles``: of masks, by the style of the drawing, then AP, AP_r and so on. ``per_category``: AP of masks. ``data``: images
    and instances of the training set, by part and frequency. ``cost``: seconds, and ``data_share``, the part of the training
    time that went into waiting for images.
    """

    run: str
    detector: str
    variant: str
    title: str
    seed: int
    identity: str
    metrics: dict[str, Metrics]
    styles: dict[str, Metrics]
    per_category: Metrics
    data: dict[str, int]
    cost: dict[str, float]
    recipe: dict[str, Any]
    scale: dict[str, float]
    date: str
    versions: dict[str, str]


def read_result(path: Path) -> Result:
    """Raises :class:`MosaicFusionError` for a file that is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise MosaicFusionError(f"cannot read {path}: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MosaicFusionError(
            f"{path} is not the result of a run ({error!s:.160}); delete it, and the run is repeated"
        ) from None


def write_result(path: Path, result: Result) -> None:
    """Whole or not at all."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
