"""Runs and LVIS or COCO jsons in the formats that trainers read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.config import MaskFormat, Policy
from mosaicfusion.dataset.export.options import Format as Format
from mosaicfusion.dataset.export.options import Options
from mosaicfusion.dataset.export.output import whole_or_absent
from mosaicfusion.dataset.reader import Dataset, Sample, open_dataset
from mosaicfusion.errors import MosaicFusionError


@dataclass(frozen=True)
class Exported:
    """What was written; ``notes`` say in words what the format could not hold."""

    out: str
    images: int
    instances: int
    categories: int
    size: int  # bytes
    notes: tuple[str, ...]


def export(
    source: Path | str,
    to: Format,
    out: Path | str,
    *,
    images: Path | str | None = None,
    policy: Policy | None = None,
    masks: MaskFormat | None = None,
    val_fraction: float = 0.0,
    shard_size: int = 1000,
    on_progress: Callable[[float, int], None] | None = None,
) -> Exported:
    """Write a data set in another format; ``categories.json`` in it lists the categories with their index, from 0.

    ``source``: a run folder (``policy`` as in :func:`mosaicfusion.dataset.lvis.compile_lvis`), or an LVIS or COCO json whose
    ``images`` lie in that folder. ``out``: a new or empty folder, as a path or any URL of fsspec; it appears whole or not at
    all. ``masks``: ``None`` leaves them as they are. ``val_fraction``, in [0, 1), is for yolo and voc; ``shard_size``, in
    images, for webdataset and hf. Images are copied byte by byte, under their id as a name. What a format loses is said in
    its module.

    Raises :class:`MosaicFusionError` for a damaged source, missing images, and a place that is taken or cannot be written.
    """
    options = Options(to, masks, val_fraction, shard_size)
    write = _writer(to)
    with whole_or_absent(str(out)) as folder:
        dataset = open_dataset(Path(source), None if images is None else Path(images), policy)
        if options.masks is None and to not in ("yolo", "voc"):
            options = replace(options, masks=dataset.masks)
        notes = write(dataset, _counted(dataset, on_progress), folder, options)
        categories = [{"index": index, **category} for index, category in enumerate(dataset.categories)]
        folder.write("categories.json", msgspec.json.format(msgspec.json.encode(categories), indent=1))
        size = folder.size()
    return Exported(str(out), dataset.images, dataset.instances, len(dataset.categories), size, tuple(notes))


def _writer(to: Format) -> Callable[[Dataset, Iterator[Sample], Any, Options], list[str]]:
    try:
        writer: Callable[..., list[str]] = import_module(f"{__name__}.{to}").write
    except ImportError as error:
        raise MosaicFusionError(f'--to {to} needs {error.name}: pip install "mosaicfusion[export]"') from None
    return writer


def _counted(dataset: Dataset, on_progress: Callable[[float, int], None] | None) -> Iterator[Sample]:
    for done, sample in enumerate(dataset):
        if on_progress:
            on_progress(done, dataset.images)
        yield sample
    if on_progress:
        on_progress(dataset.images, dataset.images)
