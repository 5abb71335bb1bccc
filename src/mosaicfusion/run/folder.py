"""The run folder: what was drawn, in parts that are whole or absent.

run/
  run.json                      settings, categories, model digest, package versions
  images/000/000000000123.jpg   canvas 123
  parts/part-00000112.jsonl     one line a canvas, from canvas 112 on; written under another name, synced, renamed
  lvis.json, report.html        compiled from the parts
  run.lock                      empty; a process that draws holds locks on it, see `mosaicfusion.run.claims`
  failures/000000000112.json    why canvas 112 could not be drawn, see `mosaicfusion.run.failures`
  judge.json, quality/          what `mosaicfusion judge` found, if it was run
  semantics.jsonl               what `mosaicfusion semantics` found: one line a region
  diversity.json                what `mosaicfusion diversity` found
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.categories import Category
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import remove_leftovers, write_atomic, write_new
from mosaicfusion.files.images import read_rgb
from mosaicfusion.files.remote import ahead, is_remote
from mosaicfusion.files.writable import check_writable
from mosaicfusion.generation.batches import Stretches
from mosaicfusion.identity import differences
from mosaicfusion.run.records import CanvasRecord

_FORMAT = 1
_LINE = re.compile(rb'\{"index":([0-9]+),.*\}\n', re.DOTALL)  # as CanvasRecord.to_line begins and ends
_IDENTITY = ("config", "categories", "model")  # the parts of run.json that decide what canvas number i looks like
_NEEDED = (*_IDENTITY, "canvases_per_category", "output")
# Choices of compiling, as they begin; ``clip`` is the model that judges for min_semantics.
_OUTPUT = {"policy": "drop", "masks": "rle", "min_quality": 0.0, "min_semantics": 0.0, "clip": "mini"}


class RunFolder:
    """A run on disk. Make one with :meth:`create`, read one with :meth:`open`."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.header = header

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run; raises :class:`MosaicFusionError` if there is none."""
        try:
            header = json.loads((path / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise MosaicFusionError(f"{path} holds no run (no run.json)") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise MosaicFusionError(f"cannot read {path / 'run.json'}: {error}") from None
        if not _is_header(header):
            raise MosaicFusionError(
                f"{path / 'run.json'} is not a run of this version of mosaicfusion (format {_FORMAT})"
            )
        return cls(path, {**header, "output": {**_OUTPUT, **header["output"]}})  # older runs lack newer choices

    @classmethod
    def create(cls, path: Path, header: dict[str, Any]) -> RunFolder:
        """Start a run in a new or empty folder, or go on with the same run; anything else is refused, nothing is deleted.

        ``header``: ``config``, ``categories``, ``model`` (together the run's identity), ``canvases_per_category``,
        ``versions``, and maybe ``output`` with some of ``policy``, ``masks``, ``min_quality``, ``min_semantics`` and
        ``clip``; without them they stay, or begin with the default.
        """
        check_run_folder(path, header)
        output = cls.output_at(path, header.get("output", {}))
        run = cls(path, {"format": _FORMAT, **header, "output": output})
        run.tidy()
        # First of all: a folder without it is refused as foreign. Of several processes that begin the run, one writes it.
        if not write_new(path / "run.json", run._header_bytes()):
            check_run_folder(path, header)
            run._write_header()
        return run

    @classmethod
    def output_at(cls, path: Path, choices: dict[str, Any]) -> dict[str, Any]:
        """What a run in ``path``, which may not be there yet, will be compiled with; choices that are ``None`` do not count."""
        before = cls.open(path).header["output"] if (path / "run.json").exists() else _OUTPUT
        return {**before, **_given(choices)}

    def output_with(self, **choices: Any) -> dict[str, Any]:
        """What the data set was last compiled with, changed by those of ``choices`` that are not ``None``."""
        return {**self.header["output"], **_given(choices)}

    def remember_output(self, output: dict[str, Any]) -> None:
        """Keep what the data set was last compiled with: policy, mask format, thresholds."""
        if self.header["output"] != output:
            self.header["output"] = output
            self._write_header()

    def tidy(self) -> None:
        """Remove what killed processes left half written; what a living one is writing stays."""
        remove_leftovers(_leftovers(self.path))

    def _write_header(self) -> None:
        data, path = self._header_bytes(), self.path / "run.json"
        if path.read_bytes() != data:
            write_atomic(path, data)

    def _header_bytes(self) -> bytes:
        return json.dumps(self.header, indent=1, ensure_ascii=False).encode()

    @property
    def total(self) -> int:
        """Number of canvases the run should have."""
        return int(self.header["canvases_per_category"]) * len(self.header["categories"]["main"])

    @property
    def categories(self) -> list[Category]:
        """Those of the data set, each once."""
        kinds = self.header["categories"]
        return list({c["id"]: Category.from_json(c) for kind in ("main", "partners") for c in kinds[kind]}.values())

    def part_files(self) -> list[Path]:
        """The parts that are there, in the order of their canvases."""
        return sorted((self.path / "parts").glob("part-*.jsonl"))

    def records(self) -> Iterator[CanvasRecord]:
        """All canvases drawn so far, by index and each once, read part by part."""
        last = -1
        for part in ahead(self.read_part, self.part_files()):
            for record in part:
                if record.index > last:  # parts of two batch sizes may overlap
                    last = record.index
                    yield record

    def read_part(self, file: Path) -> list[CanvasRecord]:
        """The canvases of one of :meth:`part_files`; raises :class:`MosaicFusionError` if it is damaged."""
        try:
            with file.open("rb") as lines:
                return [CanvasRecord.from_line(line) for line in lines]
        except (OSError, ValueError, RecursionError) as error:
            raise MosaicFusionError(
                f"{file} is damaged ({error}); delete it and its canvases are drawn again"
            ) from None

    def done(self) -> Stretches:
        """Indices of the canvases that are there; raises :class:`MosaicFusionError` where a part is torn."""
        parts = ahead(self._indices, self.part_files())
        return Stretches((index, index + 1) for part in parts for index in part)

    def done_among(self, indices: range) -> set[int]:
        """Those of some canvases, whole layout groups, that are there now: what other processes drew counts."""
        files = (self.path / "parts" / _part_name(index) for index in indices)
        return {index for file in files if file.exists() for index in self._indices(file)}

    def _indices(self, file: Path) -> list[int]:
        """What a part holds, by the beginnings of its lines: 1,000,000 canvases are not parsed to be counted."""
        with suppress(OSError), file.open("rb") as lines:
            found = [_LINE.fullmatch(line) for line in lines]
            if all(found):
                return [int(line[1]) for line in found if line]
        return [record.index for record in self.read_part(file)]

    def image_name(self, index: int) -> str:
        """Relative path of a canvas' image; a folder holds at most 1000."""
        return f"images/{index // 1000:03d}/{index:012d}.jpg"

    def read_image(self, record: CanvasRecord) -> NDArray[np.uint8]:
        """The image of a canvas, uint8 RGB (H, W, 3).

        Raises :class:`MosaicFusionError` if it is not there, cannot be read, or is not of its record's size.
        """
        path = self.path / str(record.file_name)
        image = read_rgb(path)
        if image.shape[:2] != record.hw_px:
            raise MosaicFusionError(f"{path} has {image.shape[:2]} pixels (height, width), its record {record.hw_px}")
        return image

    def write_image(self, index: int, data: bytes) -> str:
        """Store a JPEG; return its name relative to the run folder."""
        name = self.image_name(index)
        write_atomic(self.path / name, data)
        return name

    def write_part(self, records: Sequence[CanvasRecord]) -> None:
        """Store canvases, given by rising index; after this they are done. A part holds consecutive ones."""
        for _, run in groupby(enumerate(records), lambda item: item[1].index - item[0]):
            part = [record for _, record in run]
            lines = "".join(record.to_line() + "\n" for record in part)
            write_atomic(self.path / "parts" / _part_name(part[0].index), lines.encode())


def _part_name(first: int) -> str:
    return f"part-{first:08d}.jsonl"


def check_run_folder(path: Path, header: dict[str, Any] | None = None) -> None:
    """Refuse a folder that holds anything but the run of ``header``; without a header, only look for foreign files."""
    check_writable(path)
    try:
        if not path.is_dir() or set(path.iterdir()) <= set(_leftovers(path)):
            return
    except OSError as error:
        raise MosaicFusionError(f"cannot use {path}: {error.strerror or error}; give another --out") from None
    if not (path / "run.json").exists():
        raise MosaicFusionError(f"{path} holds files but no run; give an empty or a new folder with --out")
    if header is None:
        return
    old = RunFolder.open(path).header
    changed = differences(_comparable(old), _comparable(header))
    if changed:
        shown = "\n  ".join(changed[:12])
        raise MosaicFusionError(f"{path} holds another run; give another --out, or undo:\n  {shown}")
    before, now = old["canvases_per_category"], header["canvases_per_category"]
    if now < before:
        raise MosaicFusionError(
            f"{path} was made with {before} canvases per category; a run can grow but not shrink to {now}"
        )


def _is_header(header: Any) -> bool:
    return (
        isinstance(header, dict)
        and header.get("format") == _FORMAT
        and header.keys() >= {*_NEEDED}
        and isinstance(header["categories"], dict)
        and header["categories"].keys() >= {"main", "partners"}
        and isinstance(header["output"], dict)
    )


def _given(choices: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in choices.items() if value is not None}


def _comparable(header: dict[str, Any]) -> Any:
    """The identity as plain JSON, where tuples are lists, and categories go by their names."""
    identity = json.loads(json.dumps({key: header[key] for key in _IDENTITY}))
    named = {kind: {c["name"]: c for c in categories} for kind, categories in identity["categories"].items()}
    order = {f"order of {kind}": [c["name"] for c in categories] for kind, categories in identity["categories"].items()}
    return {**identity, "categories": {**named, **order}}


def _leftovers(path: Path) -> Iterator[Path]:
    """Temporary files of :func:`write_atomic` in a run folder: of killed processes, or being written."""
    if is_remote(path):
        return
    for pattern in (
        ".run.json.*.tmp",
        ".lvis.json.*.tmp",
        ".report.html.*.tmp",
        ".judge.json.*.tmp",
        ".semantics.jsonl.*.tmp",
        ".diversity.json.*.tmp",
        "failures/.*.json.*.tmp",
        "quality/*/.part-*.tmp",
        "parts/.part-*.tmp",
        "images/*/.*.jpg.*.tmp",
    ):
        yield from path.glob(pattern)
