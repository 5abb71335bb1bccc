"""Calls of the command line in this process."""

from __future__ import annotations

from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from mosaicfusion.cli import app


def call(*arguments: Any, columns: int = 120) -> Result:
    """``mosaicfusion`` with these arguments, on a terminal of so many columns. No error may be unforeseen."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": str(columns)})
    assert "Traceback" not in result.output and "error: unforeseen" not in result.output, result.output
    return result
