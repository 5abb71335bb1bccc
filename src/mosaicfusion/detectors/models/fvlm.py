"""F-VLM (Kuo et al. 2023): Mask R-CNN's heads on a frozen CLIP, whose scores are combined with the heads' at test time.

CLIP's ResNet gives the feature maps, and its attention pool embeds any region like an image. Both scores of a region, the
trained head's and CLIP's, are softmaxes of cosines to the same text embeddings.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops import roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from mosaicfusion.detectors.config import FVLMConfig, Recipe
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.models.backbones import PyramidBackbone
from mosaicfusion.detectors.models.losses import SoftmaxLoss
from mosaicfusion.detectors.models.mask_rcnn import MaskRCNNRoIHeads, assemble, check_anchors
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.clip import load_clip

_CLIP_MAP = "clip"  # the last feature map among the levels of the pyramid
_STRIDE_PX = 32
_STAGES = {4: 1, 8: 2, 16: 3, 32: 4}  # of the ResNet, by stride
_REGIONS = 64  # pooled at a time; a region of RN50x64 takes 40 MB


class FrozenResNet(nn.Module):
    """The stem and the stages of CLIP's ResNet; frozen, including the statistics of its batch norms."""

    def __init__(self, resnet: Any, strides: Sequence[int] = (4, 8, 16, 32)) -> None:
        super().__init__()
        self.resnet = resnet.requires_grad_(False)
        self.stages = [_STAGES[stride] for stride in strides]
        self.channels = [getattr(resnet, f"layer{k}")[-1].conv3.out_channels for k in self.stages]

    def train(self, mode: bool = True) -> FrozenResNet:
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """float32 (B, 3, H, W), normalised for CLIP -> feature maps "0", "1", ... of the strides."""
        outputs = self.resnet.forward_intermediates(images, indices=self.stages, intermediates_only=True)
        return OrderedDict((str(k), level) for k, level in enumerate(outputs["image_intermediates"]))


class ClipPyramid(PyramidBackbone):
    """A feature pyramid on the frozen ResNet, plus the ResNet's last feature map, unchanged, under the name ``clip``."""

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """float32 (B, 3, H, W), normalised -> the levels "0", "1", ..., "pool" and "clip"."""
        maps = self.body(images)
        levels: OrderedDict[str, Tensor] = self.fpn(maps)
        levels[_CLIP_MAP] = list(maps.values())[-1]
        return levels


class RegionEncoder(nn.Module):
    """CLIP's image embeddings of regions: its attention pool on crops of the feature map, at the pool's training size."""

    def __init__(self, attention_pool: Any) -> None:
        super().__init__()
        self.pool = attention_pool.requires_grad_(False)
        self.side = math.isqrt(len(attention_pool.positional_embedding) - 1)

    @torch.no_grad()
    def forward(self, features: Tensor, boxes_xyxy: list[Tensor]) -> Tensor:
        """Features float (B, F, H, W) at stride 32, boxes float (n, 4) px of each image -> float32 (sum of n, D) of length 1."""
        # sampling_ratio=0: one sample per feature cell in a bin, so a box of the training size reproduces the map exactly.
        crop = partial(roi_align, output_size=self.side, spatial_scale=1 / _STRIDE_PX, sampling_ratio=0, aligned=True)
        vectors = [
            self.pool(crop(features[k : k + 1], [chunk]))
            for k, boxes in enumerate(boxes_xyxy)
            for chunk in torch.split(boxes, _REGIONS)
        ]
        return F.normalize(torch.cat(vectors).float(), dim=-1)


class SeenClassesLoss(SoftmaxLoss):
    """Cross-entropy over the background and the classes with training images.

    ``background_weight``: weight of a background region; objects have 1. ``seen``: bool (C,). Unseen classes are left out:
    training would push all regions away from their text embeddings.
    """

    seen: Tensor

    def __init__(self, background_weight: float, seen: Tensor) -> None:
        super().__init__()
        self.background_weight = background_weight
        self.register_buffer("seen", seen)

    def forward(self, logits: Tensor, labels: Tensor, ignored: Tensor | None = None) -> Tensor:
        """Logits float (N, 1 + C), labels int64 (N,) in 0..C of seen classes -> weighted mean, a scalar."""
        if not len(labels):
            return logits.sum() * 0
        weights = torch.ones(logits.shape[1], device=logits.device)
        weights[0] = self.background_weight
        unseen = F.pad(~self.seen, (1, 0))  # column 0 is the background, always seen
        return F.cross_entropy(logits.float().masked_fill(unseen, -torch.inf), labels, weights)


class FVLMRoIHeads(MaskRCNNRoIHeads):
    """Mask R-CNN's second stage with scores combined with CLIP's at test time."""

    clip_weights: Tensor

    def __init__(
        self, *args: Any, encoder: RegionEncoder, clip_weights: Tensor, temperature: float, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.encoder, self.temperature = encoder, temperature
        self.register_buffer("clip_weights", clip_weights)

    def scores(self, logits: Tensor, features: dict[str, Tensor], proposals: list[Tensor]) -> Tensor:
        """Logits of the regions, float (N, 1 + C) -> scores, float (N, C)."""
        texts = self.box_predictor.classifier.anchors()  # (1 + C, D), the learned background first
        regions = self.encoder(features[_CLIP_MAP], proposals)
        clip = (regions @ texts.T / self.temperature).softmax(dim=-1)[:, 1:]
        return combine(self.loss.scores(logits), clip, self.clip_weights)


def combine(detector: Tensor, clip: Tensor, clip_weights: Tensor) -> Tensor:
    """Geometric mean z^(1 - w) c^w of probabilities z and c, float (N, C), with weights w, float (C,) (section 3.4)."""
    return detector ** (1 - clip_weights) * clip**clip_weights


def build(
    recipe: Recipe,
    classes: ClassList,
    text_embeddings: Tensor | None = None,
    image_counts: Sequence[int] | None = None,
    load_weights: bool = True,
) -> GeneralizedRCNN:
    """F-VLM of a recipe, see :class:`mosaicfusion.detectors.registry.Builder`.

    ``text_embeddings`` must come from the same CLIP model. Rare classes are novel: their score is weighted towards CLIP's.
    Classes without a training image are left out of the loss. The CLIP model is loaded even without ``load_weights``,
    because only its folder tells its architecture.
    """
    check_anchors(recipe)
    config, resnet = recipe.fvlm, load_resnet(clip_of(recipe))
    encoder = RegionEncoder(resnet.attnpool)
    resnet.attnpool = nn.Identity()  # the heads own it
    width = encoder.pool.c_proj.out_features
    if text_embeddings is not None and text_embeddings.shape[-1] != width:
        raise MosaicFusionError(
            f"the text embeddings have {text_embeddings.shape[-1]} values, those of {recipe.backbone.name} {width}; make "
            f"them with `mosaicfusion embed-text --clip {recipe.backbone.clip}`"
        )
    body = FrozenResNet(resnet, recipe.backbone.strides)
    backbone = ClipPyramid(
        body, body.channels, recipe.backbone.channels, LastLevelMaxPool(), (resnet.image_mean, resnet.image_std)
    )
    seen = torch.ones(len(classes), dtype=torch.bool) if image_counts is None else torch.as_tensor(image_counts) > 0
    detector = assemble(
        recipe,
        backbone,
        SeenClassesLoss(config.background_weight, seen),
        len(classes),
        text_embeddings,
        FVLMRoIHeads,
        encoder=encoder,
        clip_weights=weights_of(config, len(classes), classes.labels_of("r")),
        temperature=config.clip_temperature,
    )
    detector.rpn.register_forward_pre_hook(_without_clip_map)
    return detector


def clip_of(recipe: Recipe) -> str:
    """The CLIP model of a recipe; raises :class:`MosaicFusionError` for settings that F-VLM cannot use."""
    if recipe.backbone.clip is None:
        raise MosaicFusionError(
            "fvlm's backbone is a CLIP ResNet, such as backbone.name=clip/RN50:openai or clip/mini; "
            f"got {recipe.backbone.name!r:.80}"
        )
    if recipe.classifier.kind != "text" or recipe.loss.kind != "softmax":
        raise MosaicFusionError(
            "fvlm takes a softmax over text embeddings; set classifier.kind=text, loss.kind=softmax"
        )
    return recipe.backbone.clip


def load_resnet(name: str) -> Any:
    """The image tower of a CLIP model; raises :class:`MosaicFusionError` unless it is a ResNet."""
    tower = load_clip(name, "cpu").image_tower
    if not hasattr(tower, "attnpool") or not hasattr(tower, "layer4"):
        raise MosaicFusionError(
            f"the CLIP model {name!r:.80} has the image tower {type(tower).__name__}; fvlm needs a ResNet, such as "
            "RN50:openai or mini"
        )
    return tower


def weights_of(config: FVLMConfig, num_classes: int, novel: Sequence[int]) -> Tensor:
    """float32 (C,): weight of CLIP's score for each class; ``novel``: labels in 1..C."""
    weights = torch.full((num_classes,), config.base_clip_weight)
    weights[torch.tensor(novel, dtype=torch.int64) - 1] = config.novel_clip_weight
    return weights


def _without_clip_map(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    images, features, *targets = inputs
    return (images, OrderedDict((name, level) for name, level in features.items() if name != _CLIP_MAP), *targets)
