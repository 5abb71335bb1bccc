import json

import pytest

from mosaicfusion.masks.rejection import Rejection, RejectionReason, reason_meaning, reason_name

RECORDED = {
    "empty_mask", "hidden", "too_small", "too_large", "several_components", "nan_latents", "low_quality", "wrong_object",
    "reviewed", "wrong_mask",
}  # fmt: skip


def test_the_values_are_those_in_run_folders() -> None:
    assert {reason.value for reason in RejectionReason} == RECORDED
    assert json.dumps({"reason": RejectionReason.TOO_SMALL}) == '{"reason": "too_small"}'
    assert Rejection(RejectionReason.TOO_SMALL) == Rejection(RejectionReason("too_small"))


@pytest.mark.parametrize("reason", RejectionReason)
def test_every_reason_has_a_name_and_a_sentence(reason: RejectionReason) -> None:
    assert reason == reason.value
    assert reason_name(reason.value) == reason.short_name
    assert "_" not in reason.short_name
    assert reason_meaning(reason.value).endswith(".")


def test_a_reason_of_another_version_is_shown_as_it_is() -> None:
    assert reason_name("out_of_focus") == "out of focus"
    assert reason_meaning("out_of_focus") == ""
    assert reason_name(None) == "None"
