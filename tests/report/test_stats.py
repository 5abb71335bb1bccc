from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from mosaicfusion.config import Policy
from mosaicfusion.report.stats import BINS, EvenSample, RunStats
from mosaicfusion.run.records import CanvasRecord, RegionRecord

Make = Callable[..., CanvasRecord]
MakeRegion = Callable[..., RegionRecord]


def stats_of(records: list[CanvasRecord] | Iterator[CanvasRecord], policy: Policy = "drop", shown: int = 4) -> RunStats:
    return RunStats(policy).read(records, shown)


def sample(count: int, capacity: int) -> list[int]:
    even: EvenSample[int] = EvenSample(capacity)
    for i in range(count):
        even.offer(i)
    return even.items()


@pytest.mark.parametrize("count", [0, 1, 47, 48])
def test_a_short_stream_is_kept_whole(count: int) -> None:
    assert sample(count, 48) == list(range(count))


@pytest.mark.parametrize("count", [49, 96, 97, 1000, 12345])
def test_a_long_stream_gives_a_full_sample_in_order_and_spread_evenly(count: int) -> None:
    kept = sample(count, 48)
    assert len(kept) == 48
    assert kept == sorted(set(kept))
    gaps = [after - before for before, after in zip([0, *kept], [*kept, count], strict=True)]
    assert max(gaps) <= 4 * count / 48


def test_the_sample_shows_every_main_category() -> None:
    # Canvas i leads with category i % n; a fixed stride over 1024 canvases would show 1 of 8.
    assert {i % 8 for i in sample(1024, 48)} == set(range(8))


def test_the_sample_is_deterministic_and_may_be_empty() -> None:
    assert sample(777, 10) == sample(777, 10)
    assert sample(777, 0) == []
    with pytest.raises(ValueError, match="capacity=-1"):
        EvenSample(-1)


def test_regions_are_counted_by_outcome(record: Make, region: MakeRegion) -> None:
    whole = record(0)
    partly = record(1, [region(0), region(1, "umbrella", "too_small", 2)])
    stats = stats_of([whole, partly])
    assert (stats.canvases, stats.used, stats.requested, stats.kept, stats.instances) == (2, 1, 4, 3, 2)
    assert stats.reasons == {"too_small": 1}
    umbrella = stats.categories[2]
    assert (umbrella.requested, umbrella.kept, umbrella.used, umbrella.yield_) == (2, 1, 1, 0.5)
    assert umbrella.area_sum == pytest.approx(0.25)
    assert stats.areas[BINS // 4] == 3
    assert stats.scores[BINS // 2] == 3
    assert stats.centres.sum() == 3
    assert stats.qualities.sum() == 0, "masks of old versions have none"
    assert stats_of([whole, partly], "not_exhaustive").instances == 3


def test_qualities_are_counted_where_there_are_some(record: Make, region: MakeRegion) -> None:
    stats = stats_of([record(0, [replace(region(0), quality=0.9), region(1)])])
    assert stats.qualities[int(0.9 * BINS)] == stats.qualities.sum() == 1
    teapot = stats.categories[1]
    assert (teapot.kept, teapot.with_quality, teapot.quality_sum) == (2, 1, 0.9)


def test_memory_does_not_grow_with_the_run(record: Make) -> None:
    one = record(0)
    stats = stats_of((one for _ in range(20_000)), shown=5)
    assert stats.canvases == 20_000
    assert len(stats.sample) == 5
    assert len(stats.categories) == 2
