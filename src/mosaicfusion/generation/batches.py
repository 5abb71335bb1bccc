"""Which canvases are drawn together, and by whom: batches at fixed places, shards of whole layout groups."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from mosaicfusion.errors import MosaicFusionError


class Stretches(Collection[int]):
    """A collection of different whole numbers, kept as stretches without a gap: memory grows with the gaps, not with the numbers.

    ``stretches``: (first, end) with the end left out, by their first; they may overlap.
    """

    def __init__(self, stretches: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        for first, end in stretches:
            if self._ends and first <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._firsts.append(first)
                self._ends.append(end)

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        place = bisect_right(self._firsts, number) - 1
        return place >= 0 and number < self._ends[place]

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(map(range, self._firsts, self._ends))

    def __len__(self) -> int:
        return sum(self._ends) - sum(self._firsts)


@dataclass(frozen=True)
class Shard:
    """Share ``number``, from 1, of ``count`` equal ones: layout groups are dealt in turn, so every batch stays whole.

    Raises :class:`MosaicFusionError` for a number that is not from 1 to ``count``.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise MosaicFusionError(
                f"shard {self.number}/{self.count}: the first number goes from 1 to the second, as in 1/64 to 64/64"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``3/64``; raises :class:`MosaicFusionError` for anything else."""
        numbers = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if not numbers:
            raise MosaicFusionError(f"shard {text!r:.40} is not NUMBER/COUNT, as in 3/64")
        return cls(int(numbers[1]), int(numbers[2]))

    def groups(self, total: int, group_size: int) -> Iterator[range]:
        """The layout groups of the share, as canvas indices below ``total``."""
        for first in range((self.number - 1) * group_size, total, self.count * group_size):
            yield range(first, min(first + group_size, total))


WHOLE = Shard()


def missing_parts(
    done: Container[int], total: int, group_size: int, batch_size: int, shard: Shard = WHOLE
) -> Iterator[list[int]]:
    """Indices still to be drawn, a batch at a time; a batch never crosses two layout groups.

    Batches begin at fixed places: what a killed run lost is drawn again in the same company, to the same last bit.
    """
    for group in shard.groups(total, group_size):
        for first in range(group.start, group.stop, batch_size):
            missing = [index for index in range(first, min(first + batch_size, group.stop)) if index not in done]
            if missing:
                yield missing
