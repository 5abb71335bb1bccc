"""Objects that hide each other."""

from __future__ import annotations

import numpy as np
import pytest

from mosaicfusion.masks.occlusion import find_hidden, visible_masks


def test_what_is_seen_counts_all_objects_in_front() -> None:
    row = np.arange(6)
    back, middle, front = row < 4, (row > 0) & (row < 5), row > 2
    seen = visible_masks([back[None], None, middle[None], front[None]])
    assert seen[1] is None
    shown = [mask.astype(int).tolist() for mask in seen if mask is not None]
    assert shown == [[[1, 0, 0, 0, 0, 0]], [[0, 1, 1, 0, 0, 0]], [[0, 0, 0, 1, 1, 1]]]


@pytest.mark.parametrize(
    ("seen", "allowed", "hidden"), [(4, 0.0, None), (3, 0.25, None), (3, 0.2, 0.25), (0, 1.0, 1.0)]
)
def test_an_object_is_rejected_if_too_much_of_it_is_hidden(seen: int, allowed: float, hidden: float | None) -> None:
    whole = np.ones((1, 4), bool)
    rejection = find_hidden(whole, whole & (np.arange(4) < seen), allowed)
    assert (rejection and rejection.values["hidden"]) == hidden
