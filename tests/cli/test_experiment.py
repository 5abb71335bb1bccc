"""`experiment minilvis` on the command line: its plan, resuming, errors, and a short real run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support.command_line import call
from support.folders import modification_times
from support.minilvis_part import write_part


def run_experiment(*arguments: Any, columns: int = 160) -> Result:
    return call("experiment", "minilvis", *arguments, columns=columns)


def times(folder: Path) -> dict[str, int]:
    return {name: time for name, time in modification_times(folder).items() if not name.endswith(".lock")}


def test_list_only_shows_the_plan(tmp_path: Path) -> None:
    real = write_part(tmp_path / "real")
    result = run_experiment(
        "--list", "--data", real, "--out", tmp_path / "exp", "--detectors", "mask_rcnn, fvlm", "--seeds", 2, columns=80
    )
    assert result.exit_code == 0, result.output
    assert "36 runs" in result.stdout
    assert "mask_rcnn-copy-paste-synthetic-seed0" in result.stdout  # in full, also in a narrow terminal
    assert "fvlm-synthetic-seed1" in result.stdout
    assert re.search(r"mask_rcnn-baseline-seed0 .* 1200 ", result.stdout)
    assert re.search(r"mask_rcnn-longer-seed0 .* 1800 ", result.stdout)
    assert "centernet2" not in result.stdout
    assert not (tmp_path / "exp").exists()


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    real, exp = write_part(tmp_path / "real"), tmp_path / "exp"
    arguments = ("--data", real, "--out", exp, "--only", "mask_rcnn-baseline-seed0", "--scale", 0.002, "--workers", 0)
    first = run_experiment(*arguments)
    assert first.exit_code == 0, first.output
    assert "mask_rcnn-baseline-seed0: mask AP" in first.stdout
    assert "1 of 1 run done" in first.stdout
    result = json.loads((exp / "runs/mask_rcnn-baseline-seed0/result.json").read_text())
    assert {"AP", "AP_r", "AP_c", "AP_f"} <= result["metrics"]["mask"].keys() & result["metrics"]["box"].keys()
    assert result["styles"]
    assert all({"AP", "AP_r"} <= style.keys() for style in result["styles"].values())
    assert result["recipe"]["schedule"]["iterations"] == result["cost"]["steps"] == 2
    assert result["data"]["synthetic_instances"] == 0 < result["data"]["real_r"]

    before = times(exp)
    second = run_experiment(*arguments)
    assert second.exit_code == 0, second.output
    assert "runs done" not in second.stdout
    assert "real alone" in second.stdout
    assert times(exp) == before

    other = run_experiment(*arguments[:-4], "--scale", 0.004, "--workers", 0)
    assert other.exit_code == 2
    assert "is of another recipe, scale, model or data set; give another --out" in other.stderr
    (exp / "runs/mask_rcnn-baseline-seed0/result.json").write_text("{")
    broken = run_experiment(*arguments)
    assert broken.exit_code == 2
    assert "is not the result of a run" in broken.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--detectors", "mask_rcnn,yolo"), "unknown detector 'yolo'"),
        (("--only", "copypaste"), "nearest: copy-paste"),
        (("--scale", "2"), "--scale 2 must be above 0 and at most 1"),
        (("--data", "absent"), "absent has no train.json and no val.json and no images"),
    ],
)
def test_errors_come_before_any_work(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_experiment("--out", tmp_path / "exp", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "exp").exists()


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules['torchvision'] = None; from mosaicfusion.cli import app; app(sys.argv[1:])"
    arguments = ["experiment", "minilvis", "--list", "--data", tmp_path, "--out", tmp_path / "exp"]
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert 'pip install "mosaicfusion[train]"' in result.stderr


@pytest.mark.slow
def test_quick_experiment_runs_to_the_end(tmp_path: Path) -> None:
    """Generate, merge, train and evaluate, with fewer categories, images and steps."""
    real, exp = write_part(tmp_path / "real", each=3, images=(24, 12)), tmp_path / "exp"
    result = run_experiment("--quick", "--scale", 0.05, "--data", real, "--out", exp, "--workers", 0)
    assert result.exit_code == 0, result.output
    assert "2 of 2 runs done" in result.stdout
    for words in ("real alone", "real + synthetic", "gain", "AP_r", "a shortened experiment"):
        assert words in result.stdout
    result_json = json.loads((exp / "runs/mask_rcnn-synthetic-seed0/result.json").read_text())
    assert result_json["data"]["synthetic_r"] >= 3  # one canvas for each rare category, if none is rejected
    assert result_json["data"]["real_instances"] > 0
    assert len(list((exp / "synthetic/four/images").rglob("*.jpg"))) == 3
