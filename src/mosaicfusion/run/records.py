"""The record of a generated canvas: one line of a part."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

import msgspec


@dataclass(frozen=True)
class RegionRecord:
    """One requested object: kept with a mask, or rejected with a reason and the values behind it.

    ``region_xywh`` and ``box_xywh`` are pixels of the canvas; ``segmentation`` is a COCO RLE of the canvas' size; ``score`` is
    the localisation contrast of :class:`mosaicfusion.masks.extract.Extraction`, in [0, 1]. ``measures`` and ``quality`` are those
    of :mod:`mosaicfusion.masks.measures`; a region without a mask, and one of an early version, has none.
    ``replaced``: area, box, segmentation, score and quality of the mask that ``mosaicfusion refine`` replaced.
    """

    category_id: int
    category: str
    prompt: str
    region_xywh: tuple[int, int, int, int]
    reason: str | None = None
    values: dict[str, float | int] = field(default_factory=dict)
    score: float = 0.0
    area: int = 0
    box_xywh: tuple[float, float, float, float] | None = None
    segmentation: dict[str, Any] | None = None
    measures: dict[str, float] = field(default_factory=dict)
    quality: float | None = None
    replaced: dict[str, Any] | None = None

    @property
    def kept(self) -> bool:
        """True if the region has a mask."""
        return self.reason is None


@dataclass(frozen=True)
class CanvasRecord:
    """One canvas; ``file_name`` is relative to the run folder, ``None`` if there is no image."""

    index: int
    hw_px: tuple[int, int]
    noise_seed: int
    file_name: str | None
    regions: tuple[RegionRecord, ...]

    def to_line(self) -> str:
        """One line of JSON, without a line break."""
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_line(cls, line: str | bytes) -> CanvasRecord:
        """Parse a line of :meth:`to_line`; raises ValueError for anything else."""
        record = _DECODER.decode(line)
        name = PurePosixPath(record.file_name or "")
        if name.is_absolute() or ".." in name.parts:
            raise ValueError(f"file_name {record.file_name!r} leads out of the run folder")
        return record


_DECODER = msgspec.json.Decoder(CanvasRecord)
