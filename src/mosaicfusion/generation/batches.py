"""Batches of canvases, which start at fixed indices, and shards of a run, which are whole layout groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.arguments import check_fields
from mosaicfusion.errors import MosaicFusionError


@dataclass(frozen=True)
class Shard:
    """Share ``number``, counted from 1, of ``count`` equal ones. Layout groups go to the shards in turn, so batches stay whole.

    Raises :class:`MosaicFusionError` for a number that is not from 1 to ``count``.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        check_fields(self)
        if not 1 <= self.number <= self.count:
            raise MosaicFusionError(
                f"shard {self.number}/{self.count}: the first number goes from 1 to the second, such as 1/64 to 64/64"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``3/64``; raises :class:`MosaicFusionError` for anything else."""
        numbers = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if not numbers:
            raise MosaicFusionError(f"shard {text!r:.40} is not NUMBER/COUNT, such as 3/64")
        return cls(int(numbers[1]), int(numbers[2]))

    def groups(self, total: int, group_size: int) -> Iterator[range]:
        """The layout groups of the share, as canvas indices below ``total``."""
        for first in range((self.number - 1) * group_size, total, self.count * group_size):
            yield range(first, min(first + group_size, total))


WHOLE = Shard()


def missing_batches(
    done: NDArray[np.bool_] | Sequence[bool], group_size: int, batch_size: int, shard: Shard = WHOLE
) -> Iterator[list[int]]:
    """Indices that are not done, a batch at a time; a batch never crosses two layout groups.

    ``done``: for each canvas of the run, True if it exists. Batches start at fixed indices: canvases that a killed process
    lost are sampled again in the same batch, to the same last bit.
    """
    for group in shard.groups(len(done), group_size):
        for first in range(group.start, group.stop, batch_size):
            missing = [index for index in range(first, min(first + batch_size, group.stop)) if not done[index]]
            if missing:
                yield missing
