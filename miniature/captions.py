"""Captions of compositions. The product's own prompt template is by far the most frequent."""

import numpy as np


def with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption(rng: np.random.Generator, name: str, background: str) -> str:
    """A random caption, such as "a photo of a single teapot on a wooden table"; one in six omits the background."""
    choice = rng.random()
    if choice < 0.75:
        text = f"a photo of a single {name}"
    elif choice < 0.9:
        text = f"a photo of {with_article(name)}"
    else:
        text = name
    return f"{text} on {background}" if rng.random() < 5 / 6 else text
