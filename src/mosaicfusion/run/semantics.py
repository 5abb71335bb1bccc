"""Findings of CLIP on the canvases of a run, in files beside the records: in the regions, and where nothing is annotated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic

SEMANTICS, BACKGROUND = "semantics.jsonl", "background.jsonl"

Line = TypeVar("Line")


@dataclass(frozen=True)
class RegionSemantics:
    """One line of ``semantics.jsonl``: region number ``region`` of canvas ``canvas``, kept or rejected.

    ``clip``: the CLIP model. ``score``: cosine similarity of image and category, in [-1, 1]. ``probability``: of the category
    within the vocabulary, in [0, 1]. ``rank``: of the category, from 1. ``top``: the most probable category. ``choices``: the
    number of categories in the vocabulary; 0 in files that do not say.
    """

    canvas: int
    region: int
    category: str
    clip: str
    score: float
    probability: float
    rank: int
    top: str
    choices: int = 0


@dataclass(frozen=True)
class Finding:
    """A category of the run that CLIP finds on a background: its highest probability, in [0, 1], and the window that has it."""

    category_id: int
    category: str
    probability: float
    window_xywh: tuple[int, int, int, int]


@dataclass(frozen=True)
class BackgroundSemantics:
    """One line of ``background.jsonl``: the windows of canvas ``canvas`` in which nothing is annotated.

    ``clip``: the CLIP model. ``windows``: their number. ``found``: the most probable categories of these windows, if they are
    categories of the run.
    """

    canvas: int
    clip: str
    windows: int
    found: tuple[Finding, ...] = ()


def write_semantics(
    folder: Path, classified: Sequence[RegionSemantics], background: Sequence[BackgroundSemantics] = ()
) -> None:
    """Store the classifications in a run folder, each file completely or not at all."""
    for name, lines in ((BACKGROUND, background), (SEMANTICS, classified)):
        text = "".join(json.dumps(asdict(line), ensure_ascii=False) + "\n" for line in lines)
        write_atomic(folder / name, text.encode())


def read_semantics(folder: Path) -> dict[tuple[int, int], RegionSemantics] | None:
    """(canvas, region) -> classification, or ``None`` if there is none; raises :class:`MosaicFusionError` when damaged."""
    lines = _read(folder / SEMANTICS, RegionSemantics)
    return None if lines is None else {(line.canvas, line.region): line for line in lines}


def read_background(folder: Path) -> dict[int, BackgroundSemantics] | None:
    """Canvas -> what was found on its background, or ``None`` without a file; raises :class:`MosaicFusionError` when damaged."""
    lines = _read(folder / BACKGROUND, BackgroundSemantics)
    return None if lines is None else {line.canvas: line for line in lines}


def _read(path: Path, kind: type[Line]) -> list[Line] | None:
    decoder: Any = msgspec.json.Decoder(kind)
    try:
        with path.open("rb") as lines:
            return [decoder.decode(line) for line in lines]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise MosaicFusionError(f"{path} is damaged ({error}); run `mosaicfusion semantics` again") from None
