"""Writing a data set in another format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mosaicfusion.arguments import checked
from mosaicfusion.config import MaskFormat, Policy
from mosaicfusion.dataset.export.format import ExportOptions, Format, check_options, load_format
from mosaicfusion.dataset.export.output import OutFolder, whole_or_absent
from mosaicfusion.dataset.export.receipt import Exported, identity_of, read_receipt, write_receipt
from mosaicfusion.dataset.export.selection import Selection
from mosaicfusion.dataset.export.source import open_source
from mosaicfusion.dataset.image_files import Folders
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress


@checked
def export(
    source: Path | str,
    to: str,
    out: Path | str,
    *,
    images: Folders | None = None,
    policy: Policy | None = None,
    masks: MaskFormat | None = None,
    val_fraction: float = 0.0,
    val: Path | str | None = None,
    val_images: Folders | None = None,
    categories: Path | str | None = None,
    shard_size: int = 1000,
    on_progress: OnProgress | None = None,
) -> Exported:
    """Write a data set in the format ``to``, one of :data:`FORMATS`; ``categories.json`` lists its categories by index from 0.

    Images are copied byte by byte, except those that EXIF turns, see :mod:`mosaicfusion.dataset.image_files`. The module of a
    format says what it cannot hold.

    Args:
        source: a run folder (``policy`` as in :class:`mosaicfusion.config.OutputSettings`), or an LVIS or COCO json whose images
            are in the folders ``images``.
        out: a new or empty folder, as a path or any fsspec URL; it appears complete or not at all. One that this very call
            wrote before is left as it is.
        masks: ``None`` keeps them as they are.
        val_fraction: in [0, 1), for formats with splits. Of a set with real and synthetic images, val is a fraction of the real
            ones.
        val: your validation set, a json or run folder, which becomes val whole, while ``source`` becomes train whole.
        categories: a json whose categories the export has, all and with their ids.
        shard_size: in images, for formats that group images into files.

    Raises :class:`MosaicFusionError` for a damaged source, missing images, and a folder that is not empty or cannot be written.
    """
    options, chosen = ExportOptions(masks, val_fraction, shard_size, own_val=val is not None), load_format(to)
    check_options(to, chosen, options)
    choices = {"to": to, "images": images, "policy": policy, "val_images": val_images, **asdict(options)}
    identity = identity_of((source, val, categories), choices)
    if (done := read_receipt(str(out), identity)) is not None:
        return done
    with whole_or_absent(str(out)) as folder:
        dataset = open_source(source, images, policy, categories=categories, val=val, val_images=val_images)
        exported = _write(dataset, chosen, options, folder, str(out), on_progress)
        write_receipt(folder, identity, exported)
    return exported


def _write(
    dataset: Dataset,
    chosen: Format,
    options: ExportOptions,
    folder: OutFolder,
    out: str,
    on_progress: OnProgress | None,
) -> Exported:
    if options.masks is None and len(chosen.masks) > 1:
        options = replace(options, masks=dataset.masks)
    options = replace(options, synthetic_in_val=dataset.counts.synthetic in (0, dataset.images))
    selection = Selection(dataset, crowds=chosen.crowds)
    notes = chosen.write(dataset, _counted(selection, on_progress), folder, options)
    selection.require_objects()
    listed = [{"index": index, **category} for index, category in enumerate(dataset.categories)]
    folder.write("categories.json", msgspec.json.format(msgspec.json.encode(listed), indent=1))
    counts = dataset.images, selection.instances, len(dataset.categories)
    return Exported(out, *counts, folder.size(), (*selection.notes(), *notes))


def _counted(selection: Selection, on_progress: OnProgress | None) -> Iterator[Sample]:
    images = selection.dataset.images
    for done, sample in enumerate(selection):
        if on_progress:
            on_progress(done, images)
        yield sample
    if on_progress:
        on_progress(images, images)
