"""F-VLM (Kuo et al. 2023): Mask R-CNN's heads on a frozen CLIP, whose own opinion of a region counts at test time.

CLIP's ResNet gives the feature maps, and its attention pool a vector for any region, as if that were an image. Both scores
of a region, the trained head's and CLIP's, are softmaxes of cosines to the same text embeddings.
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
from mosaicfusion.detectors.models.backbones import PyramidBackbone
from mosaicfusion.detectors.models.losses import SoftmaxLoss
from mosaicfusion.detectors.models.mask_rcnn import MaskRCNNRoIHeads, assemble
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.clip import load_clip

_CLIP_MAP = "clip"  # the last feature map among the levels of the pyramid
_STRIDE_PX = 32
_STAGES = {4: 1, 8: 2, 16: 3, 32: 4}  # of the ResNet, by stride
_REGIONS = 64  # pooled together; a region of RN50x64 takes 40 MB


class FrozenResNet(nn.Module):
    """The stem and the stages of CLIP's ResNet, which training leaves as they are, batch norm's statistics too."""

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
        """float32 (B, 3, H, W), normalised as CLIP's -> "0", "1", ... at each of the strides."""
        found = self.resnet.forward_intermediates(images, indices=self.stages, intermediates_only=True)
        return OrderedDict((str(k), level) for k, level in enumerate(found["image_intermediates"]))


class ClipPyramid(PyramidBackbone):
    """A feature pyramid on the frozen ResNet; beside its levels, ``clip`` is the ResNet's last feature map as it is."""

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """float32 (B, 3, H, W), normalised -> the levels "0", "1", ..., "pool" and "clip"."""
        maps = self.body(images)
        levels: OrderedDict[str, Tensor] = self.fpn(maps)
        levels[_CLIP_MAP] = list(maps.values())[-1]
        return levels


class RegionEncoder(nn.Module):
    """CLIP's image embedding of regions: its attention pool on crops of the feature map, in the size the pool was trained at."""

    def __init__(self, attention_pool: Any) -> None:
        super().__init__()
        self.pool = attention_pool.requires_grad_(False)
        self.side = math.isqrt(len(attention_pool.positional_embedding) - 1)

    @torch.no_grad()
    def forward(self, features: Tensor, boxes_xyxy: list[Tensor]) -> Tensor:
        """float (B, F, H, W) at stride 32, an image's boxes float (n, 4) in pixels -> float32 (sum of n, D) of length 1."""
        # As many samples a bin as it has cells, and one where it has fewer: a box of CLIP's own size changes nothing.
        crop = partial(roi_align, output_size=self.side, spatial_scale=1 / _STRIDE_PX, sampling_ratio=0, aligned=True)
        vectors = [
            self.pool(crop(features[k : k + 1], [some]))
            for k, boxes in enumerate(boxes_xyxy)
            for some in torch.split(boxes, _REGIONS)
        ]
        return F.normalize(torch.cat(vectors).float(), dim=-1)


class SeenClassesLoss(SoftmaxLoss):
    """Cross-entropy over the background and the classes that training shows; a region of background counts
    ``background_weight`` times as much as an object.

    ``seen``: bool (C,). A class that is never shown is left out, or training would push its text embedding away from all regions.
    """

    seen: Tensor

    def __init__(self, background_weight: float, seen: Tensor) -> None:
        super().__init__()
        self.background_weight = background_weight
        self.register_buffer("seen", seen)

    def forward(self, logits: Tensor, labels: Tensor, ignored: Tensor | None = None) -> Tensor:
        """float (N, 1 + C), int64 (N,) in 0..C, of classes that are seen -> weighted mean, a scalar."""
        if not len(labels):
            return logits.sum() * 0
        weights = torch.ones(logits.shape[1], device=logits.device)
        weights[0] = self.background_weight
        novel = F.pad(~self.seen, (1, 0))  # the background in column 0 is always there
        return F.cross_entropy(logits.float().masked_fill(novel, -torch.inf), labels, weights)


class FVLMRoIHeads(MaskRCNNRoIHeads):
    """Mask R-CNN's second stage, whose scores at test time are combined with CLIP's."""

    clip_weights: Tensor

    def __init__(
        self, *args: Any, encoder: RegionEncoder, clip_weights: Tensor, temperature: float, **parts: Any
    ) -> None:
        super().__init__(*args, **parts)
        self.encoder, self.temperature = encoder, temperature
        self.register_buffer("clip_weights", clip_weights)

    def scores(self, logits: Tensor, features: dict[str, Tensor], proposals: list[Tensor]) -> Tensor:
        """Logits of the regions, float (N, 1 + C) -> float (N, C)."""
        texts = self.box_predictor.classifier.anchors()  # (1 + C, D), the learned background first
        regions = self.encoder(features[_CLIP_MAP], proposals)
        clip = (regions @ texts.T / self.temperature).softmax(dim=-1)[:, 1:]
        return combine(self.loss.scores(logits), clip, self.clip_weights)


def combine(detector: Tensor, clip: Tensor, clip_weights: Tensor) -> Tensor:
    """Geometric mean z^(1 - w) c^w of probabilities z, c, float (N, C), with weights float (C,) -> float (N, C) (section 3.4)."""
    return detector ** (1 - clip_weights) * clip**clip_weights


def build_fvlm(
    recipe: Recipe,
    num_classes: int,
    image_counts: Sequence[int] | None = None,
    text_embeddings: Tensor | None = None,
    load_weights: bool = True,
    novel: Sequence[int] = (),
) -> GeneralizedRCNN:
    """``num_classes``: C; ``text_embeddings``: float (C, D) of the same CLIP model; ``novel``: labels in 1..C whose score
    is more CLIP's than the head's. ``image_counts``: training images of each class; those without one are left out of the
    training loss. The CLIP is loaded even without ``load_weights``: only its folder says how it is built. In training the
    images come in their final size; in evaluation the model resizes.
    """
    config, resnet = recipe.fvlm, load_resnet(clip_of(recipe))
    encoder = RegionEncoder(resnet.attnpool)
    resnet.attnpool = nn.Identity()  # it belongs to the heads
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
    seen = torch.ones(num_classes, dtype=torch.bool) if image_counts is None else torch.as_tensor(image_counts) > 0
    detector = assemble(
        recipe,
        backbone,
        SeenClassesLoss(config.background_weight, seen),
        num_classes,
        text_embeddings,
        FVLMRoIHeads,
        encoder=encoder,
        clip_weights=weights_of(config, num_classes, novel),
        temperature=config.clip_temperature,
    )
    detector.rpn.register_forward_pre_hook(_without_clip_map)
    return detector


def clip_of(recipe: Recipe) -> str:
    """The CLIP model of an F-VLM recipe; raises :class:`MosaicFusionError` for settings that are not F-VLM's."""
    if recipe.backbone.clip is None:
        raise MosaicFusionError(
            "fvlm's backbone is a CLIP ResNet, as in backbone.name=clip/RN50:openai or clip/mini; "
            f"got {recipe.backbone.name!r:.80}"
        )
    if recipe.classifier.kind != "text" or recipe.loss.kind != "softmax":
        raise MosaicFusionError(
            "fvlm takes a softmax over text embeddings; set classifier.kind=text, loss.kind=softmax"
        )
    return recipe.backbone.clip


def load_resnet(name: str) -> Any:
    """The image tower of a CLIP model, ready to be cut up; raises :class:`MosaicFusionError` for one without a ResNet."""
    tower = load_clip(name, "cpu").image_tower
    if not hasattr(tower, "attnpool") or not hasattr(tower, "layer4"):
        raise MosaicFusionError(
            f"the CLIP model {name!r:.80} sees by a {type(tower).__name__}; fvlm needs one with a ResNet, as RN50:openai or mini"
        )
    return tower


def weights_of(config: FVLMConfig, num_classes: int, novel: Sequence[int]) -> Tensor:
    """float32 (C,): the weight of CLIP's score for each class; ``novel``: labels in 1..C."""
    weights = torch.full((num_classes,), config.base_clip_weight)
    weights[torch.tensor(novel, dtype=torch.int64) - 1] = config.novel_clip_weight
    return weights


def _without_clip_map(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    images, features, *targets = inputs
    return (images, OrderedDict((name, level) for name, level in features.items() if name != _CLIP_MAP), *targets)
