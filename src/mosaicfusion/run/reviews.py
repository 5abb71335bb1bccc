"""Verdicts of people on the canvases of a run: ``reviews.jsonl``, to which lines are only ever added.

The last word on an object counts, whoever says it; where people disagree, :meth:`Reviews.conflicts` shows it. The file of another
copy of the run can be appended to this one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from mosaicfusion.errors import MosaicFusionError, counted, first_line

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

REVIEWS = "reviews.jsonl"
_PLACE = re.compile(r"([0-9]{1,9})(?::([0-9]{1,3}))?")
Word = Literal["accept", "reject", "wrong_mask", "relabel", "none"]
Place = tuple[int, int | None]  # number of the canvas; of the region, or None for the whole canvas


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. ``region``: None for the whole canvas. ``category_id``: the right one, of a verdict ``relabel``.

    ``accept``: it counts, whatever the thresholds say. ``reject``: the object is not what its category says, or the canvas is of
    no use. ``wrong_mask``: the object is right, its mask is not. ``none``: nothing is said any more, which undoes a verdict.
    """

    canvas: int
    region: int | None
    verdict: Word
    who: str = ""
    when: str = ""
    why: str = ""
    category_id: int | None = None

    @property
    def place(self) -> Place:
        """The place that it is about."""
        return self.canvas, self.region

    @property
    def says(self) -> tuple[Word, int | None]:
        """The verdict itself, whoever says it."""
        return self.verdict, self.category_id


class Reviews:
    """The verdicts of a run; its folder is that of ``reviews.jsonl``."""

    def __init__(self, lines: Iterable[Verdict] = ()) -> None:
        self._by_place: dict[Place, dict[str, Verdict]] = {}
        for line in lines:
            self.add(line)

    @classmethod
    def read(cls, folder: Path) -> Reviews:
        """Read the file of a run; none is no verdict. A line that a killed process left torn does not count.

        Raises :class:`MosaicFusionError` for any other damage.
        """
        path = folder / REVIEWS
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise MosaicFusionError(f"cannot read {path}: {error.strerror or error}") from None
        found = []
        for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), start=1):
            try:
                found.append(_DECODER.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if _TORN in str(error):  # by a process that was killed; others went on after it
                    continue
                raise MosaicFusionError(
                    f"line {number} of {path} is damaged ({first_line(error)}); remove it to go on without it"
                ) from None
        return cls(found)

    def add(self, verdict: Verdict) -> None:
        """Count one more line."""
        people = self._by_place.setdefault(verdict.place, {})
        people.pop(verdict.who, None)  # the last word comes last
        if verdict.verdict != "none":
            people[verdict.who] = verdict
        if not people:
            del self._by_place[verdict.place]

    def __bool__(self) -> bool:
        return bool(self._by_place)

    def on(self, canvas: int, region: int | None) -> Verdict | None:
        """The last word on a region or, for None, on a whole canvas."""
        people = self._by_place.get((canvas, region))
        return None if people is None else next(reversed(people.values()))

    def of(self, who: str, place: Place) -> Verdict | None:
        """The verdict of one person on a place."""
        return self._by_place.get(place, {}).get(who)

    def said(self, place: Place) -> list[Verdict]:
        """The verdicts of everybody on a place, the last word last."""
        return list(self._by_place.get(place, {}).values())

    def canvases(self) -> set[int]:
        """The canvases that something is said of."""
        return {canvas for canvas, _ in self._by_place}

    def counts(self) -> dict[str, int]:
        """The number of places by the last word on them."""
        totals: dict[str, int] = {}
        for people in self._by_place.values():
            word = next(reversed(people.values())).verdict
            totals[word] = totals.get(word, 0) + 1
        return totals

    def conflicts(self) -> dict[Place, list[Verdict]]:
        """The places of which people say different things, with what each says, the last word last."""
        return {
            place: list(people.values())
            for place, people in self._by_place.items()
            if len({verdict.says for verdict in people.values()}) > 1
        }


_DECODER = msgspec.json.Decoder(Verdict)
_TORN = "truncated"  # in msgspec's words


def append(folder: Path, verdicts: Sequence[Verdict]) -> None:
    """Add lines to the file of a run, all or none of them, and wait until they are on the disk; several processes may do so.

    Raises :class:`MosaicFusionError` if it cannot be written.
    """
    path = folder / REVIEWS
    data = b"".join(msgspec.json.encode(verdict) + b"\n" for verdict in verdicts)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a process was killed in mid-line
                data = b"\n" + data
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise MosaicFusionError(
            f"cannot write {path}: {error.strerror or error}; {counted(len(verdicts), 'verdict')} not kept"
        ) from None


def read_places(file: Path, canvases: int) -> list[Verdict]:
    """Rejections from a text file with a canvas, ``12``, or an object of it, ``12:3``, in each line; the file's stem signs them.

    Empty lines, and what follows a #, do not count. Raises :class:`MosaicFusionError` for another line, and a canvas from
    ``canvases`` on.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MosaicFusionError(f"cannot read {file}: {first_line(error)}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        parts = _PLACE.fullmatch(text)
        if parts is None or int(parts[1]) >= canvases:
            raise MosaicFusionError(
                f"line {number} of {file}, {text!r:.40}, is no canvas below {canvases} (12), nor an object of one (12:3)"
            )
        found.append(
            Verdict(int(parts[1]), int(parts[2]) if parts[2] else None, "reject", file.stem, now(), "excluded")
        )
    return found


def now() -> str:
    """The time in UTC, as verdicts have it: ``2026-11-28T14:05:09Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
