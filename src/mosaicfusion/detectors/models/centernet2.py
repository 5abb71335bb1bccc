"""CenterNet2 as in Detic's box-supervised setting (Zhou, Koltun, Krähenbühl 2021; Zhou et al. 2022).

Class-agnostic CenterNet proposals, three cascaded heads with a sigmoid for each class, class-agnostic boxes and masks, on
P3 to P7 of any backbone. Put together by torchvision's ``GeneralizedRCNN``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from mosaicfusion.detectors.config import Recipe
from mosaicfusion.detectors.models.backbones import build_backbone
from mosaicfusion.detectors.models.cascade import STAGES, CascadeHeads
from mosaicfusion.detectors.models.centernet import CenterNetProposals
from mosaicfusion.detectors.models.classifier import build_classifier
from mosaicfusion.detectors.models.losses import SigmoidLoss, build_loss
from mosaicfusion.errors import MosaicFusionError


def build_centernet2(
    recipe: Recipe,
    num_classes: int,
    image_counts: Sequence[int] | None = None,
    text_embeddings: Tensor | None = None,
    load_weights: bool = True,
) -> GeneralizedRCNN:
    """``num_classes``: C, without the background; ``image_counts``: training images of each class, for the federated loss;
    ``text_embeddings``: float (C, D). In training the images come in their final size; in evaluation the model resizes.
    """
    config = recipe.heads
    channels = recipe.backbone.channels
    class_loss = build_loss(recipe.loss, image_counts)
    if not isinstance(class_loss, SigmoidLoss):
        raise MosaicFusionError("centernet2 has one sigmoid for each class and no background; set loss.kind=sigmoid")
    if not (config.class_agnostic_boxes and config.class_agnostic_masks):
        raise MosaicFusionError(
            "centernet2's boxes and masks do not know the class; set heads.class_agnostic_boxes and "
            "heads.class_agnostic_masks to true"
        )
    if channels % 32:
        raise MosaicFusionError(
            f"backbone.channels={channels} must be a multiple of 32, the groups of centernet2's norms; try 256"
        )
    backbone = build_backbone(recipe.backbone, (8, 16, 32), LastLevelP6P7(channels, channels), load_weights)
    proposals = CenterNetProposals(
        channels,
        convs=config.proposal_convs,
        top_k_train=config.proposals_train,
        top_k_test=config.proposals_test,
    )
    heads = CascadeHeads(
        channels,
        [
            build_classifier(
                recipe.classifier, config.box_features, num_classes, class_loss.background, text_embeddings
            )
            for _ in STAGES
        ],
        class_loss,
        features=config.box_features,
        mask_layers=config.mask_layers,
        rois_per_image=config.rois_per_image,
        score_threshold=config.score_threshold,
        nms_threshold=config.nms_threshold,
        detections=config.detections,
    )
    resize = GeneralizedRCNNTransform(
        recipe.data.test_side_px,
        recipe.data.max_side_px,
        backbone.image_mean,
        backbone.image_std,
        _skip_resize=True,  # in training, where the data set's workers have done it
    )
    return GeneralizedRCNN(backbone, proposals, heads, resize)
