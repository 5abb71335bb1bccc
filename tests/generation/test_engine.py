"""What several processes do to one folder, and what happens to batches that cannot be drawn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import CANVASES, content, draw, small_config

import mosaicfusion.diffusion.sampler as denoise
import mosaicfusion.generation.engine as drawing
from mosaicfusion.diffusion.families.stable_diffusion import StableDiffusion
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.generation.generate import retry
from mosaicfusion.generation.recording import record_canvas
from mosaicfusion.run.claims import Claims
from mosaicfusion.run.failures import read_failures
from mosaicfusion.run.folder import RunFolder


@pytest.fixture(scope="module")
def undisturbed(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("drawing") / "run"
    draw(out, tiny_sd)
    return content(out)


class TestShards:
    @pytest.mark.parametrize("order", [("1/3", "2/3", "3/3"), ("2/2", "1/2")])
    def test_same_bytes_as_one_process(
        self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, order: Sequence[str]
    ) -> None:
        """Two layout groups: the third of three shards has nothing to draw."""
        for k, shard in enumerate(order):
            summary = draw(tmp_path, tiny_sd, shard=shard)
            if k == 0:
                assert (summary.canvases, summary.missing) == (CANVASES // 2, CANVASES // 2)
                assert not (tmp_path / "lvis.json").exists()
        assert summary.missing == 0
        assert content(tmp_path) == undisturbed

    def test_progress_is_that_of_the_share(self, tiny_sd: Path, tmp_path: Path) -> None:
        seen: list[tuple[float, int]] = []
        draw(tmp_path, tiny_sd, shard="2/2", on_progress=lambda *position: seen.append(position))
        assert (seen[0], seen[-1]) == ((0, 4), (4, 4))
        assert sorted(seen) == seen

    def test_batch_sizes_may_differ(self, tiny_sd: Path, tmp_path: Path) -> None:
        draw(tmp_path, tiny_sd, shard="1/2", batch_size=4)
        draw(tmp_path, tiny_sd, batch_size=3)
        assert [record.index for record in RunFolder.open(tmp_path).records()] == list(range(CANVASES))

    def test_other_settings_are_refused(self, tiny_sd: Path, tmp_path: Path) -> None:
        draw(tmp_path, tiny_sd, shard="1/2")
        before = content(tmp_path)
        with pytest.raises(MosaicFusionError, match="holds another run"):
            draw(tmp_path, tiny_sd, shard="2/2", config=small_config(tiny_sd, seed=1))
        assert content(tmp_path) == before

    def test_what_another_draws_is_left_to_it(
        self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        take = Claims.take
        monkeypatch.setattr(Claims, "take", lambda self, batch: batch[0] != 2 and take(self, batch))
        summary = draw(tmp_path, tiny_sd)
        assert summary.missing == 2
        assert "parts/part-00000002.jsonl" not in content(tmp_path)
        monkeypatch.undo()
        draw(tmp_path, tiny_sd)
        assert content(tmp_path) == undisturbed

    def test_what_another_drew_meanwhile_is_not_drawn_again(
        self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The claim of the second batch comes when another process has just drawn it, and half of the third."""
        drawn: list[int] = []
        watch_batches(monkeypatch, lambda indices: drawn.extend(indices))
        take = Claims.take

        def take_late(self: Claims, batch: Sequence[int]) -> bool:
            if batch[0] == 2:
                for name, lines in {"part-00000002.jsonl": 2, "part-00000004.jsonl": 1}.items():
                    part = undisturbed[f"parts/{name}"].splitlines(keepends=True)[:lines]
                    write_atomic(tmp_path / "parts" / name, b"".join(part))
            return take(self, batch)

        monkeypatch.setattr(Claims, "take", take_late)
        assert draw(tmp_path, tiny_sd).missing == 0
        assert drawn == [0, 1, 5, 6, 7]


class TestOutOfMemory:
    def test_batch_is_drawn_in_halves(self, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []

        def limit(indices: list[int]) -> None:
            sizes.append(len(indices))
            if len(indices) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")

        watch_batches(monkeypatch, limit)
        summary = draw(tmp_path, tiny_sd, batch_size=4)
        assert sizes == [4, 2, 1, 1, 2, 1, 1] * 2
        assert (summary.canvases, summary.missing) == (CANVASES, 0)
        assert not (tmp_path / "failures").exists()

    @pytest.mark.parametrize(
        "error", [torch.OutOfMemoryError(), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
    )
    def test_what_never_fits_is_noted_and_can_be_retried(
        self,
        tiny_sd: Path,
        undisturbed: dict[str, bytes],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        error: BaseException,
    ) -> None:
        def limit(indices: list[int]) -> None:
            if 3 in indices:
                raise error

        with monkeypatch.context() as patch:
            watch_batches(patch, limit)
            with pytest.raises(MosaicFusionError) as caught:
                draw(tmp_path, tiny_sd)
        assert "1 canvases could not be drawn; the other 7 are in" in str(caught.value)
        assert "too little memory, even for one canvas alone" in str(caught.value)
        assert f"`mosaicfusion retry {tmp_path} --failed`" in str(caught.value)
        images = json.loads((tmp_path / "lvis.json").read_text())["images"]
        assert 4 not in [image["id"] for image in images]
        (failure,) = read_failures(RunFolder.open(tmp_path))
        assert (failure.canvas, failure.batch, failure.reason) == (3, (2, 3), "out_of_memory")

        drawn: list[int] = []
        watch_batches(monkeypatch, lambda indices: drawn.extend(indices))
        left_over = tmp_path / "parts" / ".part-00000002.jsonl.x1.tmp"  # of a worker that died
        left_over.write_text("half")
        assert retry(tmp_path).missing == 0
        assert not left_over.exists()
        assert drawn == [2, 3]  # in the company of the undisturbed run: to the same bytes
        assert content(tmp_path) == undisturbed

    def test_nothing_fits(self, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def exhaust(indices: list[int]) -> None:
            tried.append(indices)
            raise torch.OutOfMemoryError

        tried: list[list[int]] = []
        watch_batches(monkeypatch, exhaust)
        with pytest.raises(MosaicFusionError, match="3 batches in a row could not be drawn"):
            draw(tmp_path, tiny_sd)
        assert max(index for indices in tried for index in indices) == 5  # the fourth batch was not tried

    def test_other_errors_are_not_taken_for_it(
        self, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: list[int]) -> None:
            raise RuntimeError("a bug")

        watch_batches(monkeypatch, fail)
        with pytest.raises(RuntimeError, match="a bug"):
            draw(tmp_path, tiny_sd)


class TestNaN:
    def test_is_drawn_again_with_its_batch(
        self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decode, calls = StableDiffusion.decode, []

        def decode_fourth_as_nan(self: StableDiffusion, latents: torch.Tensor) -> Any:
            calls.append(latents)
            return decode(self, latents * np.nan if len(calls) == 4 else latents)

        with monkeypatch.context() as patch:
            patch.setattr(StableDiffusion, "decode", decode_fourth_as_nan)
            assert draw(tmp_path, tiny_sd).rejections["nan_latents"] == 2
        (failure,) = read_failures(RunFolder.open(tmp_path))
        assert (failure.canvas, failure.batch, failure.reason) == (3, (2, 3), "nan")
        assert "nan_latents" not in retry(tmp_path).rejections
        assert content(tmp_path) == undisturbed


def test_the_sampler_waits_for_the_masks(tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sampled is in memory until its masks are made."""
    sampled, made, most = 0, 0, 0

    def count(indices: list[int]) -> None:
        nonlocal sampled, most
        most = max(most, sampled - made)
        sampled += 1

    def slow(*arguments: Any) -> Any:
        nonlocal made
        time.sleep(0.1)
        record = record_canvas(*arguments)
        made += 1
        return record

    watch_batches(monkeypatch, count)
    monkeypatch.setattr(drawing, "record_canvas", slow)
    monkeypatch.setattr(drawing.os, "cpu_count", lambda: 2)  # one thread for the masks
    monkeypatch.setattr(drawing, "_MAX_PENDING", 1)
    draw(tmp_path, tiny_sd, batch_size=1)
    assert (sampled, made) == (CANVASES, CANVASES)
    assert most == 1


def test_retry_with_nothing_failed_draws_nothing(
    tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path, tiny_sd, shard="1/2")
    before = content(tmp_path)
    monkeypatch.setattr(denoise, "sample_canvases", None)
    assert retry(tmp_path).missing == 4
    assert content(tmp_path) == before


def test_retry_refuses_another_model(
    tiny_sd: Path, tiny_sd2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        watch_batches(patch, lambda indices: fail_on(indices, 0))
        with pytest.raises(MosaicFusionError):
            draw(run, tiny_sd)
    header = json.loads((run / "run.json").read_text())
    header["config"]["model"] = str(tiny_sd2)
    (run / "run.json").write_text(json.dumps(header))
    with pytest.raises(MosaicFusionError, match="has changed: digest"):
        retry(run)


def fail_on(indices: list[int], index: int) -> None:
    if index in indices:
        raise torch.OutOfMemoryError


def watch_batches(monkeypatch: pytest.MonkeyPatch, watch: Callable[[list[int]], object]) -> None:
    """Call ``watch`` with the indices of every batch that is about to be sampled; what it raises is raised there."""
    sample = denoise.sample_canvases

    def watched(backend: Any, specs: Any, config: Any, **options: Any) -> Any:
        watch([spec.index for spec in specs])
        return sample(backend, specs, config, **options)

    monkeypatch.setattr(denoise, "sample_canvases", watched)
