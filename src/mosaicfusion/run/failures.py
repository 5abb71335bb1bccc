"""Canvases that could not be generated: one small file each, such as ``failures/000000000112.json``, until they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.run.folder import RunFolder

Reason = Literal["out_of_memory", "worker_lost", "nan"]
MESSAGES: dict[Reason, str] = {
    "out_of_memory": "the device has too little memory, even for one canvas alone",
    "worker_lost": "its worker died each time",
    "nan": "latents or pixels became NaN or infinite",
}
NAN_ADVICE = "another run, with --dtype float32 and another --out, may do better"
FOLDER = "failures"


@dataclass(frozen=True)
class Failure:
    """``canvas`` could not be generated in a batch with the canvases of ``batch``; ``message`` says why.

    A canvas of reason ``nan`` is in the run, with its regions rejected; those of the other reasons are missing.
    """

    canvas: int
    batch: tuple[int, ...]
    reason: Reason
    message: str


def note_failures(run: RunFolder, canvases: Sequence[int], batch: Sequence[int], reason: Reason) -> None:
    """Note in the run folder that some canvases of a batch could not be generated."""
    for canvas in canvases:
        failure = Failure(canvas, tuple(batch), reason, MESSAGES[reason])
        write_atomic(run.path / FOLDER / _name(canvas), json.dumps(asdict(failure), indent=1).encode())


def forget_failures(run: RunFolder, canvases: Sequence[int]) -> None:
    """Forget failures of canvases that exist now."""
    if (run.path / FOLDER).exists():
        for canvas in canvases:
            (run.path / FOLDER / _name(canvas)).unlink(missing_ok=True)


def read_failures(run: RunFolder) -> Iterator[Failure]:
    """The failures that remain, by canvas; files that vanish or hold anything else are skipped."""
    for file in sorted((run.path / FOLDER).glob("*.json")):
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            batch = tuple(int(index) for index in values["batch"])
            failure = Failure(int(values["canvas"]), batch, values["reason"], str(values["message"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        known = failure.reason in get_args(Reason)
        if known and failure.canvas in batch and all(0 <= index < run.total for index in batch):
            yield failure


def _name(canvas: int) -> str:
    return f"{canvas:012d}.json"
