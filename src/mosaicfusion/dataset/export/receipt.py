"""The receipt of an export, ``.export.json``, by which the same command recognises what it wrote.

A command that was killed after its folder had appeared, and is started again, finds its work done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.dataset.coco import json_of
from mosaicfusion.dataset.export.output import OutFolder, locate

NAME = ".export.json"  # hidden, so that no loader takes it for data


@dataclass(frozen=True)
class Exported:
    """Counts of what was written. ``size`` in bytes; ``notes`` say what the format could not hold."""

    out: str
    images: int
    instances: int
    categories: int
    size: int
    notes: tuple[str, ...]


class _Receipt(msgspec.Struct):
    identity: str
    exported: Exported


def identity_of(sources: Iterable[Path | str | None], options: Mapping[str, Any]) -> str:
    """64 hex digits over the options of an export and the content of the sources that it reads records from."""
    digest = hashlib.sha256(json.dumps(options, default=str, sort_keys=True).encode())
    for source in sources:
        for file in _files(json_of(source)) if source is not None else ():
            with file.open("rb") as data:
                digest.update(hashlib.file_digest(data, "sha256").digest())
        digest.update(b";")
    return digest.hexdigest()


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source] if source.exists() else []
    return [source / "run.json", *sorted(source.glob("parts/part-*.jsonl"))] if (source / "run.json").exists() else []


def write_receipt(folder: OutFolder, identity: str, exported: Exported) -> None:
    """Write the receipt into a folder that is complete otherwise. It does not name the folder: equal exports have equal bytes."""
    folder.write(NAME, msgspec.json.encode(_Receipt(identity, replace(exported, out=""))))


def read_receipt(out: str, identity: str) -> Exported | None:
    """What an equal export wrote to ``out``; ``None`` if there is none, or the size of its files has changed since."""
    fs, path = locate(out)
    try:
        data = fs.cat_file(f"{path}/{NAME}")
        receipt = msgspec.json.decode(data, type=_Receipt)
        unchanged = fs.du(path) == receipt.exported.size + len(data)
    except (OSError, msgspec.DecodeError):
        return None
    return replace(receipt.exported, out=out) if unchanged and receipt.identity == identity else None
