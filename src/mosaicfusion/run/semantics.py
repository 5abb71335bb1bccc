"""What CLIP sees in the regions of a run, in a file beside the records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic

SEMANTICS = "semantics.jsonl"


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


_DECODER = msgspec.json.Decoder(RegionSemantics)


def write_semantics(folder: Path, classified: Sequence[RegionSemantics]) -> Path:
    """Store the classifications in a run folder, completely or not at all."""
    lines = "".join(json.dumps(asdict(line), ensure_ascii=False) + "\n" for line in classified)
    path = folder / SEMANTICS
    write_atomic(path, lines.encode())
    return path


def read_semantics(folder: Path) -> dict[tuple[int, int], RegionSemantics] | None:
    """(canvas, region) -> classification, or ``None`` if there is none; raises :class:`MosaicFusionError` when damaged."""
    path = folder / SEMANTICS
    try:
        with path.open("rb") as lines:
            classified = [_DECODER.decode(line) for line in lines]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise MosaicFusionError(f"{path} is damaged ({error}); run `mosaicfusion semantics` again") from None
    return {(line.canvas, line.region): line for line in classified}
