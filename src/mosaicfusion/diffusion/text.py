"""The text that a denoiser reads, where it differs from a single CLIP encoder's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Span:
    """The tokens of one encoder: ``length`` of them with the padding.

    ``lower``: the prompt is read in lower case. ``before``: what the encoder reads before it; of this text, the denoiser gets the
    first token and the last one.
    """

    tokenizer: Any
    length: int
    lower: bool = False
    before: str = ""

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Numbers of the tokens that the denoiser gets, and their places in the text; (0, 0) for others."""
        encoded = self.tokenizer(self.before + (text.lower() if self.lower else text), return_offsets_mapping=True)
        numbers, offsets = encoded["input_ids"], encoded["offset_mapping"]
        if self.before:
            dropped = slice(1, len(self.tokenizer(self.before)["input_ids"]) - 1)
            del numbers[dropped], offsets[dropped]
        shift = len(self.before)
        return numbers, [(max(0, left - shift), max(0, right - shift)) for left, right in offsets]


class Spans:
    """Spans of text that a denoiser reads one after the other, called like a single tokenizer with offsets.

    A prompt has to fit the shortest span. ``offset_mapping`` runs over all spans with their padding, so that a subject is found
    in each of them.
    """

    def __init__(self, *spans: Span) -> None:
        self.spans = spans
        self.model_max_length = min(span.length for span in spans)

    def __call__(self, text: str, return_offsets_mapping: bool = False) -> dict[str, Any]:
        """``input_ids`` of the span with the most of them; ``offset_mapping`` of all, (0, 0) where nothing is."""
        encoded = [span.encode(text) for span in self.spans]
        offsets: list[tuple[int, int]] = []
        for span, (_, places) in zip(self.spans, encoded, strict=True):
            own = places[: span.length]
            offsets += [*own, *[(0, 0)] * (span.length - len(own))]
        result: dict[str, Any] = {"input_ids": max((numbers for numbers, _ in encoded), key=len)}
        return result | ({"offset_mapping": offsets} if return_offsets_mapping else {})
