"""Checks of images: size, names, LVIS' lists, and the file. Rows may be anything, since they come from outside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.dataset.coco import (
    CATEGORY_LISTS,
    ImageRef,
    Record,
    find_image,
    is_synthetic,
    path_fault,
    plain_name,
    url_tail,
)
from mosaicfusion.dataset.image_files import ImageFile, inspect
from mosaicfusion.dataset.sample import shown_folders
from mosaicfusion.dataset.validate.context import Context, check_id, check_whole_numbers, is_int, is_size
from mosaicfusion.dataset.validate.issues import RowIssues
from mosaicfusion.errors import shown
from mosaicfusion.files.images import is_deep, unreadable

_WIDELY_READ = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF")
_DETIC_PREFIX = len("http://images.cocodataset.org/")
_COCO_NAME = re.compile(r"COCO_\w+_\d{12}\.jpg")  # names that Detic may shorten to their last 16 characters


def check_image(row: Any, issues: RowIssues, context: Context) -> None:
    """Check everything about an image but the annotations on it."""
    if isinstance(row, dict):
        row = check_whole_numbers("images", row, issues)
    if not check_id(row, issues, context.image_ids):
        return
    file = _find_file(row, context.folders)
    hw: Any = (row.get("height"), row.get("width"))
    if not is_size(hw):
        repair = _size_of(file, hw)
        text = f"height and width are {shown(hw)}; --images with --fix reads them if they are missing"
        issues.error("size", text, repair)
        hw = tuple({"height": hw[0], "width": hw[1], **repair}.values())
    context.image_hw[row["id"]] = hw if is_size(hw) else None
    _check_names(row, issues, context)
    if context.lvis:
        _check_lists(row, issues, context)
    if context.folders:
        _check_file(row, file, context.folders, issues)


def check_negative(row: Any, issues: RowIssues, shown_categories: dict[int, set[int]]) -> None:
    """Check, after all annotations, that no category with an annotation is listed as absent."""
    key = CATEGORY_LISTS[0]
    if not isinstance(row, dict) or not is_int(row.get("id")) or not isinstance(row.get(key), list):
        return
    issues.id = row["id"]
    present = shown_categories.get(row["id"], set())
    if wrong := [id_ for id_ in row[key] if is_int(id_) and id_ in present]:
        text = f"category {min(wrong)} is in {key} of image {row['id']}, which shows it; --fix removes it there"
        repair = {key: [id_ for id_ in row[key] if not (is_int(id_) and id_ in present)]}
        issues.error("lists", text, repair)


def _check_names(row: Record, issues: RowIssues, context: Context) -> None:
    name, url = row.get("file_name"), row.get("coco_url")
    for key, value in (("file_name", name), ("coco_url", url)):
        if not isinstance(value, str | None):
            issues.error("path", f"{key} is {shown(value)}; give a text")
            return
    tail = url_tail(url)
    if name is None and tail is None:
        issues.error("path", f"has no file_name, and coco_url is {shown(url)}; loaders need either")
        return
    for key, value in (("file_name", name), ("end of coco_url", tail)):
        if value is not None and (fault := path_fault(value)):
            repair = _better_name(value, context.folders) if key == "file_name" else None
            fix = f"--fix writes {shown(repair)}" if repair else "name a file under the images' folder"
            issues.error("path", f"{key} {shown(value)} {fault}; {fix}", {key: repair} if repair else None)
        elif key == "file_name" and name and plain_name(name) != name:
            text = f"file_name {shown(name)} is {shown(plain_name(name))}, which some loaders do not know; --fix writes that"
            issues.warning("path", text, {key: plain_name(name)})
    name = None if name is None else plain_name(name)
    # The name and the address of an image may be the same file; those of two images may not.
    own = {value for value in (name, tail) if value is not None}
    if repeated := own & context.files:
        issues.error("same-file", f"{shown(min(repeated))} is the file of another image too; each needs its own")
    context.files |= own
    _check_loader_names(row, name, tail, issues, context.lvis)


def _better_name(name: str, folders: Sequence[Path]) -> str | None:
    """The name that a faulty one stands for, ``None`` if unknown.

    That is the last part of an address, slashes for backslashes, and the end of an absolute path that exists in ``folders``.
    """
    if "://" in name:
        better = [name.split("?")[0].rsplit("/", 1)[-1]]
    else:
        parts = name.replace("\\", "/").split("/")
        better = ["/".join(parts)]
        ends = ("/".join(parts[k:]) for k in range(1, len(parts)))
        better += [end for end in ends if find_image(folders, ImageRef(0, end))]
    return next((plain_name(one) for one in better if one != name and path_fault(one) is None), None)


def _check_loader_names(row: Record, name: str | None, tail: str | None, issues: RowIssues, lvis: bool) -> None:
    """Check the names that detectron2, COCO's loaders and Detic use."""
    url = row.get("coco_url")
    if lvis and tail is None:
        derived = url is None and name is not None and "/" in name and path_fault(name) is None
        hint = "--fix makes it of file_name" if derived else "its end must be folder/file"
        text = f"coco_url is {shown(url)}, by which detectron2 finds the file; {hint}"
        # Loaders use its last two parts only, and nobody knows an address.
        issues.error("coco_url", text, {"coco_url": name} if derived else None)
    if name is None and tail is not None and _needs_file_name(str(url), lvis):
        text = "file_name is missing, which COCO's loaders use, and Detic unless coco_url is an address of COCO's"
        repair = {"file_name": tail} if path_fault(tail) is None else None
        issues.error("file_name", f"{text}; --fix makes it of coco_url", repair)
    if str(name).startswith("COCO") and not _COCO_NAME.fullmatch(str(name)):
        text = f"Detic reads file_name {shown(name)} as {shown(str(name)[-16:])}; let it begin with something else"
        issues.warning("detic", text)


def _needs_file_name(url: str, lvis: bool) -> bool:
    """True if an image without ``file_name`` cannot be found by its address; LVIS v1 has addresses of one server only."""
    return not (lvis and url[_DETIC_PREFIX:] == url_tail(url))


def _check_lists(row: Record, issues: RowIssues, context: Context) -> None:
    for key in CATEGORY_LISTS:
        ids = row.get(key)
        if ids is None:
            state = "is missing" if key not in row else "is null"
            issues.error("lists", f"{key} {state}, which LVIS' evaluation needs; --fix gives an empty list", {key: []})
        elif not isinstance(ids, list) or not all(map(is_int, ids)):
            issues.error("lists", f"{key} is {shown(ids)}; give a list of category ids")
        elif unknown := set(ids) - context.category_ids:
            issues.error("lists", f"{key} holds {min(unknown)}, which no category has")


def _find_file(row: Record, folders: Sequence[Path]) -> Path | None:
    try:
        return find_image(folders, msgspec.convert(row, ImageRef))
    except msgspec.ValidationError:  # another check reports it
        return None


def _size_of(file: Path | None, hw: tuple[Any, Any]) -> Record:
    """The missing sides of an image, from its file."""
    if file is None:
        return {}
    try:
        size = dict(zip(("height", "width"), inspect(file, whole=False).hw, strict=True))
    except Exception:  # whatever a broken file makes Pillow raise: another check reports it
        return {}
    return {key: side for (key, side), own in zip(size.items(), hw, strict=True) if own is None}


def _check_file(row: Record, file: Path | None, folders: Sequence[Path], issues: RowIssues) -> None:
    if file is None:
        name = row.get("file_name") or url_tail(row["coco_url"] if isinstance(row.get("coco_url"), str) else None)
        if isinstance(name, str):  # else another check reports it
            text = f"no file {shown(name)} under {shown_folders(folders)}; put it there"
            placing = ", as `merge` does with --link-images and --images FOLDER" if is_synthetic(row) else ""
            issues.error("missing-file", text + placing)
        return
    try:
        image = inspect(file)
    except Exception as error:  # whatever a broken file makes Pillow raise
        issues.error("broken-file", f"{unreadable(file, error)}; get it again")
        return
    hw = (row.get("height"), row.get("width"))
    _check_format(image, f"{file} is {image.format}", issues)
    if image.orientation != 1:
        _check_orientation(hw, image, f"{file} has the EXIF orientation {image.orientation}", issues)
    elif hw != image.hw:
        text = (
            f"is {_size(hw)} (height x width) in the json, {_size(image.hw)} in {file}; masks may be of another image"
        )
        issues.error("image-size", text)


def _check_format(image: ImageFile, subject: str, issues: RowIssues) -> None:
    if is_deep(image.mode):
        text = "has more than 8 bits per channel, which training refuses; convert it to 8 bits"
        issues.error("depth", f"{subject} and {text}")
    elif image.format not in _WIDELY_READ:
        text = "which OpenCV and Ultralytics may not read; convert it to PNG if your trainer uses them"
        issues.warning("format", f"{subject}, {text}")


def _check_orientation(hw: tuple[Any, Any], image: ImageFile, subject: str, issues: RowIssues) -> None:
    """Check an image that viewers turn. Sizes tell whether the json is of the stored or the turned pixels, unless equal."""
    if hw == image.hw:
        text = "detectron2, Ultralytics and datasets turn the image, its masks stay; `export` removes the mark"
        issues.warning("exif", f"{subject}: {text}")
    elif hw == image.upright_hw:
        text = "the json has the size of the turned image; `train` and `export` turn it, pycocotools and CVAT do not"
        issues.warning("exif", f"{subject}: {text}")
    else:
        issues.error("image-size", f"{subject} and is {_size(image.hw)} (height x width), {_size(hw)} in the json")


def _size(hw: tuple[Any, Any]) -> str:
    return f"{shown(hw[0])} x {shown(hw[1])}"
