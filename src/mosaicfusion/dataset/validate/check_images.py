"""What is looked at in each image of a data set: size, names, LVIS' lists, and the file. Rows may be anything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

from mosaicfusion.dataset.coco import CATEGORY_LISTS, ImageRef, find_image, path_fault, url_tail
from mosaicfusion.dataset.validate.checks import Seen, has_id, is_int, is_size
from mosaicfusion.dataset.validate.issues import Issues
from mosaicfusion.errors import shown

_DETIC_PREFIX = len("http://images.cocodataset.org/")
_COCO_NAME = re.compile(r"COCO_\w+_\d{12}\.jpg")  # what Detic may cut to its last 16 characters


def check_image(row: Any, place: str, seen: Seen, issues: Issues, root: Path | None) -> None:
    if not has_id(row, place, seen.image_ids, issues):
        return
    place += f" (id {row['id']})"
    hw: Any = (row.get("height"), row.get("width"))
    if not is_size(hw):
        text = f"height and width are {shown(hw)}; --images with --fix reads them if they are missing"
        issues.add("error", "size", place, text)
    seen.image_hw[row["id"]] = hw if is_size(hw) else None
    _check_names(row, place, seen, issues)
    if seen.lvis:
        _check_lists(row, place, seen, issues)
    if root is not None:
        _check_file(row, place, root, issues)


def _check_names(row: dict[str, Any], place: str, seen: Seen, issues: Issues) -> None:
    name, url = row.get("file_name"), row.get("coco_url")
    for key, value in (("file_name", name), ("coco_url", url)):
        if not isinstance(value, str | None):
            issues.add("error", "path", place, f"{key} is {shown(value)}; give a text")
            return
    tail = url_tail(url)
    if name is None and tail is None:
        issues.add("error", "path", place, f"has no file_name, and coco_url is {shown(url)}; loaders need either")
        return
    for key, value in (("file_name", name), ("end of coco_url", tail)):
        if value is not None and (fault := path_fault(value)):
            issues.add("error", "path", place, f"{key} {shown(value)} {fault}; name a file under the images' folder")
    # A name and an address may well be the same file; two images may not.
    own = {value for value in (name, tail) if value is not None}
    if repeated := own & seen.files:
        issues.add(
            "error", "same-file", place, f"{shown(min(repeated))} is another image's file too; each needs its own"
        )
    seen.files |= own
    if seen.lvis and tail is None:
        hint = "--fix makes it of file_name" if "/" in str(name) else "its end must be folder/file"
        issues.add("error", "coco_url", place, f"coco_url is {shown(url)}, which detectron2 finds the file by; {hint}")
    if name is None and needs_file_name(str(url), seen.lvis):
        text = "file_name is missing, which COCO's loaders take, and Detic unless coco_url is an address of COCO's"
        issues.add("error", "file_name", place, f"{text}; --fix makes it of coco_url")
    if str(name).startswith("COCO") and not _COCO_NAME.fullmatch(str(name)):
        text = f"Detic takes {shown(str(name)[-16:])} of file_name {shown(name)}; begin it with something else"
        issues.add("warning", "detic", place, text)


def needs_file_name(url: str, lvis: bool) -> bool:
    """Whether an image without ``file_name`` cannot be found by its address; LVIS v1 has addresses only, all of one server."""
    return not (lvis and url[_DETIC_PREFIX:] == url_tail(url))


def _check_lists(row: dict[str, Any], place: str, seen: Seen, issues: Issues) -> None:
    for key in CATEGORY_LISTS:
        ids = row.get(key)
        if key not in row:
            issues.add(
                "error", "lists", place, f"{key} is missing, which LVIS' evaluation needs; --fix gives an empty one"
            )
        elif not isinstance(ids, list) or not all(map(is_int, ids)):
            issues.add("error", "lists", place, f"{key} is {shown(ids)}; give a list of category ids")
        elif unknown := set(ids) - seen.category_ids:
            issues.add("error", "lists", place, f"{key} holds {min(unknown)}, which no category has")
    negative = row.get(CATEGORY_LISTS[0])
    if isinstance(negative, list):
        seen.negative[row["id"]] = set(filter(is_int, negative))


def _check_file(row: dict[str, Any], place: str, root: Path, issues: Issues) -> None:
    try:
        path = find_image(root, msgspec.convert(row, ImageRef))
    except msgspec.ValidationError:  # said before
        return
    if path is None:
        text = f"no file {shown(row.get('file_name') or url_tail(row.get('coco_url')))} under {root}; put it there"
        issues.add("error", "missing-file", place, text)
        return
    try:
        with Image.open(path) as image:
            width, height = image.size
    except Exception as error:  # whatever a broken file makes Pillow raise
        issues.add("error", "broken-file", place, f"{path} cannot be read as an image ({error}); get it again")
        return
    if (row.get("height"), row.get("width")) != (height, width):
        given = f"{shown(row.get('height'))} x {shown(row.get('width'))}"
        text = f"is {given} (height x width) in the json, {height} x {width} in {path}; masks may be of another image"
        issues.add("error", "image-size", place, text)
