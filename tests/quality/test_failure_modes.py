from typing import Any

import pytest

from mosaicfusion.quality.failure_modes import count_failures, detect_failure_modes
from mosaicfusion.run.records import CanvasRecord, RegionRecord
from mosaicfusion.run.semantics import RegionSemantics


def region(area: float = 0.3, score: float = 0.6, box: Any = (20, 20, 50, 50), **changes: Any) -> RegionRecord:
    """In a region of 100 x 100 pixels."""
    common = {"category_id": 1, "category": "kite", "prompt": "a kite", "region_xywh": (0, 0, 100, 100)}
    return RegionRecord(**{**common, "area": round(area * 10_000), "score": score, "box_xywh": box, **changes})


def seen(rank: int, probability: float = 0.01) -> RegionSemantics:
    return RegionSemantics(0, 0, "kite", "mini", 0.2, probability, rank, "drum")


@pytest.mark.parametrize(
    ("region_record", "modes"),
    [
        (region(), set()),
        (region(area=0.8), set()),  # a large object with clear attention
        (region(area=0.8, score=0.3), {"entangled"}),
        (region(score=0.3, box=(0, 0, 60, 60)), {"entangled"}),  # reaches two sides
        (region(score=0.3, box=(0, 20, 60, 60)), {"abstract"}),
        (region(score=0.3), {"abstract"}),
        (region(area=0.06), {"small"}),
        (region(area=0, score=0, box=None, reason="too_small", values={"largest_area": 0.02}), {"small"}),
        (region(area=0, score=0, box=None, reason="empty_mask"), {"small"}),
        (region(area=0, score=0, box=None, reason="too_large", values={"largest_area": 0.97}), {"entangled"}),
        (region(area=0, score=0, box=None, reason="several_components"), {"entangled"}),
        (region(area=0, score=0, box=None, reason="nan_latents"), set()),
    ],
)
def test_failure_modes_of_a_region(region_record: RegionRecord, modes: set[str]) -> None:
    assert set(detect_failure_modes(region_record)) == modes


def test_semantics_detect_abstract_categories() -> None:
    assert set(detect_failure_modes(region(), seen(rank=5))) == set()
    assert detect_failure_modes(region(), seen(rank=6)) == {"abstract": pytest.approx(0.99)}
    assert set(detect_failure_modes(region(area=0.06), seen(rank=9))) == {"small", "abstract"}


def canvas(index: int, *regions: RegionRecord) -> CanvasRecord:
    return CanvasRecord(index, (100, 100), 0, None, regions)


def test_flags_need_enough_regions_and_a_third_of_them() -> None:
    good, bad = region(), region(area=0.06)
    drum = {"category": "drum", "category_id": 2}
    records = [canvas(0, good, good, good, bad, bad), canvas(1, region(area=0.06, **drum), region(area=0.06, **drum))]
    kite, drums = count_failures(records)
    assert (kite.category, kite.regions, kite.counts["small"], kite.flags) == ("kite", 5, 2, ["small"])
    assert (drums.category, drums.share("small"), drums.flags) == ("drum", 1.0, [])
    (below,) = count_failures([canvas(0, *[good] * 5, bad, bad)])
    assert below.flags == []


def test_the_worst_example_of_each_mode_is_kept() -> None:
    records = (canvas(i, region(area=0.09 - 0.001 * (i == 7)), region(score=0.4 - 0.01 * (i == 3))) for i in range(20))
    (kite,) = count_failures(records, {(5, 0): seen(rank=1)})
    assert (kite.worst["small"].record.index, kite.worst["small"].region) == (7, 0)
    assert (kite.worst["abstract"].record.index, kite.worst["abstract"].region) == (3, 1)
