"""CenterNet2 in Detic's box-supervised setting (Zhou, Koltun, Krähenbühl 2021; Zhou et al. 2022).

Class-agnostic CenterNet proposals, three cascaded heads with a sigmoid for each class, class-agnostic boxes and masks, on
P3 to P7 of any backbone, joined by torchvision's ``GeneralizedRCNN``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from mosaicfusion.detectors.config import Recipe
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.models.backbones import build_backbone, input_transform
from mosaicfusion.detectors.models.cascade import STAGES, CascadeHeads
from mosaicfusion.detectors.models.centernet import CenterNetProposals
from mosaicfusion.detectors.models.classifier import build_classifier
from mosaicfusion.detectors.models.losses import SigmoidLoss, build_loss
from mosaicfusion.errors import MosaicFusionError


def build(
    recipe: Recipe,
    classes: ClassList,
    text_embeddings: Tensor | None = None,
    image_counts: Sequence[int] | None = None,
    load_weights: bool = True,
) -> GeneralizedRCNN:
    """CenterNet2 of a recipe, see :class:`mosaicfusion.detectors.registry.Builder`."""
    config, channels = recipe.heads, recipe.backbone.channels
    class_loss = _checked_loss(recipe, image_counts)
    backbone = build_backbone(recipe.backbone, (8, 16, 32), LastLevelP6P7(channels, channels), load_weights)
    proposals = CenterNetProposals(
        channels,
        convs=config.proposal_convs,
        top_k_train=config.proposals_train,
        top_k_test=config.proposals_test,
    )
    classifiers = [
        build_classifier(recipe.classifier, config.box_features, len(classes), class_loss.background, text_embeddings)
        for _ in STAGES
    ]
    heads = CascadeHeads(
        channels,
        classifiers,
        class_loss,
        features=config.box_features,
        mask_layers=config.mask_layers,
        rois_per_image=config.rois_per_image,
        score_threshold=config.score_threshold,
        nms_threshold=config.nms_threshold,
        detections=config.detections,
    )
    return GeneralizedRCNN(backbone, proposals, heads, input_transform(recipe.data, backbone))


def _checked_loss(recipe: Recipe, image_counts: Sequence[int] | None) -> SigmoidLoss:
    """The classification loss; raises :class:`MosaicFusionError` for settings that CenterNet2 cannot use."""
    config, channels = recipe.heads, recipe.backbone.channels
    loss = build_loss(recipe.loss, image_counts)
    if not isinstance(loss, SigmoidLoss):
        raise MosaicFusionError("centernet2 has one sigmoid for each class and no background; set loss.kind=sigmoid")
    if not (config.class_agnostic_boxes and config.class_agnostic_masks):
        raise MosaicFusionError(
            "centernet2's boxes and masks are class-agnostic; set heads.class_agnostic_boxes and "
            "heads.class_agnostic_masks to true"
        )
    if channels % 32:
        raise MosaicFusionError(
            f"backbone.channels={channels} must be a multiple of 32, the groups of centernet2's norms; try 256"
        )
    return loss
