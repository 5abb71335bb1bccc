"""Means and spreads over seeds, of hand-made results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.experiment.result import Result, read_result, write_result
from mosaicfusion.experiment.table import Estimate, gain, make_rows, rows_of


def result(detector: str, variant: str, seed: int, ap: float | None, **more: Any) -> Result:
    values: dict[str, Any] = {
        "run": f"{detector}-{variant}-seed{seed}", "detector": detector, "variant": variant, "title": variant, "seed": seed,
        "identity": "0" * 16, "metrics": {"mask": {"AP": ap, "AP_r": None}, "box": {"AP": ap, "AP_r": None}},
        "styles": {"noto": {"AP": ap}}, "per_category": {"kite": ap}, "data": {"real_images": 3}, "cost": {"train_s": 1.5},
        "recipe": {}, "scale": {"iterations": 1.0, "canvases": 1.0}, "date": "2026-11-22", "versions": {"torch": "2"},
    }  # fmt: skip
    return Result(**{**values, **more})


def test_mean_and_sample_standard_deviation() -> None:
    (row,) = make_rows([result("fvlm", "synthetic", seed, ap) for seed, ap in ((2, 0.16), (0, 0.1), (1, 0.13))])
    assert row.seeds == (0, 1, 2)
    found = row.metrics["mask"]["AP"]
    assert found is not None
    assert (found.mean, found.spread) == pytest.approx((0.13, 0.03))
    assert found.by_seed == {0: 0.1, 1: 0.13, 2: 0.16}
    assert found.percent() == "13.0 ± 3.0"
    assert row.metrics["box"]["AP_r"] is None  # nothing to measure
    assert row.styles["noto"]["AP"] == row.per_category["kite"] == found


def test_one_seed_has_no_spread() -> None:
    assert Estimate({0: 0.123}).spread is None
    assert Estimate({0: 0.123}).percent() == "12.3"
    assert Estimate({0: 0.123}).percent("+") == "+12.3"
    assert Estimate({0: -0.01, 1: -0.03}).percent("+") == "-2.0 ± 1.4"


def test_a_gain_uses_the_seeds_of_both_variants() -> None:
    values = {
        ("baseline", 0): 0.1,
        ("baseline", 1): 0.2,
        ("baseline", 2): 0.3,
        ("synthetic", 1): 0.21,
        ("synthetic", 2): 0.35,
    }
    rows = make_rows(result("fvlm", variant, seed, ap) for (variant, seed), ap in values.items())
    before, after = rows_of(rows, "fvlm")
    found = gain(before.per_category["kite"], after.per_category["kite"])
    assert found is not None and found.by_seed == pytest.approx({1: 0.01, 2: 0.05})
    assert gain(before.metrics["mask"]["AP_r"], after.metrics["mask"]["AP"]) is None  # nothing to measure
    assert rows_of(rows, "mask_rcnn") == []


def test_rows_come_in_the_order_of_the_plan() -> None:
    names = [
        ("fvlm", "synthetic"),
        ("mask_rcnn", "unrefined"),
        ("mask_rcnn", "baseline"),
        ("new", "x"),
        ("mask_rcnn", "synthetic"),
    ]
    rows = make_rows(result(detector, variant, 0, 0.1) for detector, variant in names)
    assert [(row.detector, row.variant) for row in rows] == [
        ("mask_rcnn", "baseline"), ("mask_rcnn", "synthetic"), ("mask_rcnn", "unrefined"), ("fvlm", "synthetic"), ("new", "x"),
    ]  # fmt: skip


def test_a_result_is_read_back_unchanged(tmp_path: Path) -> None:
    written = result("fvlm", "synthetic", 1, 0.25)
    write_result(tmp_path / "result.json", written)
    assert read_result(tmp_path / "result.json") == written


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": "a"}', '{"run": 3}', "\xff"])
def test_a_damaged_result_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(MosaicFusionError, match=r"result\.json is not the result of a run .*delete it"):
        read_result(path)
