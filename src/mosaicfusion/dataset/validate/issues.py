"""What is wrong with a data set: one line a issue, of each kind only so many."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Issue:
    """``kind`` groups issues of one cause; ``text`` has the value and what to do."""

    level: Level
    kind: str
    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.level} [{self.kind}] {self.place}: {self.text}"


class Issues:
    """All issues counted, the first of each kind kept."""

    def __init__(self, shown: int = 5) -> None:
        self.shown = shown
        self.counts: Counter[tuple[Level, str]] = Counter()
        self._kept: list[Issue] = []

    def add(self, level: Level, kind: str, place: str, text: str) -> None:
        """Count a issue, and keep it unless there are enough of its kind."""
        self.counts[level, kind] += 1
        if self.counts[level, kind] <= self.shown:
            self._kept.append(Issue(level, kind, place, text))

    def number(self, level: Level) -> int:
        """How many issues of a level there are."""
        return sum(count for (own, _), count in self.counts.items() if own == level)

    def lines(self) -> list[str]:
        """Errors first, kind by kind; what was not kept is summed up."""
        lines = []
        for level, kind in sorted(self.counts):
            lines += [str(issue) for issue in self._kept if (issue.level, issue.kind) == (level, kind)]
            more = self.counts[level, kind] - self.shown
            if more > 0:
                lines.append(f"{level} [{kind}] ... {more} more of this kind, {self.counts[level, kind]} in all")
        return lines
