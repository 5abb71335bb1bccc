"""The table that the tests of this folder print with ``pytest -s``: input, command, exit status, outcome."""

from __future__ import annotations

from dataclasses import dataclass, field

from click.testing import Result


@dataclass
class Table:
    """Lines ``input | command | exit | outcome``."""

    lines: list[str] = field(default_factory=list)

    def add(self, name: str, command: str, result: Result, words: str = "") -> None:
        """Add the outcome of a command: its first line with ``words``, or else its last one."""
        lines = [" ".join(line.split()) for line in result.output.splitlines() if line.strip()] or [""]
        outcome = next((line for line in lines if words and words in line), lines[-1])
        self.lines.append(f"{name} | {command.strip()} | {result.exit_code} | {outcome}")
