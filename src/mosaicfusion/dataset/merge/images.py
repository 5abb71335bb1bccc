"""Images of a merged data set: names that no other image has, and their files under the new folder."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from mosaicfusion.dataset.coco import ImageRef, find_image, image_name, path_fault
from mosaicfusion.dataset.merge.sources import Source
from mosaicfusion.errors import MosaicFusionError

ImageMode = Literal["copy", "link"]


def new_names(source: Source, images: Iterable[dict[str, Any]], taken: set[str]) -> dict[int, str]:
    """``drawn-<source>-<folders>/<file>`` for each image's id: names that are not ``taken``.

    Exactly one folder deep, because detectron2 looks for the last two parts of ``coco_url`` and Detic for ``file_name``: both
    then find the same file. The prefix keeps them apart from ``train2017`` and from ``COCO...``, which Detic cuts short.
    """
    parts = {image["id"]: _parts(source, image) for image in images}
    names: dict[int, str] = {}
    for number in range(1, 2 + len(taken)):
        prefix = f"drawn-{source.name}" + (f"-{number}" if number > 1 else "")
        names = {id_: f"{'-'.join([prefix, *folders])}/{name}" for id_, (*folders, name) in parts.items()}
        if not taken & set(names.values()):
            break
    repeated = [name for name, count in Counter(names.values()).items() if count > 1]
    if repeated:
        raise MosaicFusionError(f"{source.path}: several images would get the name {repeated[0]!r}; rename their files")
    return names


def _parts(source: Source, image: dict[str, Any]) -> list[str]:
    """Folders and file of an image."""
    name = image_name(msgspec.convert(image, ImageRef)) or ""
    if fault := path_fault(name):
        raise MosaicFusionError(
            f"{source.path}: the file_name {name!r} of image {image['id']} {fault}; it must be relative to {source.folder}"
        )
    parts = name.split("/")
    return parts[1:] if parts[0] == "images" and len(parts) > 2 else parts  # as run folders have them


def find_images(source: Source, names: Mapping[int, str]) -> dict[str, Path]:
    """The present file for each new name; raises :class:`MosaicFusionError` if one is missing."""
    found: dict[str, Path] = {}
    for image in source.data["images"]:
        if image["id"] in names:
            path = find_image(source.folder, msgspec.convert(image, ImageRef))
            if path is None:
                raise MosaicFusionError(f"{source.path}: image {image['id']} is not there: {source.image_path(image)}")
            found[names[image["id"]]] = path
    return found


def place_images(
    files: Mapping[str, Path], folder: Path, how: ImageMode, on_image: Callable[[int, int], None] | None = None
) -> None:
    """Copy or link files to their new names under ``folder``; what is there already must be the same image."""
    for done, (name, path) in enumerate(files.items(), start=1):
        target = folder / name
        try:
            if not _is_there(path, target):
                _put(path, target, how)
        except OSError as error:
            raise MosaicFusionError(f"cannot write {target}: {error.strerror or error}") from None
        if on_image:
            on_image(done, len(files))


def _is_there(path: Path, target: Path) -> bool:
    if not target.exists():
        return False
    if target.read_bytes() != path.read_bytes():
        raise MosaicFusionError(f"{target} is there and holds another image; give -o in another folder")
    return True


def _put(path: Path, target: Path, how: ImageMode) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    if how == "link":
        part.symlink_to(os.path.relpath(path.resolve(), target.parent.resolve()))
    else:
        shutil.copyfile(path, part)
    part.replace(target)
