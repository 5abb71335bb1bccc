"""The long tail: in how many images each category is, and which objects meet in an image. Seeded, nothing else decides."""

from dataclasses import dataclass

import numpy as np

THIRDS = {"r": 56, "c": 56, "f": 46}
"""Categories of each letter. A few less are frequent: a frequent one takes as many images as twenty rare ones."""

OBJECTS = {1: 0.06, 2: 0.08, 3: 0.10, 4: 0.14, 5: 0.17, 6: 0.17, 7: 0.15, 8: 0.13}
"""Share of the scenes with that many categories; five on average, as 46 categories are to be in more than 100 images each."""

RARE_STYLES = 2
TWINS = 0.06  # of the objects come with a second one of their category


@dataclass(frozen=True)
class Card:
    """An object to be drawn: the number of its category and its style."""

    category: int
    style: str


def frequencies(rng: np.random.Generator, shares: dict[str, int]) -> list[str]:
    """A letter for each category, by lot."""
    return rng.permutation([letter for letter, share in shares.items() for _ in range(share)]).tolist()


def image_count(rng: np.random.Generator, letter: str) -> int:
    """Training images of a category by LVIS' frequencies: r 1-10, c 11-100 (most near 11), f from 101 on."""
    if letter == "r":
        return int(rng.integers(1, 11))
    if letter == "c":
        return int(np.exp(rng.uniform(np.log(11), np.log(60))))
    return 102 + int(rng.exponential(5))


def deal(rng: np.random.Generator, counts: list[int]) -> list[list[int]]:
    """Scenes as lists of categories: category k is in counts[k] scenes, once in each.

    Raises ValueError if there are too few categories to fill different scenes with; thirty are enough.
    """
    slots: list[int] = []
    while sum(slots) < sum(counts) * 1.003:  # some room: the last ones must still find different scenes
        slots.append(int(rng.choice(list(OBJECTS), p=list(OBJECTS.values()))))
    free = np.array(slots)
    scenes: list[list[int]] = [[] for _ in slots]
    for category in np.argsort(counts)[::-1].tolist():  # the most frequent first: they need the most different scenes
        for scene in rng.choice(len(free), counts[category], replace=False, p=free / free.sum()):
            scenes[scene].append(category)
            free[scene] -= 1
    return [rng.permutation(scene).tolist() for scene in scenes if scene]


def train_scenes(rng: np.random.Generator, styles: list[list[str]], shares: dict[str, int]) -> list[list[Card]]:
    """styles: what each category can be drawn in. Rare categories show two of them at most."""
    drawn = frequencies(rng, shares)
    scenes = deal(rng, [image_count(rng, letter) for letter in drawn])
    looks = [
        rng.permutation(known).tolist()[: RARE_STYLES if letter == "r" else None]
        for known, letter in zip(styles, drawn, strict=True)
    ]
    return [[Card(k, str(rng.choice(looks[k]))) for k in _with_twins(rng, scene)] for scene in scenes]


def val_scenes(rng: np.random.Generator, styles: list[list[str]], images: int) -> list[list[Card]]:
    """Every category in as many images as every other, its styles by turns, so that all of them are measured."""
    turns = [[*rng.permutation(known)] for known in styles]
    scenes = []
    for scene in deal(rng, [images] * len(styles)):
        cards = []
        for category in _with_twins(rng, scene):
            turns[category].append(turns[category].pop(0))
            cards.append(Card(category, str(turns[category][-1])))
        scenes.append(cards)
    return scenes


def _with_twins(rng: np.random.Generator, scene: list[int]) -> list[int]:
    twins = [category for category in scene if rng.random() < TWINS]
    return rng.permutation([*scene, *twins]).tolist()
