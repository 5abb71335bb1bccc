"""Odd rows of a json that have one meaning only: 640.0 pixels, ``"iscrowd": null``, and Roboflow's root category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

_WHOLE = {"images": ("id", "width", "height"), "annotations": ("id", "image_id", "category_id"), "categories": ("id",)}


class _Category(msgspec.Struct):
    id: int
    name: str
    supercategory: str | None = None


class _Reference(msgspec.Struct, gc=False):
    category_id: int


class _Lists(msgspec.Struct):
    neg_category_ids: list[int] | None = None
    not_exhaustive_category_ids: list[int] | None = None


def mended_values(key: str, row: dict[str, Any]) -> dict[str, Any]:
    """The new values of a row of the list ``key``; empty if nothing is to change."""
    new: dict[str, Any] = {
        name: int(row[name])
        for name in _WHOLE[key]
        if type(row.get(name)) is float and row[name].is_integer() and abs(row[name]) < 2**53
    }
    if key == "annotations" and "iscrowd" in row:
        crowd = row["iscrowd"]
        if crowd is None:
            new["iscrowd"] = 0
        elif type(crowd) in (bool, float) and crowd in (0, 1):
            new["iscrowd"] = int(crowd)
    return new


def mended_rows(key: str, rows: Sequence[msgspec.Raw]) -> tuple[list[bytes], int]:
    """The rows of the list ``key`` with their new values, other fields as bytes; also the number of rows that changed."""
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    names = {*_WHOLE[key], "iscrowd"}
    mended: list[bytes] = list(rows)
    changed = 0
    for index, row in enumerate(rows):
        try:
            fields = decoder.decode(row)
            values = mended_values(key, {name: msgspec.json.decode(fields[name]) for name in names & fields.keys()})
        except msgspec.DecodeError:  # whoever needs the row reports it
            continue
        if values:
            mended[index] = msgspec.json.encode({**fields, **values})
            changed += 1
    return mended, changed


def root_category(categories: msgspec.Raw, images: msgspec.Raw, annotations: msgspec.Raw) -> tuple[int, str] | None:
    """Index and name of the category that Roboflow adds as the parent of all others; ``None`` if there is none.

    It has the lowest id and no parent, all others name it as their ``supercategory``, and nothing refers to its id.
    """
    try:
        rows = msgspec.json.decode(categories, type=list[_Category])
    except msgspec.DecodeError:
        return None
    if len(rows) < 2:
        return None
    index = min(range(len(rows)), key=lambda k: rows[k].id)
    root, others = rows[index], [row for k, row in enumerate(rows) if k != index]
    if root.supercategory not in (None, "", "none") or any(row.supercategory != root.name for row in others):
        return None
    try:
        used = {row.category_id for row in msgspec.json.decode(annotations, type=list[_Reference])}
        for image in msgspec.json.decode(images, type=list[_Lists]):
            used.update(image.neg_category_ids or (), image.not_exhaustive_category_ids or ())
    except msgspec.DecodeError:
        return None
    return None if root.id in used else (index, root.name)
