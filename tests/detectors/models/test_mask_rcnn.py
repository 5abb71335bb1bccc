"""Mask R-CNN: one step of every recipe, and boxes and masks with and without classes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mosaicfusion.detectors.config import Recipe, load_recipe, recipe_names
from mosaicfusion.detectors.data.classes import ClassList, DetectorClass
from mosaicfusion.detectors.models.losses import SoftmaxLoss
from mosaicfusion.detectors.models.mask_rcnn import MaskRCNNRoIHeads
from mosaicfusion.detectors.registry import build_detector
from mosaicfusion.errors import MosaicFusionError

CLASSES = ClassList(tuple(DetectorClass(10 * k, f"thing {k}", "rcf"[k % 3]) for k in range(1, 5)), "test")
SMALL = {"proposals_train": [50, 20], "proposals_test": [20, 10], "rois_per_image": 16}
_LARGE = ("lvis_r101", "lvis_r50_federated")
RECIPES = [
    pytest.param(name, marks=pytest.mark.slow if name in _LARGE else ())
    for name in recipe_names()
    if load_recipe(name).detector == "mask_rcnn"
]


def build(name: str, **heads: Any) -> tuple[nn.Module, Recipe]:
    torch.manual_seed(0)
    recipe = load_recipe(name, {"data": {"test_side_px": 64, "max_side_px": 64}, "heads": {**SMALL, **heads}})
    return build_detector(recipe, CLASSES, image_counts=[4, 3, 2, 1], load_weights=False), recipe


def target(labels: list[int]) -> dict[str, Tensor]:
    masks = torch.zeros(len(labels), 64, 64, dtype=torch.uint8)
    for k in range(len(labels)):
        masks[k, 4 + 8 * k : 40, 8:48] = 1
    boxes = torch.tensor([[8, 4 + 8 * k, 48, 40] for k in range(len(labels))], dtype=torch.float32).reshape(-1, 4)
    return {"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64), "masks": masks}


@pytest.mark.parametrize("name", RECIPES)
def test_one_step_of_training_and_one_of_evaluation(name: str) -> None:
    model, recipe = build(name)
    model.train()
    losses = model([torch.rand(3, 64, 64), torch.rand(3, 64, 64)], [target([1, 4]), target([])])
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"}
    assert all(value.isfinite() for value in losses.values())
    sum(losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    model.eval()
    with torch.inference_mode():
        (found,) = model([torch.rand(3, 48, 64)])
    count = len(found["labels"])
    assert found["boxes"].shape == (count, 4)
    assert found["masks"].shape == (count, 1, 48, 64)
    assert set(found["labels"].tolist()) <= {1, 2, 3, 4}
    assert count <= recipe.heads.detections


def test_uncertain_pixels_of_a_mask_do_not_count() -> None:
    model, _ = build("mini_lite0")

    def loss(target: dict[str, Tensor]) -> float:
        torch.manual_seed(1)
        value: Tensor = model.train()([torch.ones(3, 64, 64)], [target])["loss_mask"]
        return value.item()

    certain, uncertain = target([1, 4]), torch.zeros(2, 64, 64, dtype=torch.uint8)
    uncertain[:, :, 20:30] = 1
    changed = {**certain, "masks": certain["masks"] * (1 - uncertain), "uncertain": uncertain}
    assert loss({**certain, "uncertain": uncertain}) == pytest.approx(loss(changed), rel=1e-5)
    assert loss({**certain, "uncertain": uncertain}) < loss(certain)


def test_every_level_needs_an_anchor_size() -> None:
    recipe = load_recipe("lvis_r50", {"backbone": {"strides": [8, 16, 32]}})
    with pytest.raises(MosaicFusionError, match="anchor_sizes_px has 5 sizes for 4 levels"):
        build_detector(recipe, CLASSES, load_weights=False)


def test_an_image_without_a_proposal_shows_nothing() -> None:
    model, _ = build("mini_lite0")
    model.eval().rpn.score_thresh = 2.0
    with torch.inference_mode():
        (found,) = model([torch.rand(3, 48, 64)])
    assert found["boxes"].shape == (0, 4)
    assert found["masks"].shape == (0, 1, 48, 64)


def test_images_without_an_object_are_learned_from() -> None:
    model, _ = build("mini_lite0")
    losses = model.train()([torch.rand(3, 64, 64)], [target([])])
    assert losses["loss_mask"].item() == losses["loss_box_reg"].item() == 0
    assert losses["loss_classifier"].item() > 0


@pytest.mark.parametrize(("agnostic", "outputs"), [(False, 4), (True, 1)])
def test_class_agnostic_predictors_have_one_output(agnostic: bool, outputs: int) -> None:
    model, _ = build("mini_lite0", class_agnostic_boxes=agnostic, class_agnostic_masks=agnostic)
    heads = model.roi_heads
    assert isinstance(heads, MaskRCNNRoIHeads)
    assert heads.box_predictor.offsets.out_features == 4 * outputs
    assert heads.mask_predictor.mask_fcn_logits.out_channels == outputs
    model.train()([torch.rand(3, 64, 64)], [target([3])])


def test_the_offsets_and_masks_of_the_right_class_are_used() -> None:
    model, _ = build("mini_lite0", class_agnostic_boxes=False, class_agnostic_masks=False)
    heads = model.roi_heads
    assert isinstance(heads, MaskRCNNRoIHeads)
    heads.score_thresh = 0.5
    boxes = torch.stack([torch.tensor([10.0 * k, 0.0, 10.0 * k + 8, 8.0]) for k in range(1, 5)])[None]  # one a class
    found = heads._select(boxes, torch.tensor([[0.1, 0.9, 0.2, 0.7]]), (64, 64))
    assert found["labels"].tolist() == [2, 4]
    assert found["boxes"][:, 0].tolist() == [20, 40]


def test_a_class_that_may_be_unlabelled_reaches_the_loss() -> None:
    model, _ = build("mini_lite0")
    seen: list[Tensor] = []

    class Spy(SoftmaxLoss):
        def forward(self, logits: Tensor, labels: Tensor, ignored: Tensor | None = None) -> Tensor:
            assert ignored is not None
            seen.append(ignored)
            return super().forward(logits, labels)

    model.roi_heads.loss = Spy()
    model.train()([torch.rand(3, 64, 64)], [{**target([1]), "not_exhaustive": torch.tensor([3])}])
    assert seen[0].any(0).tolist() == [False, False, True, False]
