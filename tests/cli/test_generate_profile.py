"""`generate --profile`: a table on the screen, a trace in a file, and the same data as without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import Result
from support.command_line import call


def generate(out: Path, *arguments: Any) -> Result:
    tiny = ["--grid", "1x1", "--steps", "2", "--set", "layout.region_hw_px=[64,64]", "-n", "1", "-c", "banana"]
    return call("generate", *tiny, "--out", out, *arguments)


def test_profile_shows_and_traces_the_stages(tmp_path: Path) -> None:
    result = generate(tmp_path / "timed", "--profile", tmp_path / "trace.json")
    assert result.exit_code == 0, result.output
    stages = {event["name"] for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]}
    assert {"load the model", "U-Net", "read attention", "decode", "masks", "write part", "compile"} <= stages
    assert all(stage in result.output for stage in stages)
    assert generate(tmp_path / "plain").exit_code == 0
    assert (tmp_path / "timed" / "lvis.json").read_bytes() == (tmp_path / "plain" / "lvis.json").read_bytes()


def test_workers_are_refused(tmp_path: Path) -> None:
    result = generate(tmp_path / "run", "--profile", tmp_path / "trace.json", "--workers", "2")
    assert result.exit_code == 2
    assert "leave --workers out" in result.output
    assert not (tmp_path / "run").exists()
