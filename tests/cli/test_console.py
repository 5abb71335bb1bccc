"""The tables of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaicfusion.cli.console import print_summary
from mosaicfusion.generation.build_dataset import Summary
from mosaicfusion.report.stats import CategoryTally


def test_a_long_table_begins_with_the_lowest_yield(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    per_category = {f"thing {k:02}": CategoryTally(f"thing {k:02}", 100, 50 + k) for k in reversed(range(25))}
    print_summary(Summary(tmp_path, 9, 9, 2500, 1550, 1550, {}, per_category))
    output = capsys.readouterr().out
    assert output.index("thing 00") < output.index("thing 01") < output.index("thing 19") < output.index("... 5 more")
    assert "thing 20" not in output
