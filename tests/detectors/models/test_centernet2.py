from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from mosaicfusion.detectors.config import Recipe, load_recipe
from mosaicfusion.detectors.data.classes import ClassList, DetectorClass
from mosaicfusion.detectors.registry import build_detector
from mosaicfusion.errors import MosaicFusionError

CLASSES = ClassList(tuple(DetectorClass(k, f"thing {k}") for k in range(1, 5)), "test")
COUNTS = [5, 3, 2, 1]
FULL_SIZE = ["centernet2_r50_4x", "centernet2_swin_b"]


def mini(**settings: Any) -> Recipe:
    return load_recipe("mini_centernet2", {"data": {"test_side_px": 64, "max_side_px": 96}} | settings)


def build(recipe: Recipe, **inputs: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_detector(recipe, CLASSES, image_counts=COUNTS, load_weights=False, **inputs)


def make_sample(height: int, width: int, *shapes: tuple[int, tuple[int, int, int]]) -> tuple[Tensor, dict[str, Tensor]]:
    """An image of squares (odd labels) and discs (even ones) by colour; ``shapes``: label, (x, y, half of the side)."""
    image = torch.full((3, height, width), 0.5)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    masks = torch.zeros(len(shapes), height, width, dtype=torch.uint8)
    for mask, (label, (cx, cy, r)) in zip(masks, shapes, strict=True):
        square = ((x - cx).abs() < r) & ((y - cy).abs() < r)
        inside = square if label % 2 else (x - cx) ** 2 + (y - cy) ** 2 < r * r
        mask[inside] = 1
        image[:, inside] = torch.tensor([label & 1, label >> 1 & 1, label >> 2]).float()[:, None]
    boxes = torch.tensor([(cx - r, cy - r, cx + r, cy + r) for _, (cx, cy, r) in shapes], dtype=torch.float32)
    labels = torch.tensor([label for label, _ in shapes], dtype=torch.int64)
    return image, {
        "boxes": boxes.reshape(-1, 4),
        "labels": labels,
        "masks": masks,
        "not_exhaustive": torch.tensor([4]),
        "negative": torch.tensor([], dtype=torch.int64),
    }


def check_training(model: nn.Module) -> None:
    """One step on two images, one of them without objects."""
    samples = [make_sample(64, 96, (1, (30, 30, 16)), (2, (70, 30, 20))), make_sample(64, 96)]
    images, targets = (list(part) for part in zip(*samples, strict=True))
    losses = model.train()(images, targets)
    assert all(value.isfinite() for value in losses.values())
    sum(losses.values()).backward()
    without = [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert without == []


def check_step(model: nn.Module) -> None:
    """One step of training and one of evaluation, on different image sizes."""
    check_training(model)
    with torch.no_grad():
        found = model.eval()([torch.rand(3, 80, 120), torch.rand(3, 100, 50)])
    for result, (high, wide) in zip(found, [(80, 120), (100, 50)], strict=True):
        count = len(result["boxes"])
        assert count <= model.roi_heads.detections
        assert result["masks"].shape == (count, 1, high, wide)
        assert result["labels"].shape == result["scores"].shape == (count,)
        assert torch.equal(result["scores"], result["scores"].sort(descending=True).values)
        if count:
            assert result["masks"].min() >= 0 and result["masks"].max() <= 1
            assert result["labels"].min() >= 1 and result["labels"].max() <= len(CLASSES)
            assert (result["boxes"] >= 0).all() and (
                result["boxes"] <= torch.tensor([wide, high, wide, high]) + 1e-3
            ).all()


def test_the_mini_recipe_trains_and_detects() -> None:
    check_step(build(mini(heads={"score_threshold": 0.0, "detections": 9})))


def test_text_embeddings_classify_and_are_not_trained() -> None:
    embeddings = torch.randn(len(CLASSES), 8, generator=torch.Generator().manual_seed(0))
    model = build(mini(classifier={"kind": "text", "temperature": 0.02}), text_embeddings=embeddings)
    check_training(model)
    for stage in model.roi_heads.stages:
        torch.testing.assert_close(stage.classifier.embeddings, nn.functional.normalize(embeddings, dim=1))
    assert not any("embeddings" in name for name, _ in model.named_parameters())


def test_a_batch_of_empty_images_trains() -> None:
    model = build(mini()).train()
    images, targets = zip(make_sample(64, 96), make_sample(64, 96), strict=True)
    losses = model(list(images), list(targets))
    assert losses["loss_mask"] == losses["loss_proposal_box"] == 0
    sum(losses.values()).backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in trained)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": {"kind": "softmax", "federated": False}}, "loss.kind=sigmoid"),
        ({"heads": {"class_agnostic_masks": False}}, "class_agnostic_masks"),
        ({"backbone": {"channels": 48}}, "channels=48"),
        ({"classifier": {"kind": "text"}}, "text embeddings"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MosaicFusionError, match=message):
        build(mini(**settings))


def test_recipes_have_the_settings_of_the_papers() -> None:
    for name in FULL_SIZE:
        recipe = load_recipe(name)
        assert recipe.heads.proposals_train == (4000, 2000)
        assert recipe.heads.proposals_test == (1000, 256)
        assert recipe.heads.detections == 300
        assert (recipe.loss.federated, recipe.loss.federated_classes, recipe.loss.federated_power) == (True, 50, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL_SIZE)
def test_the_full_size_recipes_train_and_detect(name: str) -> None:
    few = {"detections": 5}  # masks are what takes time
    recipe = load_recipe(name, {"heads": few, "data": {"test_side_px": 64, "max_side_px": 96}})
    check_step(build(recipe, text_embeddings=torch.randn(len(CLASSES), 512)))


@pytest.mark.slow
def test_two_images_are_memorised() -> None:
    """Start from ImageNet's EfficientNet-Lite0, which comes in a wheel."""
    torch.manual_seed(0)
    recipe = load_recipe("mini_centernet2", {"data": {"test_side_px": 128}})
    model = build_detector(recipe, CLASSES, image_counts=COUNTS).train()
    samples = [make_sample(128, 128, (1, (40, 40, 20)), (2, (90, 80, 28))), make_sample(128, 128, (3, (70, 60, 40)))]
    images, targets = (list(part) for part in zip(*samples, strict=True))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        sum(model(images, targets).values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    with torch.no_grad():
        found = model.eval()(images)
    for result, target in zip(found, targets, strict=True):
        count = len(target["labels"])
        assert sorted(result["labels"][:count].tolist()) == target["labels"].tolist()
        best = result["labels"][:count].argsort()
        assert result["scores"][:count].min() > 0.5
        assert box_iou(result["boxes"][best], target["boxes"]).diag().min() > 0.75
        masks, true = result["masks"][best, 0] > 0.5, target["masks"] > 0
        iou = (masks & true).sum((1, 2)) / (masks | true).sum((1, 2))
        assert iou.min() > 0.75
