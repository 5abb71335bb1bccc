"""An export that was killed after its folder had appeared, and is started again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest
from support.folders import modification_times

from mosaicfusion.dataset.export import export
from mosaicfusion.errors import MosaicFusionError


@pytest.mark.parametrize("to", ["coco", "yolo", "hf"])
def test_the_same_export_again_is_done(example: Any, tmp_path: Path, to: str) -> None:
    done = export(example.source, to, tmp_path / "out", **example.arguments)
    before = modification_times(tmp_path / "out")
    assert export(example.source, to, tmp_path / "out", **example.arguments) == done
    assert modification_times(tmp_path / "out") == before


def test_also_at_a_url(run: Any) -> None:
    fs = fsspec.filesystem("memory")
    try:
        done = export(run.source, "coco", "memory://sets/again")
        assert export(run.source, "coco", "memory://sets/again") == done
    finally:
        fs.rm("/sets", recursive=True)


def test_another_export_or_set_is_refused(coco: Any, tmp_path: Path) -> None:
    export(coco.source, "coco", tmp_path / "out", **coco.arguments)
    with pytest.raises(MosaicFusionError, match="exists already"):
        export(coco.source, "coco", tmp_path / "out", masks="polygon", **coco.arguments)
    coco.source.write_bytes(coco.source.read_bytes() + b" ")
    with pytest.raises(MosaicFusionError, match="exists already"):
        export(coco.source, "coco", tmp_path / "out", **coco.arguments)


def test_a_folder_that_has_changed_since_is_refused(coco: Any, tmp_path: Path) -> None:
    export(coco.source, "coco", tmp_path / "out", **coco.arguments)
    (tmp_path / "out" / "coco.json").unlink()
    with pytest.raises(MosaicFusionError, match="exists already"):
        export(coco.source, "coco", tmp_path / "out", **coco.arguments)
