"""Prompts, and the positions of the subject's tokens in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mosaicfusion.categories import Category
from mosaicfusion.errors import MosaicFusionError


@dataclass(frozen=True)
class Prompt:
    """A prompt and the positions of *all* sub-tokens of its subject in the text encoder's sequence."""

    text: str
    subject: tuple[int, ...]


def render(template: str, name: str, definition: str = "", background: str = "") -> tuple[str, tuple[int, int]]:
    """Fill a template; also return the span of the name in characters, ``text[start:end] == name``.

    A part in square brackets is left out when a field in it is empty: ``"a photo of a single {name}[, {definition}]"``.
    Outside of brackets, an empty definition or background is removed together with the comma before it.
    """
    fields = {"name": name, "definition": definition, "background": background}
    text, span = "", (0, 0)
    for part in re.split(r"(\[[^\[\]]*\]|\{name\})", template):
        if part == "{name}":
            span = (len(text), len(text) + len(name))
            text += name
            continue
        if part.startswith("["):
            part = "" if any(not fields[field] for field in re.findall(r"\{(\w+)\}", part)) else part[1:-1]
        # In one pass, so that the content of a field is not read as a template.
        text += re.sub(r"([\s,;:]*)\{(\w+)\}", lambda found: fields[found[2]] and found[1] + fields[found[2]], part)
    return text[: span[1]] + text[span[1] :].rstrip(" ,;:"), span


def render_background(template: str, background: str) -> str:
    """The prompt of a whole canvas: ``"a photo of {background}"`` with the background, or with ``a scene`` without one."""
    return template.replace("{background}", background or "a scene")


def make_prompt(template: str, category: Category, background: str, tokenizer: Any) -> Prompt:
    """The prompt of a category, short enough for the text encoder.

    ``tokenizer``: a CLIP tokenizer with offsets. A definition that is too long for it loses its last words, the name never does;
    a prompt that is too long even without a definition raises :class:`MosaicFusionError`.
    """
    words = category.definition_or_qualifier.split() if "{definition}" in template else []
    words = words[: tokenizer.model_max_length]  # each is at least one token
    while True:
        text, (start, end) = render(template, category.display_name, " ".join(words).rstrip(" ,;:."), background)
        encoded = tokenizer(text, return_offsets_mapping=True)
        if len(encoded["input_ids"]) <= tokenizer.model_max_length:
            break
        if not words:
            raise MosaicFusionError(
                f"the prompt {text[:80]!r}... has {len(encoded['input_ids'])} tokens; the model's text encoder takes "
                f"{tokenizer.model_max_length}: shorten the name, the background or the template"
            )
        words.pop()
    # A token belongs to the subject if it covers any character of it; special tokens have empty spans.
    subject = [i for i, (left, right) in enumerate(encoded["offset_mapping"]) if max(left, start) < min(right, end)]
    return Prompt(text, tuple(subject))
