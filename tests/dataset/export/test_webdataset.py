"""WebDataset shards, read by webdataset."""

from __future__ import annotations

import gc
import pathlib
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds

from mosaicfusion.dataset.export import export
from mosaicfusion.masks import rle


def read(out: Path) -> dict[int, Any]:
    shards = sorted(str(path) for path in out.glob("*.tar"))
    samples = wds.WebDataset(shards, shardshuffle=False, empty_check=False).decode()
    return {int(sample["__key__"]): sample for sample in samples}


@pytest.mark.parametrize("masks", ["rle", "polygon"])
def test_webdataset_reads_the_same(example: Any, tmp_path: Path, masks: Any) -> None:
    from mosaicfusion.dataset.masks import read_mask

    export(example.source, "webdataset", tmp_path / "out", masks=masks, shard_size=2, **example.arguments)
    samples = read(tmp_path / "out")
    assert samples.keys() == example.masks.keys()
    for image_id, sample in samples.items():
        record = sample["json"]
        suffix = "png" if example.images[image_id].startswith(b"\x89PNG") else "jpg"
        assert (record["id"], suffix in sample) == (image_id, True)
        hw = (record["height"], record["width"])
        found = [rle.decode(read_mask(annotation, hw).run_lengths()) for annotation in record["annotations"]]
        assert len(found) == len(example.masks[image_id])
        assert all(np.array_equal(*pair) for pair in zip(found, example.masks[image_id], strict=True))
        assert [a["category_id"] for a in record["annotations"]] == example.category_ids[image_id]


def test_images_are_split_into_shards(coco: Any, tmp_path: Path) -> None:
    """Two images, then one; image and json beside each other; the bytes of the source."""
    export(coco.source, "webdataset", tmp_path / "out", shard_size=2, **coco.arguments)
    members = {}
    for path in sorted((tmp_path / "out").glob("*.tar")):
        with tarfile.open(path) as tar:
            members[path.name] = tar.getnames()
            for member in tar.getmembers():
                data = tar.extractfile(member)
                assert member.isfile()
                if data is not None and not member.name.endswith(".json"):
                    assert data.read() == coco.images[int(Path(member.name).stem)]
    assert members == {
        "shard-000000.tar": ["000000000009.jpg", "000000000009.json", "000000000005.png", "000000000005.json"],
        "shard-000001.tar": ["000000000006.jpg", "000000000006.json"],
    }


def test_fields_of_lvis_are_in_the_json(run: Any, tmp_path: Path) -> None:
    export(run.source, "webdataset", tmp_path / "out", policy="not_exhaustive")
    record = read(tmp_path / "out")[2]["json"]
    assert record["not_exhaustive_category_ids"] == [3]
    assert record["annotations"][0]["segmentation"] == rle.encode(run_dot())
    assert record["annotations"][0]["score"] == 0.5


def run_dot() -> np.ndarray[Any, Any]:
    mask = np.zeros((40, 64), bool)
    mask[39, 63] = True
    return mask


def test_equal_sets_give_equal_bytes(example: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export(example.source, "webdataset", tmp_path / name, **example.arguments)
    one, two = (
        {
            file.relative_to(tmp_path / name): file.read_bytes()
            for file in (tmp_path / name).rglob("*")
            if file.is_file()
        }
        for name in ("one", "two")
    )
    assert one == two


@pytest.mark.parametrize("to", ["webdataset", "hf"])
def test_memory_does_not_grow_with_the_set(make_run: Any, tmp_path: Path, to: Any) -> None:
    """Memory in use when the last image is written: as much for 120 images as for 40."""
    memory: list[int] = []

    def weigh(done: float, total: int) -> None:
        if done == total - 1:
            gc.collect()
            # pathlib interns names, and the interpreter's table of them grows in leaps.
            snapshot = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, pathlib.__file__)])
            memory.append(sum(trace.size for trace in snapshot.traces))

    sizes = []
    for count in (10, 40, 120):  # the first loads modules
        source = make_run(tmp_path / f"run{count}", count)
        tracemalloc.start()
        sizes.append(export(source, to, tmp_path / f"out{count}", shard_size=20, on_progress=weigh).size)
        tracemalloc.stop()
    # Images held would be the whole of the growth; interned names and caches are up to a tenth.
    assert memory[2] - memory[1] < 0.3 * (sizes[2] - sizes[1])
