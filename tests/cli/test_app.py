"""What holds for every command."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import call


class TestHomeFolder:
    """Shells replace ``~`` neither in quotes nor after ``=``."""

    @pytest.mark.parametrize("arguments", [["--out", "~/figures"], ["--out=~/figures"]])
    def test_a_tilde_is_the_home_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        result = call("explain", "--categories", "banana", *arguments, "--set", "sampling.steps=1")
        assert result.exit_code == 0, result.output
        assert list((tmp_path / "figures").glob("*.png"))
        assert not (tmp_path / "~").exists()
