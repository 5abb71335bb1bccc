"""The merge of nested settings."""

from __future__ import annotations

from typing import Any

import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.settings import merge_settings

BASE = {"seed": 1, "data": {"flip": 0.5, "sides": (640, 800)}, "loss": None}


@pytest.mark.parametrize(
    ("top", "changed"),
    [
        ({"seed": 2}, {"seed": 2}),
        ({"data": {"flip": 0.1}}, {"data": {"flip": 0.1, "sides": (640, 800)}}),
        ({"data": {"sides": (1,)}, "new": {"a": 1}}, {"data": {"flip": 0.5, "sides": (1,)}, "new": {"a": 1}}),
        ({"loss": {"kind": "softmax"}}, {"loss": {"kind": "softmax"}}),
        ({"data": {"flip": None}}, {"data": {"flip": None, "sides": (640, 800)}}),
    ],
)
def test_groups_are_merged_and_values_replaced(top: dict[str, Any], changed: dict[str, Any]) -> None:
    assert merge_settings(BASE, top) == BASE | changed


def test_none_can_be_skipped_at_every_depth() -> None:
    top = {"seed": None, "data": {"flip": None}, "new": {"a": None}}
    assert merge_settings(BASE, top, skip_none=True) == BASE | {"new": {}}


@pytest.mark.parametrize("top", [{"data": 3}, {"seed": {"a": 3}}, {"data": {"flip": {"a": 1}}}])
def test_a_value_for_a_group_is_refused(top: dict[str, Any]) -> None:
    with pytest.raises(MosaicFusionError, match=r"is given as the value .* and as a group of settings"):
        merge_settings(BASE, top)
