"""The long tail: number of images of each category and objects of each image, chosen at random from a seed."""

from dataclasses import dataclass

import numpy as np

CATEGORIES_PER_FREQUENCY = {"r": 56, "c": 56, "f": 46}
"""Number of categories by frequency; fewer are frequent, since each needs as many images as twenty rare ones."""

OBJECTS = {1: 0.06, 2: 0.08, 3: 0.10, 4: 0.14, 5: 0.17, 6: 0.17, 7: 0.15, 8: 0.13}
"""Share of scenes by number of categories; five on average, because 46 categories need more than 100 images each."""

RARE_STYLES = 2
TWINS = 0.06  # share of objects with a second one of their category


@dataclass(frozen=True)
class ObjectSpec:
    """Category number and style of an object in a scene."""

    category: int
    style: str


def choose_frequencies(rng: np.random.Generator, counts: dict[str, int]) -> list[str]:
    """Choose the frequency of each category at random."""
    chosen: list[str] = rng.permutation([name for name, count in counts.items() for _ in range(count)]).tolist()
    return chosen


def choose_image_count(rng: np.random.Generator, frequency: str) -> int:
    """Choose a category's number of training images by LVIS' frequencies: r 1-10, c 11-100 (most near 11), f above 100."""
    if frequency == "r":
        return int(rng.integers(1, 11))
    if frequency == "c":
        return int(np.exp(rng.uniform(np.log(11), np.log(60))))
    return 102 + int(rng.exponential(5))


def fill_scenes(rng: np.random.Generator, counts: list[int]) -> list[list[int]]:
    """Distribute categories over scenes at random: category k is in counts[k] scenes, once in each.

    Raises ValueError if there are too few categories for different scenes; thirty are enough.
    """
    slots: list[int] = []
    while sum(slots) < sum(counts) * 1.003:  # spare slots: the last categories also need different scenes
        slots.append(int(rng.choice(list(OBJECTS), p=list(OBJECTS.values()))))
    free = np.array(slots)
    scenes: list[list[int]] = [[] for _ in slots]
    for category in np.argsort(counts)[::-1].tolist():  # the most frequent first: they need the most scenes
        for scene in rng.choice(len(free), counts[category], replace=False, p=free / free.sum()):
            scenes[scene].append(category)
            free[scene] -= 1
    return [rng.permutation(scene).tolist() for scene in scenes if scene]


def train_scenes(rng: np.random.Generator, styles: list[list[str]], counts: dict[str, int]) -> list[list[ObjectSpec]]:
    """Choose the training scenes. ``styles``: the styles of each category; rare categories have at most two of them."""
    frequencies = choose_frequencies(rng, counts)
    scenes = fill_scenes(rng, [choose_image_count(rng, frequency) for frequency in frequencies])
    looks = [
        rng.permutation(known).tolist()[: RARE_STYLES if frequency == "r" else None]
        for known, frequency in zip(styles, frequencies, strict=True)
    ]
    return [[ObjectSpec(k, str(rng.choice(looks[k]))) for k in _with_twins(rng, scene)] for scene in scenes]


def val_scenes(rng: np.random.Generator, styles: list[list[str]], images: int) -> list[list[ObjectSpec]]:
    """Choose the validation scenes: each category in the same number of images, its styles in turn, so that all count."""
    turns = [[*rng.permutation(known)] for known in styles]
    scenes = []
    for scene in fill_scenes(rng, [images] * len(styles)):
        specs = []
        for category in _with_twins(rng, scene):
            turns[category].append(turns[category].pop(0))
            specs.append(ObjectSpec(category, str(turns[category][-1])))
        scenes.append(specs)
    return scenes


def _with_twins(rng: np.random.Generator, scene: list[int]) -> list[int]:
    twins = [category for category in scene if rng.random() < TWINS]
    shuffled: list[int] = rng.permutation([*scene, *twins]).tolist()
    return shuffled
