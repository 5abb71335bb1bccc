"""What can be chosen of an export."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from mosaicfusion.config import MaskFormat
from mosaicfusion.errors import MosaicFusionError

Format = Literal["coco", "lvis", "yolo", "voc", "webdataset", "hf"]
Split = Literal["train", "val"]
_WITH_SPLIT = ("yolo", "voc")
_MASKS: dict[str, MaskFormat | None] = {"yolo": "polygon", "voc": None}  # the others hold both kinds


@dataclass(frozen=True)
class Options:
    """``masks``: ``None`` leaves them as they are; ``val_fraction`` in [0, 1); ``shard_size`` counts images.

    Raises :class:`MosaicFusionError` for a choice that the format does not have.
    """

    to: Format
    masks: MaskFormat | None = None
    val_fraction: float = 0.0
    shard_size: int = 1000

    def __post_init__(self) -> None:
        if self.to not in get_args(Format):
            raise MosaicFusionError(f"there is no format {self.to!r}; choose one of {', '.join(get_args(Format))}")
        if self.masks not in (None, _MASKS.get(self.to, self.masks)):
            only = _MASKS[self.to] or "png"
            raise MosaicFusionError(f"{self.to} holds masks as {only}, not {self.masks}; leave out --masks")
        if not 0 <= self.val_fraction < 1:
            raise MosaicFusionError(f"--val-fraction {self.val_fraction} must be at least 0 and below 1; try 0.1")
        if self.val_fraction and self.to not in _WITH_SPLIT:
            raise MosaicFusionError(f"{self.to} is written whole; --val-fraction is for {' and '.join(_WITH_SPLIT)}")
        if self.shard_size < 1:
            raise MosaicFusionError(f"--shard-size {self.shard_size} must be at least 1 image; try 1000")

    def split(self, image_id: int) -> Split:
        """The same for an image whatever else is in the set: a set that grows keeps its split."""
        digest = hashlib.sha256(str(image_id).encode()).digest()
        return "val" if int.from_bytes(digest[:8]) < self.val_fraction * 2**64 else "train"

    def require_both(self, splits: Iterable[Split]) -> None:
        """Raise :class:`MosaicFusionError` if a split that was asked for got no image: trainers stop at an empty one."""
        for empty in {"train", "val"} - set(splits) if self.val_fraction else ():
            raise MosaicFusionError(
                f"--val-fraction {self.val_fraction} leaves no image for {empty}; choose another, or export more images"
            )
