"""Category ids from 1 on without gaps, which detectron2's LVIS loader and many trainers need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from mosaicfusion.dataset.coco import CATEGORY_LISTS, CategoryRef
from mosaicfusion.errors import MosaicFusionError

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def renumbered(path: Path, lists: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
    """The rows of a json with other category ids, in the order of the present ones; all other fields keep their bytes.

    Raises :class:`MosaicFusionError` for a row that names an id that no category has; ``path`` is for the message.
    """
    ids = sorted(msgspec.json.decode(row, type=CategoryRef).id for row in lists["categories"])
    new = {id_: number for number, id_ in enumerate(ids, start=1)}
    try:
        return {
            "categories": [_with_ids(row, new, ("id",)) for row in lists["categories"]],
            "images": [_with_ids(row, new, CATEGORY_LISTS) for row in lists["images"]],
            "annotations": [_with_ids(row, new, ("category_id",)) for row in lists["annotations"]],
        }
    except KeyError as error:
        raise MosaicFusionError(
            f"{path}: the category id {error} is used and no category has it; `mosaicfusion validate {path}` lists all problems"
        ) from None


def _with_ids(row: bytes, new: Mapping[int, int], keys: Iterable[str]) -> bytes:
    """A row whose fields ``keys`` are an id or a list of ids."""
    fields = _FIELDS.decode(row)
    values: dict[str, object] = {}
    for key in keys:
        ids = msgspec.json.decode(fields[key], type=int | list[int] | None) if key in fields else None
        if ids is not None:
            values[key] = [new[id_] for id_ in ids] if isinstance(ids, list) else new[ids]
    return msgspec.json.encode({**fields, **values}) if values else row
