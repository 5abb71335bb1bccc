"""Repeat-factor sampling as an endless, resumable stream of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from mosaicfusion.errors import MosaicFusionError


@dataclass(frozen=True)
class SampleIndex:
    """A sample to load: its index in the data set, and the seed of its random choices."""

    index: int
    seed: int


def repeat_factors(labels: Sequence[NDArray[np.int64]], threshold: float = 1e-3) -> NDArray[np.float64]:
    """Expected number of times that each image is sampled per epoch, float64 (images,), at least 1.

    A category in the fraction f of the images has r = max(1, sqrt(threshold / f)); an image has the maximum r of its
    categories (Gupta, Dollar, Girshick 2019, appendix B). ``labels``: of each image's instances; duplicates do not count.
    """
    images = np.repeat(np.arange(len(labels)), [len(one) for one in labels])
    present = np.concatenate([*labels, np.zeros(0, np.int64)])
    classes = present.max(initial=0) + 1
    images, present = np.divmod(np.unique(images * classes + present), classes)  # each label of an image once
    fraction = np.bincount(present) / max(1, len(labels))
    with np.errstate(divide="ignore", invalid="ignore"):  # labels without an image
        label_factors = np.maximum(1, np.sqrt(threshold / fraction))
    factors = np.ones(len(labels))
    np.maximum.at(factors, images, label_factors[present])
    return factors


def with_share(
    factors: NDArray[np.float64], synthetic: NDArray[np.bool_], share: float, name: str
) -> NDArray[np.float64]:
    """Repeat factors, float64 (images,), with those of synthetic images scaled to be ``share`` of all samples, in [0, 1).

    Real images keep theirs, so that an epoch looks at each of them as often as without synthetic ones. ``synthetic``: bool
    (images,). Raises :class:`MosaicFusionError` unless there are images of both kinds; ``name`` is that of the set.
    """
    real = factors[~synthetic].sum()
    if share >= 1 or not synthetic.any() or synthetic.all():
        kinds = f"{int(synthetic.sum())} of its {len(synthetic)} images are synthetic"
        raise MosaicFusionError(
            f"data.synthetic_share={share:g} needs a set with real and synthetic images, and a share below 1; {name}: {kinds}"
        )
    scale = share / (1 - share) * real / factors[synthetic].sum()
    return np.where(synthetic, factors * scale, factors)


class RepeatFactorSampler(Sampler[SampleIndex]):
    """Endless stream of samples, epoch after epoch; the sample at a position depends on the seed and the position only.

    Each epoch contains an image floor(r) times, plus once with probability r - floor(r), and is shuffled. ``factors``: r of
    each image, float (images,) from 0 on, all 1 for plain shuffling. ``start``: number of samples consumed before by all ranks
    together: batch size x ranks x steps resumes an interrupted training. Rank k of n takes positions k, k + n, ... of the
    remaining ones.
    """

    def __init__(
        self, factors: NDArray[np.float64], seed: int = 0, start: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        if not len(factors):
            raise ValueError("factors is empty; a sampler needs at least one image")
        self.factors = factors
        self.seed, self.start, self.rank, self.ranks = seed, start, rank, ranks

    def epoch(self, number: int) -> NDArray[np.int64]:
        """Image indices of one epoch in sampling order, int64 (about sum of the factors,)."""
        rng = np.random.default_rng([self.seed, number])
        whole = np.floor(self.factors)
        times = whole + (rng.random(len(whole)) < self.factors - whole)
        return rng.permutation(np.repeat(np.arange(len(times)), times.astype(np.int64)))

    def __iter__(self) -> Iterator[SampleIndex]:
        position = 0
        for number in count():
            images = self.epoch(number)
            skipped = max(0, self.start - position)
            for offset in range(skipped, len(images)):
                if (position + offset - self.start) % self.ranks == self.rank:
                    yield SampleIndex(int(images[offset]), _seed(self.seed, position + offset))
            position += len(images)


def _seed(seed: int, position: int) -> int:
    return int(np.random.SeedSequence([seed, position]).generate_state(1, np.uint64)[0] >> 1)  # torch takes 63 bits
