"""Failures noted in the run folder; foreign content there is ignored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.manifests import KITE, make_manifest

from mosaicfusion.run.failures import MESSAGES, Failure, forget_failures, note_failures, read_failures
from mosaicfusion.run.folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of 16 planned canvases."""
    return RunFolder(tmp_path, make_manifest(16, [KITE]))


def test_failures_are_noted_and_forgotten_by_canvas(run: RunFolder) -> None:
    note_failures(run, [9, 8], range(8, 12), "out_of_memory")
    note_failures(run, [9], range(8, 12), "nan")
    assert list(read_failures(run)) == [
        Failure(8, (8, 9, 10, 11), "out_of_memory", MESSAGES["out_of_memory"]),
        Failure(9, (8, 9, 10, 11), "nan", MESSAGES["nan"]),
    ]
    forget_failures(run, [8, 10])
    assert [failure.canvas for failure in read_failures(run)] == [9]


def test_a_run_without_failures(run: RunFolder) -> None:
    assert list(read_failures(run)) == []
    forget_failures(run, [0])
    note_failures(run, [], [0, 1], "nan")
    assert not (run.path / "failures").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps({"canvas": 1, "batch": [0, 2], "reason": "nan", "message": ""}),
        json.dumps({"canvas": 1, "batch": [1, 16], "reason": "nan", "message": ""}),
        json.dumps({"canvas": 1, "batch": [-1, 1], "reason": "nan", "message": ""}),
        json.dumps({"canvas": 1, "batch": [0, 1], "reason": "gone\x1b[2J", "message": ""}),
        json.dumps({"canvas": 1, "batch": [[0], 1], "reason": "nan", "message": ""}),
    ],
)
def test_invalid_lines_are_ignored(run: RunFolder, text: str) -> None:
    (run.path / "failures").mkdir()
    (run.path / "failures" / "000000000001.json").write_text(text)
    assert list(read_failures(run)) == []
