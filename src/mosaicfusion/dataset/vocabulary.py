"""Vocabularies from files: the categories of an LVIS or COCO json, read as all other commands read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mosaicfusion.categories import Vocabulary, parse_category
from mosaicfusion.dataset.coco import DatasetFile, json_of
from mosaicfusion.dataset.mend import mended_values
from mosaicfusion.dataset.text import read_text
from mosaicfusion.errors import MosaicFusionError


def read_vocabulary(location: str | Path) -> Vocabulary:
    """The categories of an LVIS or COCO json, of a json with ``categories`` only, or of a plain list of categories.

    Roboflow's root category is left out; the vocabulary's ``notes`` say so. Raises :class:`MosaicFusionError` for a file that
    is missing, cut off or of another kind, and for categories without an id or a name.
    """
    path = json_of(location)
    data = read_text(path)
    if data[:64].lstrip().startswith(b"["):
        data = b'{"categories":' + data + b"}"
    file = DatasetFile.from_bytes(path, data, needed=("categories",))
    records = [_mended(record) for record in file.parse("categories", list[Any])]
    if not records:
        raise MosaicFusionError(f"{path} has an empty list of 'categories'; name at least one")
    return Vocabulary(
        (parse_category(record, path) for record in records), path.name, [remark.text for remark in file.remarks]
    )


def _mended(record: Any) -> Any:
    return {**record, **mended_values("categories", record)} if isinstance(record, dict) else record
