"""``--quiet``, ``--verbose`` and ``--log``, which hold for every command."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.command_line import call

TINY = [
    *("--categories", "banana", "--grid", "1x1", "--steps", "1", "--canvases-per-category", "1"),
    *("--set", "layout.region_hw_px=[64,64]", "--set", "masks.min_area=0", "--set", "masks.max_area=1"),
]
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) (.*)")


def said(log: Path) -> list[tuple[str, str]]:
    """Level and text of each line of a log."""
    found = [LINE.fullmatch(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [(line[1], line[2]) for line in found if line]


@pytest.fixture
def notable(tmp_path: Path) -> Path:
    """A json of which something is read as something else, so that ``stats`` has a note."""
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [0, 0, 2, 2],
        "area": 4,
        "iscrowd": 0,
        "score": float("nan"),
    }
    data: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 4, "width": 4}],
        "annotations": [{**annotation, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}],
        "categories": [{"id": 1, "name": "kite"}],
    }
    path = tmp_path / "notable.json"
    path.write_text(json.dumps(data))
    return path


class TestQuiet:
    def test_says_nothing_beside_the_results(self, tmp_path: Path) -> None:
        result = call("--quiet", "generate", *TINY, "--out", tmp_path / "run")
        assert result.exit_code == 0 and result.stderr == ""
        assert "1 canvas," in result.stdout and "report:" in result.stdout

    def test_hides_notes_but_not_the_answer(self, notable: Path) -> None:
        plain, quiet = call("stats", notable), call("stats", notable, "--quiet")
        assert "note: " in plain.stderr and "note: " not in plain.stdout
        assert quiet.stdout == plain.stdout and quiet.stderr == ""

    def test_shows_errors(self) -> None:
        result = call("--quiet", "stats", "missing.json")
        assert result.exit_code == 2 and result.stderr.startswith("error: ")

    def test_contradicts_verbose(self) -> None:
        result = call("--quiet", "settings", "--verbose")
        assert result.exit_code == 2 and result.stderr == "error: give --quiet or --verbose, not both\n"


class TestVerbose:
    def test_says_what_takes_time(self, tmp_path: Path) -> None:
        result = call("generate", *TINY, "--out", tmp_path / "run", "--verbose")
        for words in (r"load the model: \d+\.\d\d s", r"canvases 0 to 0: \d+\.\d\d s each", r"compile: "):
            assert re.search(rf"^\d\d:\d\d:\d\d {words}", result.stderr, re.MULTILINE), words

    def test_an_unforeseen_error_is_a_line_and_with_verbose_a_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(path: Path) -> None:
            raise KeyError("area")

        monkeypatch.setattr("mosaicfusion.dataset.stats.read_stats", fail)
        from typer.testing import CliRunner

        from mosaicfusion.cli import app

        plain, verbose = (CliRunner().invoke(app, ["stats", "a.json", *more]) for more in ((), ("--verbose",)))
        assert plain.exit_code == verbose.exit_code == 1
        assert re.fullmatch(r"error: unforeseen KeyError: 'area' \(test_speech.py, line \d+\); .*\n", plain.stderr)
        assert "Traceback (most recent call last)" in verbose.stderr


class TestLog:
    def test_holds_the_command_progress_and_the_exit_status(self, tmp_path: Path) -> None:
        log = tmp_path / "new" / "folder" / "job.log"
        command = ["--log", str(log), "generate", *TINY, "--out", "run"]
        done = subprocess.run([sys.executable, "-m", "mosaicfusion", *command], cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stderr
        lines = said(log)
        assert re.match(r"mosaicfusion \d\S*: \S+ --log \S+job.log generate --categories banana", lines[0][1])
        assert any(text.startswith("generating: 1/1 canvas, ") for _, text in lines)
        assert lines[-2][1] == "report: run/report.html"
        assert re.fullmatch(r"exit status 0 after \d+\.\d s", lines[-1][1])
        assert "\x1b" not in log.read_text(encoding="utf-8")

    def test_is_appended_with_notes_errors_and_exit_status(self, tmp_path: Path, notable: Path) -> None:
        log = tmp_path / "job.log"
        call("stats", notable, f"--log={log}", "--quiet")
        call("stats", tmp_path / "missing.json", "--log", log)
        call("stats", "--wrong", "--log", log)
        texts = [text for _, text in said(log)]
        assert any(text.startswith("note: ") for text in texts)
        errors = [text for level, text in said(log) if level == "ERROR"]
        assert len(errors) == 2 and "missing.json" in errors[0] and "--wrong" in errors[1]
        assert [text.split(" after")[0] for text in texts if "after" in text] == [f"exit status {n}" for n in (0, 2, 2)]

    def test_has_the_results_as_plain_text(self, tmp_path: Path, notable: Path) -> None:
        result = call("stats", notable, "--log", tmp_path / "job.log")
        texts = [text for _, text in said(tmp_path / "job.log")]
        assert [line.rstrip() for line in result.stdout.splitlines() if line.strip()] == texts[1:-2]

    def test_has_what_validate_found(self, tmp_path: Path, notable: Path) -> None:
        result = call("validate", notable, "--log", tmp_path / "job.log")
        assert result.exit_code == 0
        assert "0 errors and 1 warning in 1 image" in (tmp_path / "job.log").read_text()

    def test_one_that_cannot_be_written_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for log in (tmp_path, tmp_path / "file" / "job.log"):
            result = call("--log", log, "settings")
            assert result.exit_code == 2 and result.stdout == ""
            assert result.stderr.startswith(f"error: cannot write the log {log}: ")

    def test_needs_a_name(self) -> None:
        result = call("settings", "--log")
        assert result.exit_code == 2 and "requires an argument" in result.stderr

    def test_leaves_the_logger_as_it_was(self, tmp_path: Path) -> None:
        call("--verbose", "--log", tmp_path / "job.log", "settings")
        logger = logging.getLogger("mosaicfusion")
        assert (logger.handlers, logger.level, logger.propagate) == ([], logging.NOTSET, True)
