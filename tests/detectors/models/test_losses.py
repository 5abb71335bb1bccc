"""Losses, compared with values by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import maskrcnn_loss

from mosaicfusion.detectors.config import LossConfig
from mosaicfusion.detectors.models.losses import (
    SigmoidLoss,
    SoftmaxLoss,
    build_loss,
    mask_loss,
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


REGIONS = torch.tensor([[4.0, 4, 36, 28], [2, 6, 33, 30], [5, 3, 36, 28]])


def regions_and_masks(uncertain: bool = True) -> tuple[Tensor, list[Tensor], list[dict[str, Tensor]], list[Tensor]]:
    """Logits of three regions, two of the first image, and targets of an object whose edge is uncertain by 2 px."""
    masks, edges = torch.zeros(1, 32, 40, dtype=torch.uint8), torch.zeros(1, 32, 40, dtype=torch.uint8)
    masks[:, 6:26, 8:34] = 1
    edges[:, 4:28, 6:36] = 1
    edges[:, 8:24, 10:32] = 0
    logits = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    targets = [{"masks": masks, "uncertain": edges}, {"masks": masks, "uncertain": torch.zeros_like(edges)}]
    if not uncertain:
        targets = [{"masks": target["masks"]} for target in targets]
    return logits, [REGIONS[:2], REGIONS[2:]], targets, [torch.tensor([0, 0]), torch.tensor([0])]


def loss_of_masks(
    logits: Tensor, boxes: list[Tensor], targets: list[dict[str, Tensor]], matched: list[Tensor]
) -> Tensor:
    return mask_loss(logits, boxes, targets, [torch.zeros(1, dtype=torch.int64)] * 2, matched)


def test_the_loss_of_certain_masks_is_mask_r_cnns_to_the_bit() -> None:
    logits, boxes, targets, matched = regions_and_masks(uncertain=False)
    channels = [torch.zeros(1, dtype=torch.int64)] * 2
    expected = maskrcnn_loss(logits, boxes, [target["masks"] for target in targets], channels, matched)
    assert torch.equal(loss_of_masks(logits, boxes, targets, matched), expected)
    nowhere = [{**target, "uncertain": torch.zeros_like(target["masks"])} for target in targets]
    torch.testing.assert_close(loss_of_masks(logits, boxes, nowhere, matched), expected)


def test_uncertain_pixels_do_not_count_and_others_do() -> None:
    logits, boxes, targets, matched = regions_and_masks()
    before = loss_of_masks(logits, boxes, targets, matched)
    mask, edge = targets[0]["masks"], targets[0]["uncertain"].bool()
    noise = torch.randint(2, mask.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    within = [{**targets[0], "masks": torch.where(edge, noise, mask)}, targets[1]]
    torch.testing.assert_close(loss_of_masks(logits, boxes, within, matched), before, rtol=0, atol=1e-6)
    outside = [{**targets[0], "masks": torch.where(edge, mask, noise)}, targets[1]]
    assert abs(loss_of_masks(logits, boxes, outside, matched) - before) > 1e-3


def test_gradients_of_real_masks_are_the_same_beside_synthetic_ones() -> None:
    gradients = []
    for uncertain in (True, False):
        logits, boxes, targets, matched = regions_and_masks(uncertain)
        loss_of_masks(logits.requires_grad_(), boxes, targets, matched).backward()
        assert logits.grad is not None
        gradients.append(logits.grad)
    torch.testing.assert_close(gradients[0][2], gradients[1][2])
    counted = gradients[0][:2] != 0
    assert 0.5 < counted.float().mean() < 0.9
    assert not torch.equal(gradients[0][:2], gradients[1][:2])


def test_without_a_region_no_mask_is_learned() -> None:
    _, _, targets, _ = regions_and_masks()
    none = [torch.zeros(0, dtype=torch.int64)] * 2
    assert loss_of_masks(torch.zeros(0, 1, 28, 28), [REGIONS[:0]] * 2, targets, none).item() == 0
