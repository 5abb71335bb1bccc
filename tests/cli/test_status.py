"""The commands status and retry, on an unfinished run, and `generate --shard`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.command_line import call
from support.tiny_runs import generate_tiny

from mosaicfusion.config import OutputSettings
from mosaicfusion.generation.build_dataset import build_dataset
from mosaicfusion.run.failures import note_failures
from mosaicfusion.run.folder import RunFolder


@pytest.fixture(scope="module")
def half(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the first of two shards, and a failed canvas of the second."""
    path = tmp_path_factory.mktemp("progress") / "run"
    generate_tiny(path, tiny_sd, shard="1/2")
    note_failures(RunFolder.open(path), [5], [4, 5], "out_of_memory")
    return path


class TestStatus:
    def test_status_prints_a_table(self, half: Path) -> None:
        output = call("status", half).stdout
        for text in ("4 of 8 (50%)", "a minute", "time left", "of 8 regions", "out_of_memory 1", "not yet written"):
            assert text in output
        assert f"`mosaicfusion retry {half}`" in output

    def test_status_prints_json(self, half: Path) -> None:
        found = json.loads(call("status", half, "--json").stdout)
        assert (found["done"], found["total"], found["failures"]) == (4, 8, {"out_of_memory": 1})

    def test_a_folder_without_a_run_is_refused(self, tmp_path: Path) -> None:
        result = call("status", tmp_path)
        assert (result.exit_code, "holds no run" in result.stderr) == (2, True)


class TestRetry:
    def test_nothing_failed(self, tiny_sd: Path, tmp_path: Path) -> None:
        generate_tiny(tmp_path / "run", tiny_sd)
        build_dataset(RunFolder.open(tmp_path / "run"), OutputSettings(min_quality=0.01))
        assert f"nothing to retry: no canvas of {tmp_path / 'run'} failed" in call("retry", tmp_path / "run").stdout
        assert "before --min-quality 0.01" in call("status", tmp_path / "run").stdout

    def test_failed_canvases_are_generated_and_missing_ones_counted(self, half: Path) -> None:
        result = call("retry", half)
        assert result.exit_code == 0, result.output
        assert "missing: 2 canvases; the process that generates the last one compiles" in result.stdout
        assert json.loads(call("status", half, "--json").stdout)["failures"] == {}

    def test_settings_of_the_device_are_used(self, half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        compiled: list[Any] = []
        monkeypatch.setattr("mosaicfusion.diffusion.compilation.compile_parts", compiled.append)
        run = RunFolder.open(half)
        note_failures(run, [run.total - 1], [run.total - 1], "worker_lost")
        result = call("retry", half, "--compile", "--offload", "--vae-tiling")
        assert result.exit_code == 0, result.output
        assert [backend.vae.use_tiling for backend in compiled] == [True]


def test_deleted_images_are_reported(tiny_sd: Path, tmp_path: Path) -> None:
    generate_tiny(tmp_path / "run", tiny_sd)
    assert "images were deleted" not in call("status", tmp_path / "run").stdout
    next((tmp_path / "run" / "images").rglob("*.jpg")).unlink()
    for command in ("status", "report"):
        assert "images were deleted: the command that generated this run" in call(command, tmp_path / "run").stdout
    assert json.loads(call("status", tmp_path / "run", "--json").stdout)["lost"] > 0


@pytest.mark.parametrize("shard", ["5/4", "0/4", "a/b", "", "3"])
def test_a_wrong_shard_is_refused(tmp_path: Path, shard: str) -> None:
    result = call("generate", "-c", "banana,teapot", "--shard", shard, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert result.stderr.lstrip().startswith("error: shard")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["status", "retry"])
def test_help_has_examples(command: str) -> None:
    assert f"mosaicfusion {command}" in call(command, "--help").stdout
