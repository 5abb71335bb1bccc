"""Several processes on one folder, batches that cannot be generated, events and cancelling."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from support.manifests import make_manifest
from support.other_process import claimed_by_another_process
from support.tiny_models import with_nan_latents
from support.tiny_runs import (
    CANVASES,
    NAMES,
    changed_engine,
    content,
    generate_tiny,
    nothing_is_sampled,
    small_config,
    watched_engine,
)

from mosaicfusion.config import OutputSettings
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.generation.engine import LocalEngine, generate_batches
from mosaicfusion.generation.events import CancelledError, CanvasDone, CanvasFailed, Event, Progress, progress_handler
from mosaicfusion.generation.generate import generate, retry, retry_with
from mosaicfusion.generation.queue import BatchQueue
from mosaicfusion.generation.recording import record_canvas
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.run.failures import read_failures
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.manifest import Manifest
from mosaicfusion.run.records import CanvasRecord, RegionRecord


@pytest.fixture(scope="module")
def undisturbed(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    generate_tiny(out, tiny_sd)
    return content(out)


class TestShards:
    @pytest.mark.parametrize("order", [("1/3", "2/3", "3/3"), ("2/2", "1/2")])
    def test_same_bytes_as_one_process(
        self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, order: Sequence[str]
    ) -> None:
        """Two layout groups: the third of three shards has nothing to generate."""
        for k, shard in enumerate(order):
            summary = generate_tiny(tmp_path, tiny_sd, shard=shard)
            if k == 0:
                assert (summary.canvases, summary.missing) == (CANVASES // 2, CANVASES // 2)
                assert not (tmp_path / "lvis.json").exists()
        assert summary.missing == 0
        assert content(tmp_path) == undisturbed

    def test_progress_counts_the_canvases_of_the_shard(self, tiny_sd: Path, tmp_path: Path) -> None:
        seen: list[tuple[float, int]] = []
        generate_tiny(
            tmp_path, tiny_sd, shard="2/2", on_event=progress_handler(lambda *position: seen.append(position))
        )
        assert (seen[0], seen[-1]) == ((0, 4), (4, 4))
        assert sorted(seen) == seen

    def test_shards_may_have_other_batch_sizes(self, tiny_sd: Path, tmp_path: Path) -> None:
        generate_tiny(tmp_path, tiny_sd, shard="1/2", batch_size=4)
        generate_tiny(tmp_path, tiny_sd, batch_size=3)
        assert [record.index for record in RunFolder.open(tmp_path).records()] == list(range(CANVASES))

    def test_other_settings_are_refused(self, tiny_sd: Path, tmp_path: Path) -> None:
        generate_tiny(tmp_path, tiny_sd, shard="1/2")
        before = content(tmp_path)
        with pytest.raises(MosaicFusionError, match="holds another run"):
            generate_tiny(tmp_path, tiny_sd, shard="2/2", config=small_config(tiny_sd, seed=1))
        assert content(tmp_path) == before

    def test_batch_that_another_process_has_claimed_is_left_to_it(
        self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path
    ) -> None:
        with ExitStack() as stack:

            def claim_second_batch(indices: list[int]) -> None:
                if indices == [0, 1]:
                    stack.enter_context(claimed_by_another_process(tmp_path, [2, 3]))

            summary = generate_tiny(tmp_path, tiny_sd, engine=watched_engine(claim_second_batch))
        assert summary.missing == 2
        assert "parts/part-00000002.jsonl" not in content(tmp_path)
        generate_tiny(tmp_path, tiny_sd)
        assert content(tmp_path) == undisturbed

    def test_canvases_that_another_process_wrote_meanwhile_are_not_sampled_again(
        self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path
    ) -> None:
        """While the first batch is sampled, another process writes the second one and half of the third."""
        sampled: list[int] = []

        def write_parts_of_another(indices: list[int]) -> None:
            sampled.extend(indices)
            if indices == [0, 1]:
                for name, lines in {"part-00000002.jsonl": 2, "part-00000004.jsonl": 1}.items():
                    part = undisturbed[f"parts/{name}"].splitlines(keepends=True)[:lines]
                    write_atomic(tmp_path / "parts" / name, b"".join(part))

        assert generate_tiny(tmp_path, tiny_sd, engine=watched_engine(write_parts_of_another)).missing == 0
        assert sampled == [0, 1, 5, 6, 7]


class TestOutOfMemory:
    def test_batch_is_halved(self, tiny_sd: Path, tmp_path: Path) -> None:
        sizes: list[int] = []

        def limit(indices: list[int]) -> None:
            sizes.append(len(indices))
            if len(indices) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")

        summary = generate_tiny(tmp_path, tiny_sd, batch_size=4, engine=watched_engine(limit))
        assert sizes == [4, 2, 1, 1, 2, 1, 1] * 2
        assert (summary.canvases, summary.missing) == (CANVASES, 0)
        assert not (tmp_path / "failures").exists()

    @pytest.mark.parametrize(
        "error", [torch.OutOfMemoryError(), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
    )
    def test_canvases_that_never_fit_are_noted_and_can_be_retried(
        self,
        tiny_sd: Path,
        undisturbed: dict[str, bytes],
        tmp_path: Path,
        error: BaseException,
    ) -> None:
        def limit(indices: list[int]) -> None:
            if 3 in indices:
                raise error

        with pytest.raises(MosaicFusionError) as caught:
            generate_tiny(tmp_path, tiny_sd, engine=watched_engine(limit))
        assert "1 canvas could not be generated; the other 7 are in" in str(caught.value)
        assert "too little memory, even for one canvas alone" in str(caught.value)
        assert f"`mosaicfusion retry {tmp_path}`" in str(caught.value)
        images = json.loads((tmp_path / "lvis.json").read_text())["images"]
        assert 4 not in [image["id"] for image in images]
        (failure,) = read_failures(RunFolder.open(tmp_path))
        assert (failure.canvas, failure.batch, failure.reason) == (3, (2, 3), "out_of_memory")

        sampled: list[int] = []
        left_over = tmp_path / "parts" / ".part-00000002.jsonl.x1.tmp"  # of a worker that died
        left_over.write_text("half")
        assert retry_with(watched_engine(sampled.extend), RunFolder.open(tmp_path)).missing == 0
        assert not left_over.exists()
        assert sampled == [2, 3]  # in the batch of the undisturbed run: to the same bytes
        assert content(tmp_path) == undisturbed

    def test_run_stops_after_three_batches_that_do_not_fit(self, tiny_sd: Path, tmp_path: Path) -> None:
        def exhaust(indices: list[int]) -> None:
            tried.append(indices)
            raise torch.OutOfMemoryError

        tried: list[list[int]] = []
        with pytest.raises(MosaicFusionError, match="3 batches in a row could not be generated"):
            generate_tiny(tmp_path, tiny_sd, engine=watched_engine(exhaust))
        assert max(index for indices in tried for index in indices) == 5  # the fourth batch was not tried

    def test_other_errors_are_raised(self, tiny_sd: Path, tmp_path: Path) -> None:
        def fail(_: list[int]) -> None:
            raise RuntimeError("a bug")

        with pytest.raises(RuntimeError, match="a bug"):
            generate_tiny(tmp_path, tiny_sd, engine=watched_engine(fail))


class TestNaN:
    def test_canvas_is_retried_with_its_batch(
        self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path
    ) -> None:
        engine = changed_engine(lambda model: with_nan_latents(model, call=4))
        assert generate_tiny(tmp_path, tiny_sd, engine=engine).rejections["nan_latents"] == 2
        (failure,) = read_failures(RunFolder.open(tmp_path))
        assert (failure.canvas, failure.batch, failure.reason) == (3, (2, 3), "nan")
        assert "nan_latents" not in retry(tmp_path).rejections
        assert content(tmp_path) == undisturbed


def test_sampling_waits_for_the_masks(tiny_sd: Path, tmp_path: Path) -> None:
    """Sampled canvases are in memory until their masks are made, so their number is bounded."""
    sampled, made, peak = 0, 0, 0

    def count(indices: list[int]) -> None:
        nonlocal sampled, peak
        peak = max(peak, sampled - made)
        sampled += 1

    def slow(*arguments: Any) -> Any:
        nonlocal made
        time.sleep(0.1)
        record = record_canvas(*arguments)
        made += 1
        return record

    class BoundedEngine(LocalEngine):
        def run(self, queue: BatchQueue) -> None:
            generate_batches(self._sampler, queue, record=slow, threads=1, max_pending=1)

    engine = BoundedEngine(DeviceOptions(), watched_engine(count).load_sampler)
    generate_tiny(tmp_path, tiny_sd, batch_size=1, engine=engine)
    assert (sampled, made) == (CANVASES, CANVASES)
    assert peak == 1


class TestEvents:
    def test_one_event_per_canvas(self, tiny_sd: Path, tmp_path: Path) -> None:
        events: list[Event] = []
        generate_tiny(tmp_path, tiny_sd, on_event=events.append)
        done = [event for event in events if isinstance(event, CanvasDone)]
        assert sorted(event.index for event in done) == list(range(CANVASES))
        for event, record in zip(
            sorted(done, key=lambda one: one.index), RunFolder.open(tmp_path).records(), strict=True
        ):
            assert event.kept == sum(region.kept for region in record.regions)
            assert list(event.rejected) == [region.reason for region in record.regions if not region.kept]
        last = [event for event in events if isinstance(event, Progress)][-1]
        assert 0 <= (last.seconds_left or 0) < 600

    def test_failed_canvases_give_events(self, tiny_sd: Path, tmp_path: Path) -> None:
        events: list[Event] = []
        with pytest.raises(MosaicFusionError):
            generate_tiny(
                tmp_path, tiny_sd, on_event=events.append, engine=watched_engine(lambda indices: fail_on(indices, 3))
            )
        assert [event.index for event in events if isinstance(event, CanvasFailed)] == [3]

    @pytest.mark.parametrize("after", [1, 4])
    def test_cancelled_run_is_continued(
        self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, after: int
    ) -> None:
        cancel, count = threading.Event(), 0

        def stop_later(_: Event) -> None:
            nonlocal count
            count += 1
            if count == after:
                cancel.set()

        options = {"canvases_per_category": 4, "config": small_config(tiny_sd), "device": DeviceOptions(batch_size=2)}
        settings = OutputSettings(policy="not_exhaustive")
        with pytest.raises(
            CancelledError, match=r"cancelled; .*\n[68] of 8 canvases are missing; run the same command again"
        ):
            generate(NAMES, tmp_path, output=settings, on_event=stop_later, cancel=cancel, **options)
        assert not list(tmp_path.rglob("*.tmp"))
        whole = content(tmp_path)
        assert all(data == undisturbed[name] for name, data in whole.items())
        assert len(whole) < len(undisturbed)
        generate(NAMES, tmp_path, output=settings, **options)
        assert content(tmp_path) == undisturbed


def test_retry_with_nothing_failed_generates_nothing(tiny_sd: Path, tmp_path: Path) -> None:
    generate_tiny(tmp_path, tiny_sd, shard="1/2")
    before = content(tmp_path)
    assert retry_with(watched_engine(nothing_is_sampled), RunFolder.open(tmp_path)).missing == 4
    assert content(tmp_path) == before


def test_retry_refuses_another_model(tiny_sd: Path, tiny_sd2: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(MosaicFusionError):
        generate_tiny(run, tiny_sd, engine=watched_engine(lambda indices: fail_on(indices, 0)))
    values = json.loads((run / "run.json").read_text())
    values["config"]["model"] = str(tiny_sd2)
    (run / "run.json").write_text(json.dumps(values))
    with pytest.raises(MosaicFusionError, match="has changed: digest"):
        retry(run)


def fail_on(indices: list[int], index: int) -> None:
    if index in indices:
        raise torch.OutOfMemoryError


class TestLostImages:
    def test_the_batch_is_sampled_again_to_the_same_bytes(
        self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path
    ) -> None:
        generate_tiny(tmp_path, tiny_sd)
        (tmp_path / "images/000/000000000003.jpg").unlink()
        assert RunFolder.open(tmp_path).without_image() == [[2, 3]]
        sampled: list[int] = []
        generate_tiny(tmp_path, tiny_sd, engine=watched_engine(sampled.extend))
        assert sampled == [2, 3]
        assert content(tmp_path) == undisturbed

    def test_a_canvas_that_never_had_an_image_is_not_lost(self, tmp_path: Path) -> None:
        run = RunFolder.open_or_create(tmp_path, make_manifest())
        region = RegionRecord(1, "kite", "", (0, 0, 8, 8), reason="nan_latents")
        run.write_part([CanvasRecord(0, (8, 8), 7, None, (region,))])
        assert run.without_image() == []


class TestNothingToDo:
    def test_no_model_is_loaded(self, tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
        class NoEngine(LocalEngine):
            def load(self, manifest: Manifest, out: Path) -> None:
                raise AssertionError("the model was loaded")

        assert generate_tiny(tmp_path, tiny_sd).generated == CANVASES
        summary = generate_tiny(tmp_path, tiny_sd, engine=NoEngine(DeviceOptions()))
        assert (summary.canvases, summary.generated) == (CANVASES, 0)
        assert content(tmp_path) == undisturbed

    def test_another_policy_is_compiled(self, tiny_sd: Path, tmp_path: Path) -> None:
        generate_tiny(tmp_path, tiny_sd)
        generate_tiny(tmp_path, tiny_sd, output=OutputSettings(masks="polygon"))
        data = json.loads((tmp_path / "lvis.json").read_text())
        assert all(isinstance(annotation["segmentation"], list) for annotation in data["annotations"])
