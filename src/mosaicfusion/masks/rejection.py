"""All reasons for which a region gets no annotation, with the words that reports and tables show.

To add one, add a member here and return or record it where it is decided. Run folders keep the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self


class RejectionReason(StrEnum):
    """A reason of rejection. ``short_name``: a few words for labels and tables. ``meaning``: one sentence."""

    short_name: str
    meaning: str

    def __new__(cls, value: str, short_name: str, meaning: str) -> Self:
        """A member that equals its ``value``, a string."""
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.short_name = short_name
        reason.meaning = meaning
        return reason

    EMPTY_MASK = "empty_mask", "empty mask", "The attention stands out nowhere in the region."
    TOO_SMALL = "too_small", "too small", "Every part of the mask is below the smallest area allowed."
    TOO_LARGE = "too_large", "too large", "The mask fills the region: the attention did not find the object."
    SEVERAL_COMPONENTS = (
        "several_components",
        "several parts",
        "More than one part of the mask has the size of an object.",
    )
    HIDDEN = "hidden", "hidden", "Objects in front hide more of it than masks.max_hidden allows."
    NAN_LATENTS = "nan_latents", "not a number", "The latents became NaN or infinite; there is no image."
    LOW_QUALITY = (
        "low_quality",
        "low quality",
        "The predicted mask quality is below the data set's --min-quality.",
    )
    WRONG_OBJECT = (
        "wrong_object",
        "wrong object",
        "CLIP gives the category a probability below the data set's --min-semantics.",
    )
    REVIEWED = "reviewed", "rejected by a person", "A person rejected it in a review."
    WRONG_MASK = "wrong_mask", "wrong mask", "A person said in a review that the mask is wrong."


@dataclass(frozen=True)
class Rejection:
    """A region without a mask: the reason, and the measurements behind it by name.

    The component rules measure ``components``, their number; ``left``, the number of them with an allowed area; and
    ``largest_area``, the largest one's part of the region in [0, 1].
    """

    reason: RejectionReason
    values: Mapping[str, float | int] = field(default_factory=dict)


def reason_name(reason: str | None) -> str:
    """The short name of a recorded reason; one that this version does not know is shown without its underscores."""
    known = _REASONS.get(reason or "")
    return known.short_name if known else str(reason).replace("_", " ")


def reason_meaning(reason: str) -> str:
    """One sentence about a recorded reason; empty for one that this version does not know."""
    known = _REASONS.get(reason)
    return known.meaning if known else ""


_REASONS = {reason.value: reason for reason in RejectionReason}
