"""Progress of a run, read from its folder, even while others write to it; memory does not grow with the run."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mosaicfusion.arguments import checked
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.files.remote import ahead
from mosaicfusion.run.failures import read_failures
from mosaicfusion.run.folder import RunFolder

_RECENT = 50  # parts that the rate is taken over
_PAUSE_S = 600  # a pause: parts before it do not count for the rate


@dataclass(frozen=True)
class Status:
    """Progress of a run.

    ``rate``: canvases per minute over the last parts. ``left_s``: seconds until all exist at that rate. Both are ``None`` if
    too few were generated lately. ``idle_s``: seconds since the last part. ``requested`` and ``kept`` count regions,
    ``failures`` counts canvases by reason. ``lost`` canvases belong to parts of which an image was deleted.
    """

    path: str
    done: int
    total: int
    requested: int
    kept: int
    rate: float | None
    left_s: float | None
    idle_s: float | None
    compiled: bool
    lost: int = 0
    failures: dict[str, int] = field(default_factory=dict)


class _Region(msgspec.Struct):
    reason: str | None = None


class _Line(msgspec.Struct):
    """The fields of a canvas that are counted; the rest of its line is skipped."""

    index: int
    regions: list[_Region]


_decode = msgspec.json.Decoder(_Line).decode


@checked
def read_status(path: RunFolder | str | Path) -> Status:
    """Count the canvases of a run folder. Raises :class:`MosaicFusionError` for a folder without a run, or a damaged part."""
    run = RunFolder.of(path)
    done = requested = kept = 0
    last = -1
    recent: list[tuple[float, int]] = []  # (time, canvases) of the last parts
    for written, lines in ahead(_read, run.part_files()):
        new = [line for line in lines if line.index > last]  # parts of two batch sizes may overlap
        last = max(last, lines[-1].index) if lines else last
        done += len(new)
        requested += sum(len(line.regions) for line in new)
        kept += sum(region.reason is None for line in new for region in line.regions)
        heapq.heappush(recent, (written, len(new)))
        if len(recent) > _RECENT:
            heapq.heappop(recent)
    failures = Counter(failure.reason for failure in read_failures(run))
    idle_s = max(0.0, time.time() - max(recent)[0]) if recent else None
    rate = _rate(sorted(recent)) if idle_s is not None and idle_s < _PAUSE_S else None
    return Status(
        path=str(run.path),
        done=done,
        total=run.total,
        requested=requested,
        kept=kept,
        rate=None if rate is None else 60 * rate,
        left_s=None if rate is None else (run.total - done) / rate,
        idle_s=idle_s,
        compiled=(run.path / "lvis.json").exists(),
        lost=sum(len(part) for part in run.without_image()),
        failures=dict(failures.most_common()),
    )


def _read(file: Path) -> tuple[float, list[_Line]]:
    """Modification time and content of a part."""
    try:
        with file.open("rb") as lines:
            return file.stat().st_mtime, [_decode(line) for line in lines]
    except (OSError, msgspec.DecodeError) as error:
        raise MosaicFusionError(
            f"{file} is damaged ({first_line(error)}); delete it and its canvases are generated again"
        ) from None


def _rate(parts: list[tuple[float, int]]) -> float | None:
    """Canvases per second over parts, sorted by time, since the last pause; the first part only marks the start."""
    begin = max((k for k in range(1, len(parts)) if parts[k][0] - parts[k - 1][0] > _PAUSE_S), default=0)
    canvases = sum(count for _, count in parts[begin + 1 :])
    seconds = parts[-1][0] - parts[begin][0]
    return canvases / seconds if canvases and seconds > 0 else None
