"""Images of a merged data set: names that no other image has, and their files under the new folder."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from mosaicfusion.dataset.coco import ImageRef, Record, find_image, image_name, path_fault
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_link, write_stream

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress

ImageMode = Literal["copy", "link"]


def new_names(dataset: Dataset, samples: Iterable[Sample], taken: set[str]) -> dict[int, str]:
    """``synthetic-<data set>-<folders>/<file>`` for the id of each image: names that are not ``taken``.

    Exactly one folder deep, because detectron2 uses the last two parts of ``coco_url`` and Detic uses ``file_name``: both then
    find the same file. The prefix avoids clashes with ``train2017``, and with ``COCO...``, which Detic shortens.
    """
    parts = {sample.id: _parts(dataset, sample.record) for sample in samples}
    own = re.sub(r"\W+", "_", dataset.name).strip("_") or "set"
    names: dict[int, str] = {}
    for number in range(1, 2 + len(taken)):
        prefix = f"synthetic-{own}" + (f"-{number}" if number > 1 else "")
        names = {id_: f"{'-'.join([prefix, *folders])}/{name}" for id_, (*folders, name) in parts.items()}
        if not taken & set(names.values()):
            break
    repeated = [name for name, count in Counter(names.values()).items() if count > 1]
    if repeated:
        raise MosaicFusionError(
            f"{dataset.path}: several images would get the name {repeated[0]!r}; rename their files"
        )
    return names


def image_path(dataset: Dataset, image: Record) -> Path:
    """The path that an image should have."""
    return dataset.folders[0] / (image_name(msgspec.convert(image, ImageRef)) or "")


def _parts(dataset: Dataset, image: Record) -> list[str]:
    """Folders and file name of an image."""
    name = image_name(msgspec.convert(image, ImageRef)) or ""
    if fault := path_fault(name):
        raise MosaicFusionError(
            f"{dataset.path}: the file_name {name!r} of image {image['id']} {fault}; it must be relative to {dataset.folders[0]}"
        )
    parts = name.split("/")
    return parts[1:] if parts[0] == "images" and len(parts) > 2 else parts  # as in run folders


def find_images(dataset: Dataset, names: Mapping[int, str], roots: Sequence[Path] = ()) -> dict[str, Path]:
    """The current file for each new name, in the data set's own folder or else in one of ``roots``.

    Raises :class:`MosaicFusionError` if one is missing.
    """
    files: dict[str, Path] = {}
    for sample in dataset:
        if sample.id not in names:
            continue
        image = msgspec.convert(sample.record, ImageRef)
        found = find_image([*dataset.folders, *roots], image)
        if found is None:
            hint = "" if dataset.path.is_dir() else "; give its folder with --images"
            path = image_path(dataset, sample.record)
            raise MosaicFusionError(f"{dataset.path}: image {sample.id} does not exist: {path}{hint}")
        files[names[sample.id]] = found
    return files


def find_real_images(
    images: Iterable[ImageRef], roots: Sequence[Path], folder: Path
) -> tuple[dict[str, Path], list[str]]:
    """The files of real images that are under one of ``roots`` and not yet under ``folder``, by their path below the root.

    The second result names the images that are in neither.
    """
    files: dict[str, Path] = {}
    missing: list[str] = []
    for image in images:
        if find_image(folder, image) is not None:
            continue
        root, file = next(((root, file) for root in roots if (file := find_image(root, image))), (None, None))
        if root is None or file is None:
            missing.append(repr(image_name(image) or f"image {image.id} without a file_name"))
        else:
            files.setdefault(file.relative_to(root).as_posix(), file)
    return files, missing


def place_images(files: Mapping[str, Path], folder: Path, mode: ImageMode, on_image: OnProgress | None = None) -> None:
    """Copy or link files to their new names under ``folder``; existing files must hold the same image."""
    for done, (name, path) in enumerate(files.items(), start=1):
        target = folder / name
        try:
            if not _exists(path, target):
                _put(path, target, mode)
        except OSError as error:
            raise MosaicFusionError(f"cannot write {target}: {error.strerror or error}") from None
        if on_image:
            on_image(done, len(files))


def _exists(path: Path, target: Path) -> bool:
    if not target.exists():
        return False
    if not target.samefile(path) and target.read_bytes() != path.read_bytes():
        raise MosaicFusionError(f"{target} exists and holds another image; give -o in another folder")
    return True


def _put(path: Path, target: Path, mode: ImageMode) -> None:
    if mode == "link":
        write_link(target, os.path.relpath(path.resolve(), target.parent.resolve()))
        return
    with path.open("rb") as source:
        write_stream(target, lambda file: shutil.copyfileobj(source, file))
