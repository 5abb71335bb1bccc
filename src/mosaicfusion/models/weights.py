"""Checking weights that were read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mosaicfusion.errors import MosaicFusionError

if TYPE_CHECKING:
    from torch import Tensor


def require_finite(weights: Mapping[str, Tensor], source: object, advice: str = "download or copy it again") -> None:
    """Raise :class:`MosaicFusionError` if a tensor holds NaN or infinity: such a model gives results, all of them wrong.

    ``source``: what the weights are of, for the message.
    """
    wrong = [name for name, value in weights.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if wrong:
        raise MosaicFusionError(
            f"{source} has NaN or infinite weights in {len(wrong)} of {len(weights)} tensors, such as {wrong[0]}; {advice}"
        )
