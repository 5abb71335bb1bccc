"""Runs from start to end on the bundled model with tiny settings: repeat, extend, interrupt, resume."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.folders import modification_times
from support.tiny_models import ChangedModel, with_nan_latents
from support.tiny_runs import changed_engine, content, nothing_is_sampled, watched_engine

from mosaicfusion.categories import Selection
from mosaicfusion.config import OutputSettings, RunConfig
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.build_dataset import Summary
from mosaicfusion.generation.engine import Engine, LocalEngine
from mosaicfusion.generation.events import Event, Observer, OnEvent, Progress, on_progress
from mosaicfusion.generation.generate import generate_with
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.masks import rle
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord

NAMES = ["banana", "teapot"]


def tiny_config(**overrides: Any) -> RunConfig:
    """1x2 canvases of 64 x 128 px in two steps, two canvases a part."""
    return make_config(
        "mini",
        {
            "layout": {"grids": ("1x2",), "region_hw_px": (64, 64), "overlap_xy_px": (16, 16), "group_size": 2},
            "sampling": {"steps": 2},
            "masks": {"min_area": 0, "max_area": 1},
            **overrides,
        },
    )


def make(
    out: Path,
    canvases_per_category: int = 3,
    config: RunConfig | None = None,
    *,
    categories: Any = NAMES,
    batch_size: int = 2,
    threads: int | None = None,
    device: str = "auto",
    on_event: OnEvent | None = None,
    engine: Engine | None = None,
) -> Summary:
    options = DeviceOptions(device, batch_size, threads)
    return generate_with(
        engine or LocalEngine(options),
        categories,
        out,
        canvases_per_category,
        config or tiny_config(),
        OutputSettings(policy="not_exhaustive"),
        options,
        observer=Observer(on_event),
    )


def records(run: Path) -> list[CanvasRecord]:
    return list(RunFolder.open(run).records())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six canvases in three parts, drawn in one go."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    make(run)
    return run


class TestFolder:
    def test_what_it_holds(self, undisturbed: Path) -> None:
        assert sorted(path.relative_to(undisturbed).as_posix() for path in undisturbed.rglob("*.*")) == [
            *(f"images/000/{index:012d}.jpg" for index in range(6)),
            "lvis.json",
            *(f"parts/part-{start:08d}.jsonl" for start in (0, 2, 4)),
            "report.html",
            "run.json",
            "run.lock",
        ]

    def test_images_and_masks_fit(self, undisturbed: Path) -> None:
        for record in records(undisturbed):
            assert record.file_name is not None
            with Image.open(undisturbed / record.file_name) as image:
                assert image.size == (128, 64)
            for region in record.regions:
                if not region.kept:
                    continue
                mask = rle.decode(region.segmentation or {})
                left, top, width, height = region.region_xywh
                inside = mask[top : top + height, left : left + width]
                assert inside.sum() == mask.sum() == region.area > 0

    def test_lvis_json_agrees_with_the_parts(self, undisturbed: Path) -> None:
        data = json.loads((undisturbed / "lvis.json").read_text())
        kept = [region for record in records(undisturbed) for region in record.regions if region.kept]
        assert len(data["annotations"]) == len(kept) > 0
        assert {category["name"] for category in data["categories"]} == set(NAMES)

    def test_every_canvas_shows_its_lead(self, undisturbed: Path) -> None:
        for record in records(undisturbed):
            assert NAMES[record.index % 2] in [region.category for region in record.regions]

    def test_run_json_makes_the_run_again(self, undisturbed: Path, tmp_path: Path) -> None:
        from mosaicfusion.generation.presets import load_config

        make(tmp_path / "again", config=load_config(undisturbed / "run.json"))
        assert content(tmp_path / "again") == content(undisturbed)

    def test_summary(self, undisturbed: Path) -> None:
        summary = make(undisturbed)
        assert (summary.canvases, summary.regions) == (6, 12)
        assert summary.kept_regions + sum(summary.rejections.values()) == 12
        assert sum(asked for asked, _ in summary.per_category.values()) == 12
        assert summary.instances == summary.kept_regions


class TestSameData:
    def test_another_seed_is_other_data(self, undisturbed: Path, tmp_path: Path) -> None:
        make(tmp_path / "run", 1, tiny_config(seed=1))
        assert records(tmp_path / "run")[0].noise_seed != records(undisturbed)[0].noise_seed

    def test_batch_size_changes_only_rounding(self, undisturbed: Path, tmp_path: Path) -> None:
        make(tmp_path / "run", batch_size=1)
        for one, two in zip(records(tmp_path / "run"), records(undisturbed), strict=True):
            assert (one.index, one.hw_px, one.noise_seed, one.file_name) == (
                two.index,
                two.hw_px,
                two.noise_seed,
                two.file_name,
            )
            for a, b in zip(one.regions, two.regions, strict=True):
                assert (a.category, a.prompt, a.region_xywh, a.reason) == (
                    b.category,
                    b.prompt,
                    b.region_xywh,
                    b.reason,
                )
                if a.kept:
                    assert iou(a.segmentation, b.segmentation) >= 0.95

    def test_finished_run_is_not_generated_again(self, undisturbed: Path) -> None:
        before = content(undisturbed)
        make(undisturbed, engine=watched_engine(nothing_is_sampled))
        assert content(undisturbed) == before


class TestExtend:
    def test_draws_only_what_is_new(self, undisturbed: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        make(run, 1)
        old = modification_times(run, "*.jpg") | modification_times(run, "part-*")
        make(run, 3)
        new = modification_times(run)
        assert {name: new[name] for name in old} == old
        assert content(run) == content(undisturbed)

    def test_within_a_group(self, tmp_path: Path) -> None:
        make(tmp_path / "run", 1, categories=["banana"])
        first = records(tmp_path / "run")
        make(tmp_path / "run", 3, categories=["banana"])
        assert sorted(modification_times(tmp_path / "run", "part-*")) == [
            f"parts/part-{start:08d}.jsonl" for start in (0, 1, 2)
        ]
        assert records(tmp_path / "run")[:1] == first
        make(tmp_path / "whole", 3, categories=["banana"])
        for one, two in zip(records(tmp_path / "run"), records(tmp_path / "whole"), strict=True):
            assert [(r.category, r.prompt, r.region_xywh) for r in one.regions] == [
                (r.category, r.prompt, r.region_xywh) for r in two.regions
            ]

    def test_fewer_or_other_is_refused_and_changes_nothing(self, undisturbed: Path) -> None:
        before = content(undisturbed)
        for said, options in {
            "can grow but not shrink to 2": {"canvases_per_category": 2},
            "config.seed: 0 -> 1": {"config": tiny_config(seed=1)},
            "config.sampling.steps: 2 -> 3": {"config": tiny_config(sampling={"steps": 3})},
            "categories.main": {"categories": ["banana"]},
        }.items():
            with pytest.raises(MosaicFusionError, match=said):
                make(undisturbed, **options)
        assert content(undisturbed) == before


class TestInterrupted:
    @pytest.mark.parametrize("start", [0, 2, 4])
    def test_a_lost_part_is_drawn_again_alone(self, undisturbed: Path, tmp_path: Path, start: int) -> None:
        run = tmp_path / "run"
        make(run)
        lost = f"parts/part-{start:08d}.jsonl"
        (run / lost).unlink()
        others = modification_times(run, "part-*")
        make(run)
        assert {name: time for name, time in modification_times(run, "part-*").items() if name != lost} == others
        assert content(run) == content(undisturbed)

    @pytest.mark.parametrize("writes", [1, 3, 6, 9, 10, 11])
    def test_full_disk(self, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
        """Whichever write fails, the run stops in words, leaves no half file, and goes on when there is room."""
        run = tmp_path / "run"
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full_after(writes))
            with pytest.raises(MosaicFusionError, match="No space left on device") as caught:
                make(run)
        assert "of 6 canvases are missing; run the same command again to continue" in str(caught.value)
        assert not list(run.rglob("*.tmp"))
        make(run)
        assert content(run) == content(undisturbed)

    @pytest.mark.parametrize("moment", [0.0, 2.5, 5.0])
    def test_ctrl_c(self, undisturbed: Path, tmp_path: Path, moment: float) -> None:
        def interrupt(event: Event) -> None:
            if isinstance(event, Progress) and event.done >= moment:
                raise KeyboardInterrupt

        run = tmp_path / "run"
        with pytest.raises(KeyboardInterrupt):
            make(run, on_event=interrupt)
        assert not list(run.rglob("*.tmp"))
        whole = content(undisturbed)
        assert all(data == whole[name] for name, data in content(run).items())
        make(run)
        assert content(run) == whole

    def test_progress_counts_what_was_there(self, undisturbed: Path, tmp_path: Path) -> None:
        seen: list[float] = []
        make(tmp_path / "run", 1)
        make(tmp_path / "run", 3, on_event=on_progress(lambda done, total: seen.append(done / total)))
        assert seen == sorted(seen)
        assert (seen[0], seen[-1]) == (pytest.approx(2 / 6), 1)

    def test_failure_beside_the_sampler_is_not_lost(self, tmp_path: Path) -> None:
        def fail(*_: Any) -> CanvasRecord:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            make(tmp_path / "run", engine=LocalEngine(DeviceOptions(), record=fail))


class TestNotFinite:
    def test_nan_latents_reject_that_canvas_only(self, tmp_path: Path) -> None:
        summary = make(tmp_path / "run", 2, engine=changed_engine(lambda model: with_nan_latents(model, call=2)))
        assert [record.file_name is None for record in records(tmp_path / "run")] == [False, True, False, False]
        assert [region.reason for region in records(tmp_path / "run")[1].regions] == ["nan_latents"] * 2
        assert summary.rejections["nan_latents"] == 2
        data = json.loads((tmp_path / "run" / "lvis.json").read_text())
        assert 2 not in [image["id"] for image in data["images"]]

    def test_nothing_but_nan_is_still_a_run(self, tmp_path: Path) -> None:
        def predict_nan(model: DiffusionModel) -> ChangedModel:
            return ChangedModel(model, predict=lambda *arguments: model.predict(*arguments) * np.nan)

        summary = make(tmp_path / "run", 1, engine=changed_engine(predict_nan))
        assert summary.rejections == {"nan_latents": 4}
        assert (tmp_path / "run" / "report.html").exists()
        assert not list((tmp_path / "run").rglob("*.jpg"))


class TestRefused:
    """Nothing is left behind, not even the folder."""

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"categories": []}, "the list of categories holds no category"),
            ({"categories": "banana"}, "categories is the text 'banana'; give a list"),
            ({"categories": ["banana", "banana"]}, "holds the name 'banana' 2 times"),
            ({"categories": ["flying carpet"]}, "does not know 'flying carpet'"),
            ({"canvases_per_category": 0}, "must be at least 1"),
            ({"batch_size": 0}, "batch_size=0 must be at least 1"),
            ({"threads": -1}, "threads=-1 must be at least 1"),
            ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
            ({"device": "banana"}, "device 'banana' cannot be used"),
            ({"config": tiny_config(layout={"region_hw_px": (60, 64)})}, "must be multiples of 8"),
            ({"config": tiny_config(layout={"region_hw_px": (32, 32), "overlap_xy_px": (0, 0)})}, "the model needs 64"),
            ({"config": tiny_config(sampling={"scheduler": "magic"})}, "scheduler 'magic'"),
            ({"config": tiny_config(prompt={"template": "a {name} " + "very " * 60})}, "text encoder takes 32"),
            ({"config": tiny_config(model="no/such/folder")}, "say what|no model folder"),
        ],
    )
    def test_in_words(self, tmp_path: Path, options: dict[str, Any], said: str) -> None:
        with pytest.raises(MosaicFusionError, match=said):
            make(tmp_path / "run", **options)
        assert not (tmp_path / "run").exists()

    def test_no_attention_to_read(self, tmp_path: Path) -> None:
        with pytest.raises(MosaicFusionError, match=r"no cross-attention at attention\.strides_px"):
            make(tmp_path / "run", config=tiny_config(attention={"strides_px": (999,)}))
        assert not (tmp_path / "run").exists()

    def test_too_little_memory(self, tmp_path: Path) -> None:
        def exhaust(_: list[int]) -> None:
            raise torch.OutOfMemoryError

        with pytest.raises(
            MosaicFusionError, match="3 batches in a row could not be generated: the device has too little memory"
        ):
            make(tmp_path / "run", engine=watched_engine(exhaust))

    def test_folder_of_someone_else(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("precious")
        with pytest.raises(MosaicFusionError, match="holds files but no run"):
            make(tmp_path)
        assert content(tmp_path) == {"thesis.tex": b"precious"}


def test_main_and_partners(tmp_path: Path) -> None:
    known = vocabulary_for("mini", ["banana", "teapot", "kite"])
    selection = Selection(known.select(["kite"]), known.select(["banana", "teapot"]))
    make(tmp_path / "run", 4, categories=selection)
    for record in records(tmp_path / "run"):
        lead, partner = sorted((region.category for region in record.regions), key="kite".__ne__)
        assert lead == "kite"
        assert partner in ("banana", "teapot")
    data = json.loads((tmp_path / "run" / "lvis.json").read_text())
    assert {category["name"] for category in data["categories"]} == {"banana", "teapot", "kite"}


def iou(one: dict[str, Any] | None, two: dict[str, Any] | None) -> float:
    a, b = rle.decode(one or {}), rle.decode(two or {})
    return float((a & b).sum() / (a | b).sum())


def full_after(writes: int) -> Callable[[int], None]:
    """An ``os.fsync`` on a disk that is full after so many files."""
    fsync, count = os.fsync, 0

    def sync(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count > 2 * writes:  # a file and its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    return sync
