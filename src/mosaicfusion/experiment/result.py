"""The result of one run, its ``result.json``; written at the end, so a run is done if the file exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic

RESULT = "result.json"
Metrics = dict[str, float | None]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Scores, data and cost of a run. AP is in [0, 1], None if no category has an instance.

    ``identity``: 16 hex digits over everything that determines the result. ``metrics``: by kind (``mask``, ``box``) and name,
    such as AP_r. ``styles``: mask metrics by drawing style. ``per_category``: mask AP. ``data``: counts of the training set, see
    :func:`mosaicfusion.experiment.counts.count_instances`. ``cost``: seconds, and ``data_share``, the share of the training time
    spent waiting for images. ``looks``: number of times that a real image was seen on average; None where it was not counted.
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
    looks: float | None = None


def read_result(path: Path) -> Result:
    """Read a ``result.json``; raises :class:`MosaicFusionError` if it is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise MosaicFusionError(f"cannot read {path}: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MosaicFusionError(
            f"{path} is not the result of a run ({error!s:.160}); delete it to repeat the run"
        ) from None


def write_result(path: Path, result: Result) -> None:
    """Write a ``result.json`` atomically."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
