"""The run folder: images and records of canvases, in parts that are complete or absent.

run/
  run.json                      settings, categories, model digest, package versions
  images/000/000000000123.jpg   canvas 123
  parts/part-00000112.jsonl     one line per canvas, from canvas 112 on; written under another name, synced, renamed
  lvis.json, report.html        compiled from the parts
  run.lock                      empty; generating processes hold locks on it, see `mosaicfusion.run.claims`
  failures/000000000112.json    why canvas 112 could not be generated, see `mosaicfusion.run.failures`
  judge.json, quality/          results of `mosaicfusion judge`
  semantics.jsonl               results of `mosaicfusion semantics`: one line per region
  background.jsonl              what it finds between the objects: one line per canvas
  diversity.json                results of `mosaicfusion diversity`
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.categories import Category
from mosaicfusion.config import OutputSettings
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.files.atomic import remove_leftovers, write_atomic, write_new
from mosaicfusion.files.images import read_rgb
from mosaicfusion.files.remote import ahead, as_folder, is_remote
from mosaicfusion.files.writable import check_writable
from mosaicfusion.notebook import ShownInNotebooks
from mosaicfusion.run.manifest import Manifest
from mosaicfusion.run.records import CanvasOutline, CanvasRecord

# As CanvasRecord.to_line begins and ends; "n" of null or the quotation mark of a file name.
_Record = TypeVar("_Record", CanvasRecord, CanvasOutline)
_OUTLINES = msgspec.json.Decoder(CanvasOutline)
_LINE = re.compile(rb'\{"index":([0-9]+),"hw_px":\[\d+,\d+\],"noise_seed":\d+,"file_name":(n|").*\}\n', re.DOTALL)


class RunFolder(ShownInNotebooks):
    """A run on disk. Make one with :meth:`open_or_create`, read one with :meth:`open`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run; raises :class:`MosaicFusionError` if there is none."""
        path = as_folder(path)
        try:
            data = (path / "run.json").read_bytes()
        except FileNotFoundError:
            raise MosaicFusionError(f"{path} holds no run (no run.json)") from None
        except OSError as error:
            raise MosaicFusionError(f"cannot read {path / 'run.json'}: {first_line(error)}") from None
        return cls(path, Manifest.from_bytes(data, str(path / "run.json")))

    @classmethod
    def of(cls, run: RunFolder | str | Path) -> RunFolder:
        """A run as it is, or the one in a folder; raises :class:`MosaicFusionError` if there is none."""
        return run if isinstance(run, RunFolder) else cls.open(run)

    def __fspath__(self) -> str:
        return str(self.path)  # so that a run is accepted wherever its folder is

    @classmethod
    def find(cls, path: Path) -> RunFolder | None:
        """The run in a folder that may not exist yet, or ``None``.

        Raises :class:`MosaicFusionError` for a folder that cannot be written or holds anything but a run.
        """
        check_writable(path)
        try:
            if not path.is_dir() or set(path.iterdir()) <= set(_leftovers(path)):
                return None
        except OSError as error:
            raise MosaicFusionError(f"cannot use {path}: {error.strerror or error}; give another --out") from None
        if not (path / "run.json").exists():
            raise MosaicFusionError(f"{path} holds files but no run; give an empty or a new folder with --out")
        return cls.open(path)

    @classmethod
    def open_or_create(cls, path: Path, manifest: Manifest) -> RunFolder:
        """Start a run in a new or empty folder, or continue the same run; nothing is ever deleted.

        Raises :class:`MosaicFusionError` for a folder that holds anything else, see :meth:`find` and :meth:`check_same`.
        """
        run = cls.find(path)
        return run.continue_with(manifest) if run else cls._create(path, manifest)

    @classmethod
    def _create(cls, path: Path, manifest: Manifest) -> RunFolder:
        run = cls(path, manifest)
        run.tidy()
        # Before any other file, since a folder without it is refused. Of several processes that start the run, one writes it.
        if write_new(path / "run.json", manifest.to_bytes()):
            return run
        return cls.open(path).continue_with(manifest)

    def continue_with(self, manifest: Manifest) -> RunFolder:
        """Adopt and store the number of canvases, the output settings and the versions of ``manifest``; see :meth:`check_same`.

        Unfinished files of killed processes are removed. Returns this folder. Raises :class:`MosaicFusionError` for another run,
        or fewer canvases.
        """
        self.check_same(manifest)
        self.manifest.grown_to(manifest.counts)
        self.tidy()
        self._store(manifest)
        return self

    def check_same(self, manifest: Manifest) -> None:
        """Raise :class:`MosaicFusionError` if ``manifest`` describes another run."""
        if changed := self.manifest.differences(manifest):
            lines = "\n  ".join(changed[:12])
            raise MosaicFusionError(f"{self.path} holds another run; give another --out, or undo:\n  {lines}")

    def with_output(self, output: OutputSettings) -> RunFolder:
        """The same run with other settings of its data set; nothing is written."""
        return RunFolder(self.path, self.manifest.model_copy(update={"output": output}))

    def remember_output(self, output: OutputSettings) -> None:
        """Store the settings that the data set was last compiled with."""
        self._store(self.with_output(output).manifest)

    def _store(self, manifest: Manifest) -> None:
        if manifest != self.manifest:
            write_atomic(self.path / "run.json", manifest.to_bytes())
            self.manifest = manifest

    def tidy(self) -> None:
        """Remove the unfinished files of killed processes; those that a living process is writing stay."""
        remove_leftovers(_leftovers(self.path))

    @property
    def total(self) -> int:
        """Number of canvases that the run is to have."""
        return self.manifest.total

    @property
    def categories(self) -> list[Category]:
        """The categories of the data set, each once."""
        return self.manifest.categories.union

    def part_files(self) -> list[Path]:
        """The existing parts, in the order of their canvases."""
        return sorted((self.path / "parts").glob("part-*.jsonl"))

    def records(self) -> Iterator[CanvasRecord]:
        """The records of all canvases so far, by index and each once, read part by part."""
        last = -1
        for part in ahead(self.read_part, self.part_files()):
            for record in part:
                if record.index > last:  # parts of two batch sizes may overlap
                    last = record.index
                    yield record

    def read_part(self, file: Path) -> list[CanvasRecord]:
        """The canvases of one of :meth:`part_files`; raises :class:`MosaicFusionError` if it is damaged."""
        return self._read_lines(file, CanvasRecord.from_line)

    def read_outlines(self, file: Path) -> list[CanvasOutline]:
        """Read a part like :meth:`read_part`, without masks and prompts, and without checking these."""
        return self._read_lines(file, _OUTLINES.decode)

    def _read_lines(self, file: Path, parse: Callable[[bytes], _Record]) -> list[_Record]:
        try:
            with file.open("rb") as lines:
                records = [parse(line) for line in lines]
            self._check_categories(records)
            return records
        except (OSError, ValueError, RecursionError) as error:
            raise MosaicFusionError(
                f"{file} is damaged ({first_line(error)}); delete it and its canvases are generated again"
            ) from None

    def _check_categories(self, records: Sequence[CanvasRecord | CanvasOutline]) -> None:
        known = self._category_ids
        for record in records:
            for region in record.regions:
                if region.category_id not in known:
                    raise ValueError(
                        f"canvas {record.index} shows category {region.category_id}, which is not one of the run"
                    )

    @cached_property
    def _category_ids(self) -> frozenset[int]:
        return frozenset(category.id for category in self.categories)

    def done(self) -> NDArray[np.bool_]:
        """For each canvas of the run, bool (total,), True if it exists; raises :class:`MosaicFusionError` for a torn part."""
        done = np.zeros(self.total, np.bool_)
        for part in ahead(self._canvases, self.part_files()):
            done[[index for index in part if index < self.total]] = True
        return done

    def without_image(self) -> list[list[int]]:
        """The canvases of each part of which an image file was lost since it was written; not checked at URLs."""
        if is_remote(self.path):
            return []
        folder, names = None, set[str]()
        lost = []
        for file in self.part_files():
            part = self._canvases(file)
            for index in (index for index, has_image in part.items() if has_image):
                path = self.path / self.image_name(index)
                if path.parent != folder:  # consecutive canvases share a folder, which is listed once
                    folder = path.parent
                    names = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
                if path.name not in names:
                    lost.append(list(part))
                    break
        return lost

    def done_among(self, indices: range) -> set[int]:
        """The canvases of some layout groups that exist now, including those that other processes generated."""
        files = (self.path / "parts" / _part_name(index) for index in indices)
        return {index for file in files if file.exists() for index in self._canvases(file)}

    def _canvases(self, file: Path) -> dict[int, bool]:
        """The indices of a part, with True if the canvas has an image, from the beginnings of its lines.

        Counting 1,000,000 canvases does not parse them.
        """
        with suppress(OSError), file.open("rb") as lines:
            found = [_LINE.fullmatch(line) for line in lines]
            if all(found):
                return {int(line[1]): line[2] == b'"' for line in found if line}
        return {record.index: record.file_name is not None for record in self.read_part(file)}

    def image_name(self, index: int) -> str:
        """Relative path of a canvas' image; a folder has at most 1000 images."""
        return f"images/{index // 1000:03d}/{index:012d}.jpg"

    def read_image(self, record: CanvasRecord) -> NDArray[np.uint8]:
        """The image of a canvas, uint8 RGB (H, W, 3).

        Raises :class:`MosaicFusionError` if it does not exist, cannot be read, or is not of its record's size.
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
        """Store canvases in ascending order; after this they are done. A part holds consecutive ones."""
        for _, run in groupby(enumerate(records), lambda item: item[1].index - item[0]):
            part = [record for _, record in run]
            lines = "".join(record.to_line() + "\n" for record in part)
            write_atomic(self.path / "parts" / _part_name(part[0].index), lines.encode())


def _part_name(first: int) -> str:
    return f"part-{first:08d}.jsonl"


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
        ".background.jsonl.*.tmp",
        ".diversity.json.*.tmp",
        "failures/.*.json.*.tmp",
        "quality/*/.part-*.tmp",
        "parts/.part-*.tmp",
        "images/*/.*.jpg.*.tmp",
    ):
        yield from path.glob(pattern)
