"""The interface of an export format, the table of all formats, and the choices of an export."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from mosaicfusion.config import MaskFormat
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample
from mosaicfusion.errors import MosaicFusionError, first_few

# Fields that every format keeps in its way, or that are of no use without the json.
_BASIC_OF_ANNOTATIONS = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")
_BASIC_OF_IMAGES = ("id", "file_name", "coco_url", "width", "height")

Split = Literal["train", "val"]
Write = Callable[[Dataset, Iterable[Sample], OutFolder, "ExportOptions"], list[str]]

_NAMES = ("coco", "lvis", "yolo", "voc", "webdataset", "hf", "fiftyone", "label_studio", "cvat")

# Name of a format -> the module that describes it as its FORMAT.
FORMATS: dict[str, str] = {name: f"mosaicfusion.dataset.export.{name}" for name in _NAMES}


@dataclass(frozen=True)
class Format:
    """An export format.

    ``write``: writes a data set to a folder and returns notes on what the format could not hold. ``masks``: the mask formats it
    can hold, empty if it stores them as images. ``splits``: True if images can be split into train and val. ``sharded``: True if
    it groups images into files. ``crowds``: False if it has no term for them, then they are left out. ``needs``: packages beyond
    the base installation.
    """

    write: Write
    masks: tuple[MaskFormat, ...] = ("rle", "polygon")
    splits: bool = False
    sharded: bool = False
    crowds: bool = True
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportOptions:
    """Choices of an export. ``masks``: ``None`` keeps them as they are; ``val_fraction`` in [0, 1); ``shard_size`` in images.

    ``own_val``: True if the set brings its val split. ``synthetic_in_val``: False for a set of real and synthetic images, whose
    val split is of the real ones.
    """

    masks: MaskFormat | None = None
    val_fraction: float = 0.0
    shard_size: int = 1000
    own_val: bool = False
    synthetic_in_val: bool = True

    @property
    def has_val(self) -> bool:
        """True if there is a val split."""
        return self.own_val or self.val_fraction > 0

    def split(self, sample: Sample) -> Split:
        """The split of an image, its own or by its id: a set that grows keeps its split."""
        if self.own_val:
            return "val" if sample.own_val else "train"
        if sample.synthetic and not self.synthetic_in_val:
            return "train"
        digest = hashlib.sha256(str(sample.id).encode()).digest()
        return "val" if int.from_bytes(digest[:8]) < self.val_fraction * 2**64 else "train"

    def require_both(self, splits: Iterable[Split]) -> None:
        """Raise :class:`MosaicFusionError` if a requested split got no image: trainers stop at an empty one."""
        for empty in {"train", "val"} - set(splits) if self.val_fraction else ():
            raise MosaicFusionError(
                f"--val-fraction {self.val_fraction} leaves no image for {empty}; choose another, or export more images"
            )


def left_out_fields(dataset: Dataset, image: Iterable[str] = (), annotation: Iterable[str] = ()) -> list[str]:
    """A note on the fields of the records that a format does not keep; it keeps those that are given, and the basic ones."""
    counts = dataset.counts
    lost = {
        "annotations": counts.annotation_fields - {*annotation, *_BASIC_OF_ANNOTATIONS},
        "images": counts.image_fields - {*image, *_BASIC_OF_IMAGES},
    }
    return [f"fields of {of} left out: {first_few(sorted(names), 10)}" for of, names in lost.items() if names]


def load_format(name: str) -> Format:
    """The format with this name; raises :class:`MosaicFusionError` if there is none or a package is missing."""
    if name not in FORMATS:
        raise MosaicFusionError(f"there is no format {name!r:.40}; choose one of {', '.join(FORMATS)}")
    module: Any = import_module(FORMATS[name])
    found: Format = module.FORMAT
    for package in found.needs:
        try:
            import_module(package)
        except ImportError:
            raise MosaicFusionError(f'--to {name} needs {package}: pip install "mosaicfusion[export]"') from None
    return found


def check_options(name: str, chosen: Format, options: ExportOptions) -> None:
    """Raise :class:`MosaicFusionError` for a choice that the format does not have."""
    if options.masks is not None and options.masks not in chosen.masks:
        only = " and ".join(chosen.masks) or "png"
        raise MosaicFusionError(f"{name} holds masks as {only}, not {options.masks}; leave out --masks")
    if not 0 <= options.val_fraction < 1:
        raise MosaicFusionError(f"--val-fraction {options.val_fraction} must be at least 0 and below 1; try 0.1")
    if options.val_fraction and options.own_val:
        raise MosaicFusionError("give --val or --val-fraction, not both")
    if options.has_val and not chosen.splits:
        raise MosaicFusionError(
            f"{name} is written whole, without a split; leave out --val-fraction, and export what --val names on its own"
        )
    if options.shard_size < 1:
        raise MosaicFusionError(f"--shard-size {options.shard_size} must be at least 1 image; try 1000")
