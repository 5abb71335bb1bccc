"""WebDataset: ``shard-000000.tar``, ``shard-000001.tar``, ... with ``<id>.jpg`` and ``<id>.json`` for each image.

The json is the image's LVIS record with its annotations as ``annotations``; masks are bit for bit the same. At most one
image is in memory. Equal sets give equal bytes.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from itertools import groupby

import msgspec

from mosaicfusion.dataset.export.format import ExportOptions, Format
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    for shard, group in groupby(enumerate(samples), lambda numbered: numbered[0] // options.shard_size):
        with (
            out.open(f"shard-{shard:06d}.tar") as file,
            tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for _, sample in group:
                _add(tar, sample.name, sample.read())
                _add(tar, f"{sample.stem}.json", _record(sample, options))
    return []


def _record(sample: Sample, options: ExportOptions) -> bytes:
    annotations = [
        {**annotation.record, "segmentation": annotation.segmentation(options.masks)}
        for annotation in sample.annotations
    ]
    return msgspec.json.encode({**sample.record, "annotations": annotations})


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # with no owner and no time
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


FORMAT = Format(write, sharded=True)
