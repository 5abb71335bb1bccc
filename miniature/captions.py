"""Captions of compositions. The form the product asks with is the commonest by far."""

import numpy as np


def with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption(rng: np.random.Generator, name: str, background: str) -> str:
    """E.g. "a photo of a single teapot on a wooden table"; one in six leaves the background unsaid."""
    draw = rng.random()
    if draw < 0.75:
        text = f"a photo of a single {name}"
    elif draw < 0.9:
        text = f"a photo of {with_article(name)}"
    else:
        text = name
    return f"{text} on {background}" if rng.random() < 5 / 6 else text
