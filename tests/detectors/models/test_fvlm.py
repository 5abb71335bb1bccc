"""F-VLM: frozen parts, combined scores, and the region of a whole image, which equals the image for CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.tiny_clip import save_clip
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from mosaicfusion.detectors.config import FVLMConfig, Recipe, load_recipe
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.data.dataset import DetectionDataset
from mosaicfusion.detectors.models.fvlm import RegionEncoder, SeenClassesLoss, combine, load_resnet, weights_of
from mosaicfusion.detectors.registry import build_detector
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.clip import load_clip

IMAGE = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
SMALL = {
    "heads": {"box_features": 16, "mask_layers": [8], "rois_per_image": 16, "anchor_sizes_px": [8, 16, 24, 32, 48]},
    "data": {"test_side_px": 48, "max_side_px": 64, "jitter_side_px": 64},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip") / "model", side_px=96)


@pytest.fixture(scope="module")
def classes(tiny_lvis: Path) -> ClassList:
    return ClassList.open(tiny_lvis / "train.json")


@pytest.fixture(scope="module")
def batch(tiny_lvis: Path) -> tuple[list[Tensor], list[dict[str, Any]]]:
    samples = DetectionDataset(tiny_lvis / "train.json", tiny_lvis / "images")
    pairs = [samples[k] for k in range(2)]
    return [image.float() / 255 for image, _ in pairs], [target for _, target in pairs]


def recipe(clip: Path, name: str = "mini_fvlm", **changes: Any) -> Recipe:
    backbone = {"name": f"clip/{clip}", "channels": 16, "strides": [4, 8, 16, 32]}
    return load_recipe(name, {**SMALL, "backbone": backbone, **changes})


def texts(count: int = 3, width: int = 16) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(1)), dim=-1)


def normalised(image: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Image uint8 (H, W, 3) -> float32 (1, 3, H, W), normalised for CLIP."""
    pixels = torch.from_numpy(image).permute(2, 0, 1) / 255
    return ((pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None])[None]


def frozen_part(model: GeneralizedRCNN) -> dict[str, Tensor]:
    """Parameters and buffers of CLIP: ResNet with batch norm's statistics, and attention pool."""
    state = model.state_dict()
    return {
        name: value.clone()
        for name, value in state.items()
        if name.startswith(("backbone.body.", "roi_heads.encoder."))
    }


@pytest.mark.parametrize("name", ["mini_fvlm", "fvlm_r50", "fvlm_r50x64"])
def test_a_step_of_every_recipe_trains_all_but_clip(
    name: str, clip: Path, classes: ClassList, batch: tuple[list[Tensor], list[dict[str, Any]]]
) -> None:
    torch.manual_seed(0)
    model = build_detector(recipe(clip, name), classes, texts())
    before = frozen_part(model)
    assert any("running_mean" in key for key in before)
    assert any("pool" in key for key in before)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(2):
        losses = model.train()(*batch)
        assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"}
        assert all(loss.isfinite() for loss in losses.values())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    learning = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learning == {name for name, _ in model.named_parameters() if name not in before}
    assert {"roi_heads.box_predictor.classifier.background", "backbone.fpn.inner_blocks.0.0.weight"} <= learning
    assert "roi_heads.box_predictor.classifier.log_temperature" in learning
    after = frozen_part(model)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert not [module for module in model.backbone.body.modules() if module.training]


def test_detections_have_boxes_labels_scores_and_masks(
    clip: Path, classes: ClassList, batch: tuple[list[Tensor], list[dict[str, Any]]]
) -> None:
    torch.manual_seed(0)
    model = build_detector(recipe(clip), classes, texts()).eval()
    with torch.no_grad():
        found = model(batch[0])
    assert len(found) == 2
    for image, detections in zip(batch[0], found, strict=True):
        count = len(detections["scores"])
        assert 0 < count <= 300
        assert detections["boxes"].shape == (count, 4)
        assert detections["masks"].shape == (count, 1, *image.shape[1:])
        assert set(detections["labels"].tolist()) <= {1, 2, 3}
        assert ((detections["scores"] > 0) & (detections["scores"] <= 1)).all()


def test_an_image_without_objects(clip: Path, classes: ClassList) -> None:
    torch.manual_seed(0)
    model = build_detector(recipe(clip), classes, texts())
    target = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 48, 64, dtype=torch.uint8),
    }
    losses = model.train()([torch.rand(3, 48, 64)], [target])
    assert all(loss.isfinite() for loss in losses.values())


class TestScores:
    def test_the_geometric_mean_by_hand(self) -> None:
        """A base class: z^0.65 c^0.35. A novel one: z^0.35 c^0.65."""
        weights = weights_of(FVLMConfig(), 3, novel=[2])
        assert weights.tolist() == pytest.approx([0.35, 0.65, 0.35])
        detector, of_clip = torch.tensor([[0.25, 0.25, 0.0]]), torch.tensor([[0.81, 0.81, 0.9]])
        assert combine(detector, of_clip, weights)[0].tolist() == pytest.approx(
            [0.25**0.65 * 0.81**0.35, 0.25**0.35 * 0.81**0.65, 0]
        )
        half = torch.tensor([0.5, 0.5, 0.5])
        assert combine(detector, of_clip, half)[0].tolist() == pytest.approx([0.45, 0.45, 0])

    def test_rare_categories_are_the_novel_ones(self, clip: Path, classes: ClassList) -> None:
        model = build_detector(recipe(clip), classes, texts())
        assert [one.frequency for one in classes.classes] == ["f", "c", "r"]
        assert model.roi_heads.clip_weights.tolist() == pytest.approx([0.35, 0.35, 0.65])

    def test_the_whole_image_as_a_region_is_the_image_to_clip(self, clip: Path) -> None:
        """An image of CLIP's own size; smaller boxes have other embeddings."""
        model = load_clip(str(clip), "cpu")
        tower = model.image_tower
        with torch.no_grad():
            tower.train()
            for _ in range(20):  # else batch norm has no statistics, and to random weights all images are alike
                tower(torch.randn(8, 3, 96, 96))
            tower.eval()
            (features,) = tower.forward_intermediates(
                normalised(IMAGE, tower.image_mean, tower.image_std), indices=[4], intermediates_only=True
            )["image_intermediates"]
        whole, part = RegionEncoder(tower.attnpool)(features, [torch.tensor([[0.0, 0, 96, 96], [0, 0, 48, 60]])])
        expected = torch.from_numpy(model.encode_images([IMAGE])[0])
        assert torch.allclose(whole, expected, atol=1e-5)
        assert not torch.allclose(part, expected, atol=1e-3)

    def test_score_combines_clip_and_detector(self, clip: Path, classes: ClassList) -> None:
        """With all weight on CLIP the score of the whole image is CLIP's softmax over the vocabulary and the background."""
        embeddings = texts()
        all_clip = {"base_clip_weight": 1, "novel_clip_weight": 1, "clip_temperature": 0.05}
        model = build_detector(recipe(clip, fvlm=all_clip), classes, embeddings).eval()
        with torch.no_grad():
            features = model.backbone(normalised(IMAGE, model.transform.image_mean, model.transform.image_std))
            scores = model.roi_heads.scores(torch.randn(1, 4), features, [torch.tensor([[0.0, 0, 96, 96]])])
        background = nn.functional.normalize(model.roi_heads.box_predictor.classifier.background.detach(), dim=-1)
        vector = torch.from_numpy(load_clip(str(clip), "cpu").encode_images([IMAGE]))
        expected = (vector @ torch.cat([background, embeddings]).T / 0.05).softmax(-1)[:, 1:]
        assert torch.allclose(scores, expected, atol=1e-4)

    def test_regions_of_several_images_keep_their_order(self, clip: Path) -> None:
        encoder = RegionEncoder(load_resnet(str(clip)).attnpool)
        features = torch.randn(2, 256, 4, 5)
        boxes = [torch.rand(n, 4) * 40 + torch.tensor([0.0, 0.0, 60.0, 60.0]) for n in (3, 70)]
        together = encoder(features, boxes)
        assert together.shape == (73, 16)
        assert torch.allclose(together[:3], encoder(features[:1], boxes[:1]), atol=1e-5)
        assert torch.allclose(together[3:], encoder(features[1:], boxes[1:]), atol=1e-5)
        assert encoder(features[:1], [torch.zeros(0, 4)]).shape == (0, 16)


class TestLoss:
    def test_the_background_counts_less(self) -> None:
        """Cross-entropies ln 2 of an object and ln 4 of a background region, weights 1 and 0.5: (ln 2 + ln 4 / 2) / 1.5."""
        logits = torch.tensor([[0.0, 0.0], [0.0, np.log(3)]])
        loss = SeenClassesLoss(0.5, torch.tensor([True]))(logits, torch.tensor([1, 0]))
        assert loss.item() == pytest.approx(2 / 1.5 * np.log(2), abs=1e-6)

    def test_no_regions(self) -> None:
        loss = SeenClassesLoss(0.9, torch.tensor([True]))(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
        assert loss.item() == 0

    def test_a_class_without_training_images_is_left_out(self) -> None:
        """With and without a column for it the loss is the same, and it has no gradient."""
        logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
        labels = torch.tensor([0, 1, 3, 3, 0])
        loss = SeenClassesLoss(0.9, torch.tensor([True, False, True]))(logits, labels)
        without = SeenClassesLoss(0.9, torch.tensor([True, True]))(logits[:, [0, 1, 3]], labels.clamp(max=2))
        assert loss.item() == pytest.approx(without.item())
        loss.backward()
        assert logits.grad is not None
        assert not logits.grad[:, 2].any()
        assert logits.grad[:, [0, 1, 3]].all()

    def test_seen_classes_are_stored_with_the_weights(self, clip: Path, classes: ClassList) -> None:
        trained = build_detector(recipe(clip), classes, texts(), image_counts=[8, 3, 0])
        assert trained.roi_heads.loss.seen.tolist() == [True, True, False]
        loaded = build_detector(recipe(clip), classes, texts(), image_counts=[1, 1, 1], load_weights=False)
        loaded.load_state_dict(trained.state_dict())
        assert loaded.roi_heads.loss.seen.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("changes", "embeddings", "message"),
    [
        (
            {"backbone": {"name": "resnet50", "strides": [4, 8, 16, 32]}},
            texts(),
            r"backbone is a CLIP ResNet, .* got 'resnet50'",
        ),
        ({"classifier": {"kind": "linear"}}, texts(), "softmax over text embeddings"),
        ({"loss": {"kind": "sigmoid"}}, texts(), "softmax over text embeddings"),
        ({}, texts(width=8), "the text embeddings have 8 values, those of clip/.* 16"),
        ({}, texts(count=4), r"shape \(4, 16\) do not fit 3 categories"),
        ({}, None, "needs text embeddings"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    clip: Path, classes: ClassList, changes: dict[str, Any], embeddings: Tensor | None, message: str
) -> None:
    with pytest.raises(MosaicFusionError, match=message):
        build_detector(recipe(clip, **changes), classes, embeddings)


def test_a_clip_without_a_resnet_is_refused(tmp_path: Path) -> None:
    clip = save_clip(tmp_path / "vit", transformer=True)
    with pytest.raises(MosaicFusionError, match="has the image tower VisionTransformer; fvlm needs a ResNet") as caught:
        load_resnet(str(clip))
    assert f"the CLIP model {str(clip)!r:.80}" in str(caught.value)


def test_bf16(clip: Path, classes: ClassList, batch: tuple[list[Tensor], list[dict[str, Any]]]) -> None:
    torch.manual_seed(0)
    model = build_detector(recipe(clip), classes, texts())
    with torch.autocast("cpu", torch.bfloat16):
        losses = model.train()(*batch)
        with torch.no_grad():
            found = model.eval()(batch[0])
    assert all(loss.isfinite() for loss in losses.values())
    assert {detections["scores"].dtype for detections in found} == {torch.float32}
    assert {detections["boxes"].dtype for detections in found} == {torch.float32}
