"""The image files of a detector's data set, each read once, so that no training stops at a broken one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mosaicfusion.dataset.coco import ImageRow, find_image, image_name, path_fault
from mosaicfusion.dataset.image_files import check_image
from mosaicfusion.dataset.sample import shown_folders
from mosaicfusion.errors import MosaicFusionError, first_few, shown
from mosaicfusion.files.images import is_deep


@dataclass(frozen=True)
class Found:
    """The files that can be read, by image id, and the number of images that were left out, by reason."""

    files: dict[int, Path]
    left_out: Counter[str]


def find_readable(images: Sequence[ImageRow], folders: Sequence[Path], path: Path, skip: bool) -> Found:
    """Find and read the files of the images of a json.

    ``skip``: leave out images that are missing or cannot be read. Else they raise :class:`MosaicFusionError`, as does a set
    without any readable image. ``path``: the json, for messages.
    """
    files = {image.id: file for image in images if (file := _find(folders, image, path)) is not None}
    missing = [shown(image_name(image)) for image in images if image.id not in files]
    if missing and (not skip or len(missing) == len(images)):
        hint = ", or leave them out with --skip-missing" if len(missing) < len(images) else ""
        raise MosaicFusionError(
            f"{len(missing)} of {len(images)} images are not under {shown_folders(folders)}: {first_few(missing)}; "
            f"give the folder that their names are relative to with --images{hint}"
        )
    there = [image for image in images if image.id in files]
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside of Python's lock
        faults = list(pool.map(_fault, (files[image.id] for image in there), there))
    broken = {image.id: fault for image, fault in zip(there, faults, strict=True) if fault}
    if broken and (not skip or len(broken) == len(there)):
        hint = "get them again, or leave them out with --skip-missing"
        raise MosaicFusionError(
            f"{len(broken)} of {len(images)} images of {path} cannot be used: {first_few([*broken.values()], 3)}; {hint}"
        )
    left_out = Counter({"images that are not on disk": len(missing), "images that cannot be used": len(broken)})
    return Found({id_: file for id_, file in files.items() if id_ not in broken}, +left_out)


def _find(folders: Sequence[Path], image: ImageRow, path: Path) -> Path | None:
    name = image_name(image)
    fault = "is missing, and so is coco_url" if name is None else path_fault(name)
    if fault:
        raise MosaicFusionError(f"{path}: image {image.id}: the file_name {shown(name)} {fault}")
    return find_image(folders, image)


def _fault(file: Path, image: ImageRow) -> str | None:
    """The reason why a file cannot be used, ``None`` for a good one."""
    try:
        mode = check_image(file, image.hw).mode
    except MosaicFusionError as error:
        return str(error)
    return f"{file} has more than 8 bits per channel" if is_deep(mode) else None
