"""The page of results agrees with the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.experiment_report.figure import FIGURE, plot
from benchmarks.experiment_report.page import PAGE, render
from benchmarks.experiment_report.results import RESULTS, ROOT, About, collect, read_all
from benchmarks.experiment_report.tables import NAMES
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.experiment.plan import GROUPS, RECIPES
from mosaicfusion.experiment.result import Result, write_result
from mosaicfusion.experiment.table import Row, make_rows, rows_of


def result(detector: str, variant: str, seed: int, ap: float, ap_r: float) -> Result:
    metrics: dict[str, float | None] = {"AP": ap, "AP_r": ap_r, "AP_c": ap, "AP_f": ap}
    parts = [f"{part}_{what}" for part in ("real", "synthetic") for what in ("images", "instances", "r", "c", "f")]
    values: dict[str, Any] = {
        "run": f"{detector}-{variant}-seed{seed}", "detector": detector, "variant": variant, "title": variant, "seed": seed,
        "identity": "0" * 16, "metrics": {"mask": metrics, "box": metrics}, "styles": {"noto": metrics},
        "per_category": {}, "data": dict.fromkeys(parts, 1234), "recipe": {}, "date": "2026-11-22",
        "cost": {"train_s": 300, "train_cpu_s": 280, "evaluate_cpu_s": 20, "data_share": 0.051},
        "scale": {"iterations": 1.0, "canvases": 1.0}, "versions": {"torch": "2"},
    }  # fmt: skip
    return Result(**values)


def test_the_page_gives_means_spreads_and_gains(tmp_path: Path) -> None:
    results = [result("mask_rcnn", "baseline", seed, 0.1, 0.01 * seed) for seed in range(3)]
    results += [result("mask_rcnn", "synthetic", seed, 0.15, 0.02 * seed) for seed in range(3)]
    page = render([*results, result("mask_rcnn", "unrefined", 0, 0.12, 0.03)], About("the command", "a machine"))
    assert "| Mask R-CNN | real alone | 3 | 10.0 ± 0.0 | 1.0 ± 1.0 | 10.0 ± 0.0 | 10.0 ± 0.0 |" in page
    assert "|  | gain |  | +5.0 ± 0.0 | +1.0 ± 1.0 | +5.0 ± 0.0 | +5.0 ± 0.0 |" in page
    assert (
        "| masks not refined | 1 | 12.0 | 3.0 | 12.0 | 12.0 | -3.0 | +3.0 |" in page
    )  # against seed 0, whose AP_r is 0
    assert "| real alone | 3 | 10.0 ± 0.0 | 1.0 ± 1.0 | 10.0 ± 0.0 | 10.0 ± 0.0 | -5.0 ± 0.0 | -1.0 ± 1.0 |" in page
    assert "| Mask R-CNN | `noto` | 10.0 ± 0.0 | 15.0 ± 0.0 | 1.0 ± 1.0 | 2.0 ± 2.0 | +1.0 ± 1.0 |" in page
    assert "`the command`, 2026-11-22, a machine" in page
    assert "A run took 5 minutes of CPU time" in page
    assert "44 of the 51 runs are still to be done: `centernet2-baseline-seed0`, " in page
    assert "5.1%" in page
    plot(make_rows(results), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000


def test_a_gain_uses_the_seeds_of_both_variants() -> None:
    results = [result("mask_rcnn", "baseline", seed, 0.1 * seed, 0.1) for seed in range(3)]
    page = render([*results, result("mask_rcnn", "synthetic", 2, 0.25, 0.1)], About("c", "m"))
    assert "|  | gain |  | +5.0 | +0.0 | +5.0 | +5.0 |" in page


def test_gains_by_number_of_real_images() -> None:
    train = json.loads((ROOT / "datasets/minilvis/train.json").read_text(encoding="utf-8"))
    first, second, *_ = (one["name"] for one in train["categories"] if one["image_count"] == 2)
    results = [
        msgspec.structs.replace(
            result("mask_rcnn", variant, seed, 0.1, 0.1), per_category={first: 0.1 + gained, second: 0.1, "kite": 0.9}
        )
        for seed, gained in enumerate((0.04, 0.08))
        for variant, gained in (("baseline", 0), ("synthetic", gained))
    ]
    page = render(results, About("c", "m"))
    assert "| 1 to 3 | 14 | +3.0 ± 1.4 |" in page  # of the two that were measured
    assert "| 4 to 6 | 18 | - |" in page
    assert "By number of real images" not in render(results[::2], About("c", "m"))


def test_a_single_detector_needs_no_pair() -> None:
    page = render([result("fvlm", "baseline", 0, 0.1, 0.01)], About("c", "m"))
    assert "| F-VLM | real alone | 1 | 10.0 | 1.0 | 10.0 | 10.0 |" in page
    assert "gain |  |" not in page


def test_collected_and_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    with pytest.raises(MosaicFusionError, match=r"has no runs/\*/result.json"):
        collect(tmp_path / "exp", "c", folder)
    for seed in (0, 1):
        write_result(tmp_path / f"exp/runs/run{seed}/result.json", result("fvlm", "synthetic", seed, 0.1, 0.1))
    assert collect(tmp_path / "exp", "the command", folder) == 2
    results, about = read_all(folder)
    assert [one.seed for one in results] == [0, 1]
    assert about.command == "the command"


def test_the_page_agrees_with_the_results() -> None:
    """No page exists without results."""
    if not list(RESULTS.glob("*.json")):
        assert not PAGE.exists()
    else:
        assert PAGE.read_text(encoding="utf-8") == render(*read_all())
        assert FIGURE.exists()


def test_the_readme_agrees_with_the_results() -> None:
    rows, readme = make_rows(read_all()[0]), (ROOT / "README.md").read_text(encoding="utf-8")
    for detector in RECIPES:
        assert f"{from_to(rows_of(rows, detector))} ({NAMES[detector]})" in readme
    longer = from_to(rows_of(rows, "mask_rcnn", GROUPS[1]))
    assert f"{longer} in a training half as long again" in readme


def from_to(pair: list[Row]) -> str:
    """Mask AP of rare categories without and with synthetic data, as in the README."""
    before, after = (row.metrics["mask"]["AP_r"] for row in pair)
    assert before is not None and after is not None
    return f"from {100 * before.mean:.1f} to {100 * after.mean:.1f}"
