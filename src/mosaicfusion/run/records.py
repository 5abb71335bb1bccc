"""The record of a generated canvas: one line of a part."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.errors import is_printable
from mosaicfusion.masks import rle
from mosaicfusion.masks.rejection import Rejection
from mosaicfusion.notebook import ShownInNotebooks

_MAX_SIDE_PX = 100_000


@dataclass(frozen=True)
class RegionRecord:
    """One requested object: kept with a mask, or rejected with a reason and the values behind it.

    ``region_xywh`` and ``box_xywh`` are pixels of the canvas. ``segmentation`` is a COCO RLE of the canvas, of what is seen;
    ``amodal_segmentation`` has the parts that objects in front hide as well, and is ``None`` if nothing is hidden. ``score`` is
    the localisation contrast of :class:`mosaicfusion.masks.extract.Extraction`, in [0, 1]. ``measures`` and ``quality`` are those
    of :mod:`mosaicfusion.masks.measures`; a region without a mask, and one of an early version, has none. ``replaced``: the
    fields of the mask that ``mosaicfusion refine`` replaced; ``quality`` then is the IoU of both masks, ``score`` the old one's.
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
    amodal_segmentation: dict[str, Any] | None = None
    measures: dict[str, float] = field(default_factory=dict)
    quality: float | None = None
    replaced: dict[str, Any] | None = None

    @property
    def kept(self) -> bool:
        """True if the region has a mask."""
        return self.reason is None

    @property
    def hidden_part(self) -> float:
        """The part of the object that others in front hide, in [0, 1]; 0 where masks cannot be decoded."""
        if self.amodal_segmentation is None:
            return 0.0
        try:
            return 1 - self.area / max(1, rle.area(rle.decode(self.amodal_segmentation)))
        except ValueError:
            return 0.0

    def without_mask(self, rejection: Rejection) -> RegionRecord:
        """The same object as it was requested, rejected."""
        requested = self.category_id, self.category, self.prompt, self.region_xywh
        return RegionRecord(*requested, reason=rejection.reason.value, values=dict(rejection.values))


def mask_fields(visible: NDArray[np.bool_], whole: NDArray[np.bool_]) -> dict[str, Any]:
    """The fields of a :class:`RegionRecord` for a mask, bool (H, W) of the canvas, not empty: what is seen, and all of it."""
    area = rle.area(visible)
    left, top, width, height = rle.box_xywh(visible)
    return {
        "area": area,
        "box_xywh": (left, top, width, height),
        "segmentation": dict(rle.encode(visible)),
        "amodal_segmentation": dict(rle.encode(whole)) if area < rle.area(whole) else None,
    }


class RegionOutline(msgspec.Struct, frozen=True):
    """The values of a :class:`RegionRecord` that tables need."""

    category_id: int
    reason: str | None = None
    score: float = 0.0
    area: int = 0
    quality: float | None = None


class CanvasOutline(msgspec.Struct, frozen=True):
    """A :class:`CanvasRecord` without masks and prompts, read ten times as fast."""

    index: int
    hw_px: tuple[int, int]
    regions: tuple[RegionOutline, ...]


@dataclass(frozen=True)
class CanvasRecord(ShownInNotebooks):
    """One canvas; ``file_name`` is relative to the run folder, ``None`` if there is no image.

    ``unlabelled``: ids of the categories that are seen on the background. It is not stored: it depends on the settings of the
    data set, see :func:`mosaicfusion.dataset.thresholds.accepted`.
    """

    index: int
    hw_px: tuple[int, int]
    noise_seed: int
    file_name: str | None
    regions: tuple[RegionRecord, ...]
    unlabelled: tuple[int, ...] = ()

    def to_line(self) -> str:
        """One line of JSON, without a line break."""
        fields = asdict(self)
        del fields["unlabelled"]
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_line(cls, line: str | bytes) -> CanvasRecord:
        """Parse a line of :meth:`to_line`; raises ValueError for anything else."""
        record = _DECODER.decode(line)
        record.check()
        return record

    def check(self) -> None:
        """Raise ValueError for values that contradict each other, or that lead out of the run folder or the canvas."""
        name = PurePosixPath(self.file_name or "")
        if name.is_absolute() or ".." in name.parts:
            raise ValueError(f"file_name {self.file_name!r} leads out of the run folder")
        if not is_printable(str(name)):
            raise ValueError(f"file_name {self.file_name!r:.200} holds characters that cannot be printed")
        if self.index < 0 or not all(0 < side <= _MAX_SIDE_PX for side in self.hw_px):
            raise ValueError(f"canvas {self.index} of {self.hw_px[0]} x {self.hw_px[1]} pixels cannot be")
        for k, region in enumerate(self.regions):
            left, top, width, height = region.region_xywh
            inside = 0 <= left < left + width <= self.hw_px[1] and 0 <= top < top + height <= self.hw_px[0]
            if not inside:
                raise ValueError(f"region {k} of canvas {self.index}, {region.region_xywh}, is not on the canvas")
            if region.kept:
                _check_mask(region, self.hw_px, f"region {k} of canvas {self.index}")


def _check_mask(region: RegionRecord, hw_px: tuple[int, int], name: str) -> None:
    """Raise ValueError without a box, or run lengths that fill the canvas. Sizes come first: a few bytes can claim gigabytes."""
    masks = [region.segmentation or {}, *([region.amodal_segmentation] if region.amodal_segmentation else [])]
    if region.box_xywh is None or any(mask.get("size") != list(hw_px) for mask in masks):
        raise ValueError(f"{name} is kept, but its mask or box does not fit the canvas")
    try:
        for mask in masks:
            rle.run_lengths(mask)
    except ValueError as error:
        raise ValueError(f"the mask of {name}: {error}") from None


_DECODER = msgspec.json.Decoder(CanvasRecord)
