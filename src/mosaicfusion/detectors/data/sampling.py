"""Which image is drawn when: repeat-factor sampling, as an endless and resumable stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


@dataclass(frozen=True)
class Draw:
    """One sample to load: the image's place in the data set, and the seed of all that is random about it."""

    index: int
    seed: int


def repeat_factors(labels: Sequence[NDArray[np.int64]], threshold: float = 1e-3) -> NDArray[np.float64]:
    """How often each image is drawn an epoch, float64 (images,), at least 1.

    A category in the fraction f of the images has r = max(1, sqrt(threshold / f)); an image has the greatest r of its
    categories (Gupta, Dollar, Girshick 2019, appendix B). ``labels``: those of each image's instances; repeats do not count.
    """
    images = np.repeat(np.arange(len(labels)), [len(of_image) for of_image in labels])
    found = np.concatenate([*labels, np.zeros(0, np.int64)])
    classes = found.max(initial=0) + 1
    images, found = np.divmod(np.unique(images * classes + found), classes)  # each label of an image once
    fraction = np.bincount(found) / max(1, len(labels))
    with np.errstate(divide="ignore", invalid="ignore"):  # labels that no image has
        of_label = np.maximum(1, np.sqrt(threshold / fraction))
    factors = np.ones(len(labels))
    np.maximum.at(factors, images, of_label[found])
    return factors


class RepeatFactorSampler(Sampler[Draw]):
    """An endless stream of draws, epoch after epoch; the draw at a position depends on the seed and the position alone.

    In each epoch an image is drawn floor(r) times, and once more with the probability r - floor(r); then all draws are
    shuffled. ``factors``: r of each image, float (images,), all 1 for plain shuffling. ``start``: draws that were taken
    before, by all ranks together: batch size x ranks x steps continues where an interrupted training stopped. Rank k of n
    takes the draws at positions k, k + n, ... of what is left.
    """

    def __init__(
        self, factors: NDArray[np.float64], seed: int = 0, start: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        if not len(factors):
            raise ValueError("factors is empty; a sampler needs one image at least")
        self.factors = factors
        self.seed, self.start, self.rank, self.ranks = seed, start, rank, ranks

    def epoch(self, number: int) -> NDArray[np.int64]:
        """The images of one epoch in the order they are drawn, int64 (about sum of the factors,)."""
        rng = np.random.default_rng([self.seed, number])
        whole = np.floor(self.factors)
        times = whole + (rng.random(len(whole)) < self.factors - whole)
        return rng.permutation(np.repeat(np.arange(len(times)), times.astype(np.int64)))

    def __iter__(self) -> Iterator[Draw]:
        position = 0
        for number in count():
            images = self.epoch(number)
            skipped = max(0, self.start - position)
            for offset in range(skipped, len(images)):
                if (position + offset - self.start) % self.ranks == self.rank:
                    yield Draw(int(images[offset]), _seed(self.seed, position + offset))
            position += len(images)


def _seed(seed: int, position: int) -> int:
    return int(np.random.SeedSequence([seed, position]).generate_state(1, np.uint64)[0] >> 1)  # torch takes 63 bits
