"""The progress of a run, read from its folder alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support.manifests import DRUM, KITE, make_manifest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.failures import note_failures
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord
from mosaicfusion.run.status import read_status

MASK = {"size": [64, 128], "counts": "R22n1000ng7"}
KEPT = RegionRecord(1, "kite", "a kite", (0, 0, 64, 64), score=0.5, area=6, box_xywh=(1, 2, 3, 2), segmentation=MASK)
REJECTED = RegionRecord(2, "drum", "a drum", (64, 0, 64, 64), reason="several_components")


def make_run(path: Path, parts: dict[int, float], canvases: int = 2) -> RunFolder:
    """A run of 20 planned canvases. ``parts``: age in seconds by first index; each canvas has a kept and a rejected region."""
    run = RunFolder.open_or_create(path, make_manifest(20, [KITE], [DRUM]))
    now = time.time()
    for first, age_s in parts.items():
        run.write_part([CanvasRecord(first + k, (64, 128), 0, None, (KEPT, REJECTED)) for k in range(canvases)])
        os.utime(path / "parts" / f"part-{first:08d}.jsonl", (now - age_s, now - age_s))
    return run


def test_rate_and_time_left(tmp_path: Path) -> None:
    make_run(tmp_path, {0: 90, 2: 60, 4: 30, 6: 0})
    found = read_status(tmp_path)
    assert (found.done, found.total, found.requested, found.kept) == (8, 20, 16, 8)
    assert found.rate == pytest.approx(4)  # 6 canvases in 90 s: the beginning of the first part is not known
    assert found.left_s == pytest.approx(12 * 15)
    assert found.idle_s == pytest.approx(0, abs=60)
    assert (found.compiled, found.failures) == (False, {})


def test_canvases_before_a_pause_do_not_count(tmp_path: Path) -> None:
    make_run(tmp_path, {0: 90_000, 2: 89_000, 4: 60, 6: 30, 8: 0})
    assert read_status(tmp_path).rate == pytest.approx(4)


@pytest.mark.parametrize("parts", [{}, {0: 5}, {0: 8000, 2: 7000}])
def test_too_few_parts_give_no_rate(tmp_path: Path, parts: dict[int, float]) -> None:
    make_run(tmp_path, parts)
    found = read_status(tmp_path)
    assert (found.rate, found.left_s) == (None, None)
    assert (found.idle_s is None) == (not parts)


def test_overlapping_parts_count_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, {0: 9}, canvases=4)
    make_run(tmp_path, {2: 0}, canvases=2)
    assert read_status(tmp_path).done == run.done().sum() == len(list(run.records())) == 4


def test_failures_are_counted_by_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path, {0: 0})
    note_failures(run, [4, 5], [4, 5], "worker_lost")
    note_failures(run, [1], [0, 1], "nan")
    assert read_status(tmp_path).failures == {"worker_lost": 2, "nan": 1}


def test_a_damaged_part_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path, {0: 0})
    (tmp_path / "parts" / "part-00000000.jsonl").write_text('{"index":0,"regions":3}\n')
    with pytest.raises(MosaicFusionError, match=r"part-00000000\.jsonl is damaged"):
        read_status(tmp_path)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match="holds no run"):
        read_status(tmp_path)
