"""Training sets: selection of canvases, merging, and reuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from support.folders import modification_times
from support.hand_made_runs import disc, make_run, region
from support.minilvis_part import write_part

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.experiment.counts import count_instances
from mosaicfusion.experiment.data import TrainingData, take_instances
from mosaicfusion.experiment.plan import BASELINE, Run, make_plan
from mosaicfusion.progress import OnProgress


@contextmanager
def no_bar(doing: str, unit: str) -> Iterator[OnProgress]:
    yield lambda done, total: None


def run_named(name: str) -> Run:
    return next(run for run in make_plan() if run.name == name)


def test_instances_are_taken_canvas_by_canvas(tmp_path: Path) -> None:
    one, two = [region(0, disc(0)), region(1, None)], [region(0, disc(0)), region(1, disc(1))]
    records = list(make_run(tmp_path / "run", [two, two, one, two, one]).records())
    indices = {target: [record.index for record in take_instances(records, target)] for target in (0, 2, 3, 4, 5, 8, 9)}
    assert indices == {0: [], 2: [0], 3: [0, 2], 4: [0, 1], 5: [0, 1, 2], 8: [0, 1, 2, 3, 4], 9: [0, 1, 2, 3, 4]}


def test_the_baseline_is_the_real_set(tmp_path: Path) -> None:
    real = write_part(tmp_path / "real")
    data = TrainingData(real, tmp_path / "exp", 1, "cpu")
    path = data.make(Run("mask_rcnn", BASELINE, 0), no_bar)
    assert json.loads(path.read_text()) == json.loads((real / "train.json").read_text())
    assert all((data.root / image["file_name"]).is_file() for image in json.loads(path.read_text())["images"])
    assert data.make(Run("mask_rcnn", BASELINE, 1), no_bar) == path  # the same for every seed


def test_novel_categories_have_no_real_instance(tmp_path: Path) -> None:
    data = TrainingData(write_part(tmp_path / "real"), tmp_path / "exp", 1, "cpu")
    counts = {name: count_instances(data.make(Run(name, BASELINE, 0), no_bar)) for name in ("mask_rcnn", "fvlm")}
    assert counts["mask_rcnn"]["real_r"] > counts["fvlm"]["real_r"] == 0
    assert counts["mask_rcnn"]["real_f"] == counts["fvlm"]["real_f"] > 0
    assert counts["mask_rcnn"]["real_images"] == counts["fvlm"]["real_images"]


def test_an_experiment_stays_with_its_data(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_part(tmp_path / name)
    run = Run("mask_rcnn", BASELINE, 0)
    TrainingData(tmp_path / "one", tmp_path / "exp", 1, "cpu").make(run, no_bar)
    train = tmp_path / "other/train.json"
    train.write_text(train.read_text() + "\n")
    with pytest.raises(MosaicFusionError, match=r"holds an experiment on .*one; give another --out"):
        TrainingData(tmp_path / "other", tmp_path / "exp", 1, "cpu").make(run, no_bar)


def test_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(
        MosaicFusionError, match=r"has no val\.json and no images; give the folder of MiniLVIS with --data"
    ):
        TrainingData(tmp_path, tmp_path / "exp", 1, "cpu")


def test_a_set_waits_only_for_its_own_sources(tmp_path: Path) -> None:
    data = TrainingData(write_part(tmp_path / "real"), tmp_path / "exp", 1, "cpu")
    (tmp_path / "exp/synthetic").mkdir(parents=True)
    with (
        FileLock(tmp_path / "exp/synthetic/one-rare.lock"),
        ThreadPoolExecutor(1) as thread,
    ):  # another process generates it
        assert thread.submit(data.make, Run("mask_rcnn", BASELINE, 0), no_bar).result(timeout=60).is_file()


@pytest.mark.slow
def test_synthetic_sets_follow_the_plan(tmp_path: Path) -> None:
    real = write_part(tmp_path / "real")
    data = TrainingData(real, tmp_path / "exp", 0.1, "cpu")  # one canvas for each of 2 rare categories
    names = ("synthetic", "one-region", "two-regions", "synthetic-alone", "not-exhaustive", "canvases-5")
    counts = {name: count_instances(data.make(run_named(f"mask_rcnn-{name}-seed0"), no_bar)) for name in names}
    assert counts["synthetic"]["synthetic_instances"] % 4 == 0  # a canvas with a rejected region is dropped
    for name in ("one-region", "two-regions", "synthetic-alone"):
        assert counts[name]["synthetic_instances"] == counts["synthetic"]["synthetic_instances"]
    assert counts["one-region"]["synthetic_images"] == counts["synthetic"]["synthetic_instances"]
    assert counts["synthetic-alone"]["real_images"] == 0 < counts["synthetic"]["real_images"]
    assert counts["not-exhaustive"]["synthetic_instances"] >= counts["synthetic"]["synthetic_instances"]
    written = modification_times(tmp_path / "exp", "*.jsonl")
    data.make(run_named("mask_rcnn-copy-paste-synthetic-seed0"), no_bar)
    assert modification_times(tmp_path / "exp", "*.jsonl") == written
