"""Losses, compared with values by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mosaicfusion.detectors.config import LossConfig
from mosaicfusion.detectors.models.losses import (
    SigmoidLoss,
    SoftmaxLoss,
    build_loss,
    not_exhaustive_classes,
    sample_classes,
)
from mosaicfusion.errors import MosaicFusionError

LOG2 = math.log(2)


def test_softmax_of_two_classes_and_the_background() -> None:
    loss = SoftmaxLoss()
    logits = torch.tensor([[0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0]])
    assert loss(logits, torch.tensor([1, 0])).item() == pytest.approx((math.log(3) + LOG2) / 2)
    assert loss.scores(logits)[1].tolist() == pytest.approx([0.25, 0.25])
    assert loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).item() == 0


def test_sigmoid_sums_classes_and_averages_regions() -> None:
    loss = SigmoidLoss()
    logits = torch.zeros(2, 3)
    assert loss(logits, torch.tensor([2, 0])).item() == pytest.approx(3 * LOG2)
    assert loss.scores(logits).tolist() == [[0.5] * 3] * 2


def test_a_right_label_pulls_its_own_column() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    SigmoidLoss()(logits, torch.tensor([2])).backward()
    assert logits.grad is not None
    assert (logits.grad < 0).tolist() == [[False, True, False]]


def test_classes_outside_of_the_sample_get_no_gradient() -> None:
    logits = torch.zeros(2, 4, requires_grad=True)
    # Class 3 is in the batch; of the others only class 1 has training images, so only it can be sampled.
    SigmoidLoss([7, 0, 2, 0], count=3)(logits, torch.tensor([3, 0])).backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(0) > 0).tolist() == [True, False, True, False]


def test_classes_of_the_batch_count_beyond_the_sample() -> None:
    chosen = sample_classes(torch.tensor([1, 2, 3, 0, 2]), torch.ones(5), count=2)
    assert chosen.tolist() == [True, True, True, False, False]


def test_common_classes_are_sampled_more_often() -> None:
    torch.manual_seed(0)
    weights = torch.tensor([100.0, 1.0, 1.0]) ** 0.5
    times = sum(sample_classes(torch.tensor([0]), weights, 1).float() for _ in range(300))
    assert isinstance(times, torch.Tensor)
    assert times.sum() == 300
    assert (times / 300)[0].item() == pytest.approx(10 / 12, abs=0.1)


def test_a_class_that_may_be_unlabelled_is_no_negative_but_still_a_positive() -> None:
    targets = [{"labels": torch.tensor([1]), "not_exhaustive": torch.tensor([1, 3])}, {"labels": torch.tensor([2])}]
    ignored = not_exhaustive_classes(targets, [2, 1], 3)
    assert ignored.tolist() == [[True, False, True]] * 2 + [[False] * 3]
    logits = torch.zeros(3, 3, requires_grad=True)
    SigmoidLoss()(logits, torch.tensor([1, 0, 0]), ignored).backward()
    assert logits.grad is not None
    assert (logits.grad.abs() > 0).tolist() == [[True, True, False], [False, True, False], [True, True, True]]


def test_the_federated_loss_needs_counts() -> None:
    config = LossConfig(kind="sigmoid", federated=True)
    with pytest.raises(MosaicFusionError, match=r"loss\.federated=false"):
        build_loss(config)
    assert build_loss(config, [1, 2]).background is False
    assert build_loss(LossConfig()).background is True
