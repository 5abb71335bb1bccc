"""`prompts` on the command line, and its file in `generate`."""

from __future__ import annotations

import json
from pathlib import Path

from support.command_line import call


def test_prompts_are_written_and_used(tmp_path: Path) -> None:
    path = tmp_path / "new/prompts.json"
    result = call("prompts", "-c", "banana, teapot", "--per-category", 3, "-o", path)
    assert result.exit_code == 0, result.output
    assert f"6 prompts for 2 categories: {path}" in result.stdout
    lists = json.loads(path.read_text())
    assert {name: len(lines) for name, lines in lists.items()} == {"banana": 3, "teapot": 3}
    plan = call("generate", "-c", "banana, teapot", "--prompts", path, "-n", 1, "--out", tmp_path / "run", "--dry-run")
    assert plan.exit_code == 0, plan.output
    assert "of a single banana, " in plan.stdout


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    for arguments, message in (
        (("prompts", "-o", tmp_path / "p.json"), "give --categories or --vocabulary"),
        (("prompts", "-c", "cup", "-o", tmp_path / "p.json", "--llm", "nothing"), "there is no language model"),
        (("generate", "-c", "banana", "--prompts", "none.json", "--out", tmp_path / "run"), "none.json"),
    ):
        result = call(*arguments)
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert list(tmp_path.iterdir()) == []
