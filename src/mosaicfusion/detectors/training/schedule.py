"""Optimizer and learning-rate schedule of a recipe."""

from __future__ import annotations

import math

import torch
from torch import nn

from mosaicfusion.detectors.config import ScheduleConfig

_BODY = "backbone.body."  # prefix of its parameters in all detectors


def learning_rate(schedule: ScheduleConfig, step: int) -> float:
    """Learning rate of a step, counted from 0: linear warm-up, then a tenth at each of ``steps`` or half a cosine down to 0."""
    progress = min(1.0, step / max(1, schedule.warmup_iterations))
    warmup = schedule.warmup_factor + (1 - schedule.warmup_factor) * progress if schedule.warmup_iterations else 1.0
    if schedule.decay == "step":
        decay = 0.1 ** sum(step >= milestone for milestone in schedule.steps)
    else:
        decay = 0.5 * (1 + math.cos(math.pi * step / schedule.iterations))
    return schedule.learning_rate * warmup * decay


def make_optimizer(schedule: ScheduleConfig, model: nn.Module) -> torch.optim.Optimizer:
    """SGD or AdamW over the parameters that are not frozen; its rate is set by :func:`set_learning_rate` before every step."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    body = [parameter for name, parameter in trained.items() if name.startswith(_BODY)]
    others = [parameter for name, parameter in trained.items() if not name.startswith(_BODY)]
    rates = ((others, 1.0), (body, schedule.backbone_rate))
    groups = [{"params": parameters, "times": times} for parameters, times in rates if parameters]
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    return torch.optim.SGD(
        groups, lr=schedule.learning_rate, momentum=schedule.momentum, weight_decay=schedule.weight_decay
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of the heads and the pyramid to ``rate``, and that of the backbone's body to its share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["times"]
