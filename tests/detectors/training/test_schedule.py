"""The learning rate, step by step."""

from __future__ import annotations

import pytest
from torch import nn

from mosaicfusion.detectors.config import ScheduleConfig
from mosaicfusion.detectors.training.schedule import learning_rate, make_optimizer, set_learning_rate


def test_the_papers_steps() -> None:
    schedule = ScheduleConfig()
    rates = [learning_rate(schedule, step) for step in (0, 500, 1000, 59_999, 60_000, 80_000, 89_999)]
    assert rates == pytest.approx([2e-5, 0.01001, 0.02, 0.02, 2e-3, 2e-4, 2e-4])


def test_half_a_cosine() -> None:
    schedule = ScheduleConfig(iterations=100, warmup_iterations=0, decay="cosine", learning_rate=1.0)
    assert [learning_rate(schedule, step) for step in (0, 50, 100)] == pytest.approx([1, 0.5, 0], abs=1e-9)


def test_the_backbone_may_learn_slower() -> None:
    model = nn.ModuleDict({"backbone": nn.ModuleDict({"body": nn.Linear(1, 1), "fpn": nn.Linear(1, 1)})})
    optimizer = make_optimizer(ScheduleConfig(backbone_rate=0.1), model)
    set_learning_rate(optimizer, 0.5)
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    found = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    assert found == pytest.approx(
        {"backbone.body.weight": 0.05, "backbone.body.bias": 0.05, "backbone.fpn.weight": 0.5, "backbone.fpn.bias": 0.5}
    )
