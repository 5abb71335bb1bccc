"""The learning rate, step by step."""

from __future__ import annotations

import pytest

from mosaicfusion.detectors.config import ScheduleConfig
from mosaicfusion.detectors.schedule import learning_rate


def test_the_papers_steps() -> None:
    schedule = ScheduleConfig()
    rates = [learning_rate(schedule, step) for step in (0, 500, 1000, 59_999, 60_000, 80_000, 89_999)]
    assert rates == pytest.approx([2e-5, 0.01001, 0.02, 0.02, 2e-3, 2e-4, 2e-4])


def test_half_a_cosine() -> None:
    schedule = ScheduleConfig(iterations=100, warmup_iterations=0, decay="cosine", learning_rate=1.0)
    assert [learning_rate(schedule, step) for step in (0, 50, 100)] == pytest.approx([1, 0.5, 0], abs=1e-9)
