"""Issues of a data set, with their repairs; of each kind only some are kept for printing."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Issue:
    """One problem. ``kind`` groups issues of one cause; ``text`` has the value and the remedy."""

    level: Level
    kind: str
    location: str
    text: str

    def __str__(self) -> str:
        return f"{self.level} [{self.kind}] {self.location}: {self.text}"


class Issues:
    """A collection of issues: counts, the first of each kind, and optionally the repairs of rows."""

    def __init__(self, max_per_kind: int = 5, with_repairs: bool = False) -> None:
        self.max_per_kind = max_per_kind
        self.counts: Counter[tuple[Level, str]] = Counter()
        self.repairs: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)  # list -> index of a row -> new values
        self.removed: dict[str, set[int]] = defaultdict(set)  # list -> indices of rows without any content
        self._with_repairs = with_repairs
        self._kept: list[Issue] = []

    def add(self, level: Level, kind: str, location: str, text: str) -> None:
        """Count an issue, and keep it unless there are enough of its kind."""
        self.counts[level, kind] += 1
        if self.counts[level, kind] <= self.max_per_kind:
            self._kept.append(Issue(level, kind, location, text))

    def repair(self, key: str, index: int, values: dict[str, Any]) -> None:
        """Note new values of a row."""
        if self._with_repairs:
            self.repairs[key].setdefault(index, {}).update(values)

    def remove(self, key: str, index: int) -> None:
        """Note a row that the repaired file leaves out."""
        if self._with_repairs:
            self.removed[key].add(index)

    def number(self, level: Level) -> int:
        """Number of issues of a level."""
        return sum(count for (own, _), count in self.counts.items() if own == level)

    def lines(self) -> list[str]:
        """Printable lines, errors first, kind by kind; issues that were not kept are counted."""
        lines = []
        for level, kind in sorted(self.counts):
            lines += [str(issue) for issue in self._kept if (issue.level, issue.kind) == (level, kind)]
            more = self.counts[level, kind] - self.max_per_kind
            if more > 0:
                lines.append(f"{level} [{kind}] ... {more} more of this kind, {self.counts[level, kind]} in total")
        return lines


class RowIssues:
    """The issues of one row. ``id``: added to the location once it is known."""

    def __init__(self, issues: Issues, key: str, index: int) -> None:
        self._issues, self._key, self._index = issues, key, index
        self.id: int | None = None

    def error(self, kind: str, text: str, repair: dict[str, Any] | None = None) -> None:
        """Add an error, with the values of the row that repair it."""
        self._add("error", kind, text, repair)

    def warning(self, kind: str, text: str, repair: dict[str, Any] | None = None) -> None:
        """Add a warning, with the values of the row that repair it."""
        self._add("warning", kind, text, repair)

    def remove(self) -> None:
        """Leave the row out of the repaired file."""
        self._issues.remove(self._key, self._index)

    def _add(self, level: Level, kind: str, text: str, repair: dict[str, Any] | None) -> None:
        location = f"{self._key}[{self._index}]" + ("" if self.id is None else f" (id {self.id})")
        self._issues.add(level, kind, location, text)
        if repair:
            self._issues.repair(self._key, self._index, repair)
