"""Mask R-CNN (He et al. 2017) from torchvision's parts, with a choice of losses and of class-agnostic boxes and masks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign, batched_nms, clip_boxes_to_image, remove_small_boxes

from mosaicfusion.detectors.config import HeadsConfig, Recipe
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.models.backbones import PyramidBackbone, build_backbone, input_transform
from mosaicfusion.detectors.models.classifier import build_classifier
from mosaicfusion.detectors.models.losses import ClassificationLoss, build_loss, mask_loss, not_exhaustive_classes
from mosaicfusion.errors import MosaicFusionError

Targets = Sequence[dict[str, Tensor]]


class BoxPredictor(nn.Module):
    """Region features -> class logits and box offsets."""

    def __init__(self, classifier: nn.Module, features: int, box_classes: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.offsets = nn.Linear(features, 4 * box_classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """float (N, features) -> logits of the classifier, and offsets float32 (N, 4 * box_classes)."""
        return self.classifier(features), self.offsets(features).float()


class MaskRCNNRoIHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's second stage with an exchangeable classification loss and optionally class-agnostic predictors."""

    def __init__(self, config: HeadsConfig, loss: ClassificationLoss, num_classes: int, **parts: Any) -> None:
        super().__init__(
            **parts,
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=config.rois_per_image,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=config.score_threshold,
            nms_thresh=config.nms_threshold,
            detections_per_img=config.detections,
        )
        self.loss, self.num_classes = loss, num_classes
        self.agnostic_boxes, self.agnostic_masks = config.class_agnostic_boxes, config.class_agnostic_masks

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Targets | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return ([], losses) in training, else (detections, {}), like torchvision."""
        if self.training:
            assert targets is not None
            return [], self._losses(features, proposals, image_shapes, targets)
        return self._detections(features, proposals, image_shapes), {}

    def _losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Targets,
    ) -> dict[str, Tensor]:
        proposals, matched, labels, offset_targets = self.select_training_samples(proposals, targets)
        logits, offsets = self._boxes(features, proposals, image_shapes)
        ignored = not_exhaustive_classes(targets, [len(image_labels) for image_labels in labels], self.num_classes)
        positive = [torch.where(image_labels > 0)[0] for image_labels in labels]
        mask_boxes = [boxes[rows] for boxes, rows in zip(proposals, positive, strict=True)]
        mask_logits = self._mask_logits(features, mask_boxes, image_shapes)
        channels = [_channel(target["labels"], self.agnostic_masks) for target in targets]
        mask_matched = [indices[rows] for indices, rows in zip(matched, positive, strict=True)]
        return {
            "loss_classifier": self.loss(logits, torch.cat(labels), ignored),
            "loss_box_reg": self._box_loss(offsets, torch.cat(labels), torch.cat(list(offset_targets))),
            "loss_mask": mask_loss(mask_logits, mask_boxes, targets, channels, mask_matched),
        }

    def _detections(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        logits, offsets = self._boxes(features, proposals, image_shapes)
        sizes = [len(boxes) for boxes in proposals]
        boxes = self.box_coder.decode_single(offsets, torch.cat(proposals)).unflatten(1, (-1, 4))  # (N, 1 or C, 4)
        scores = self.scores(logits, features, proposals)
        parts = zip(boxes.split(sizes), torch.split(scores, sizes), image_shapes, strict=True)
        detections = [self._select(*part) for part in parts]
        mask_logits = self._mask_logits(features, [one["boxes"] for one in detections], image_shapes)
        channel = _channel(torch.cat([one["labels"] for one in detections]), self.agnostic_masks)
        masks = mask_logits[torch.arange(len(channel), device=channel.device), channel].sigmoid()[:, None]
        counts = [len(one["labels"]) for one in detections]
        for one, image_masks in zip(detections, torch.split(masks, counts), strict=True):
            one["masks"] = image_masks
        return detections

    def scores(self, logits: Tensor, features: dict[str, Tensor], proposals: list[Tensor]) -> Tensor:
        """Logits of the regions -> scores, float (N, C)."""
        return self.loss.scores(logits)

    def _select(self, boxes: Tensor, scores: Tensor, image_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Boxes (N, 1 or C, 4) and scores (N, C) -> the best boxes of one image after non-maximum suppression by class."""
        row, column = torch.where(scores > self.score_thresh)
        scores, labels = scores[row, column], column + 1
        boxes = clip_boxes_to_image(boxes[row, 0 if self.agnostic_boxes else column], image_hw)
        large = remove_small_boxes(boxes, min_size=1e-2)
        boxes, scores, labels = boxes[large], scores[large], labels[large]
        best = batched_nms(boxes, scores, labels, self.nms_thresh)[: self.detections_per_img]
        return {"boxes": boxes[best], "labels": labels[best], "scores": scores[best]}

    def _boxes(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        predictions: tuple[Tensor, Tensor] = self.box_predictor(
            self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        )
        return predictions

    def _mask_logits(
        self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        pooled = self.mask_roi_pool(features, boxes, image_shapes)
        logits: Tensor = self.mask_predictor(self.mask_head(pooled)).float()  # (N, 1 or C, 28, 28)
        return logits

    def _box_loss(self, offsets: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Smooth L1 loss of the positive regions, divided by the number of all regions."""
        inside = torch.where(labels > 0)[0]
        offsets = torch.unflatten(offsets, 1, (-1, 4))[inside, _channel(labels[inside], self.agnostic_boxes)]
        return F.smooth_l1_loss(offsets, targets[inside], beta=1 / 9, reduction="sum") / max(1, len(labels))


def build(
    recipe: Recipe,
    classes: ClassList,
    text_embeddings: Tensor | None = None,
    image_counts: Sequence[int] | None = None,
    load_weights: bool = True,
) -> GeneralizedRCNN:
    """Mask R-CNN of a recipe, see :class:`mosaicfusion.detectors.registry.Builder`."""
    check_anchors(recipe)
    backbone = build_backbone(recipe.backbone, recipe.backbone.strides, load_weights=load_weights)
    return assemble(recipe, backbone, build_loss(recipe.loss, image_counts), len(classes), text_embeddings)


def check_anchors(recipe: Recipe) -> None:
    """Raise :class:`MosaicFusionError` unless every pyramid level has an anchor size."""
    levels, sizes = len(recipe.backbone.strides) + 1, len(recipe.heads.anchor_sizes_px)
    if sizes != levels:
        raise MosaicFusionError(
            f"heads.anchor_sizes_px has {sizes} sizes for {levels} levels: one for each of backbone.strides and one coarser"
        )


def assemble(
    recipe: Recipe,
    backbone: PyramidBackbone,
    loss: ClassificationLoss,
    num_classes: int,
    text_embeddings: Tensor | None,
    heads_type: type[MaskRCNNRoIHeads] = MaskRCNNRoIHeads,
    **heads_options: Any,
) -> GeneralizedRCNN:
    """A two-stage detector on a backbone; ``heads_options``: further arguments of ``heads_type``."""
    config, channels = recipe.heads, backbone.out_channels
    rpn = _make_rpn(config, channels)
    classifier = build_classifier(recipe.classifier, config.box_features, num_classes, loss.background, text_embeddings)
    levels = [str(k) for k in range(len(recipe.backbone.strides))]  # the coarsest level only makes proposals
    heads = heads_type(
        config,
        loss,
        num_classes,
        box_roi_pool=MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2),
        box_head=TwoMLPHead(channels * 7 * 7, config.box_features),
        box_predictor=BoxPredictor(classifier, config.box_features, 1 if config.class_agnostic_boxes else num_classes),
        mask_roi_pool=MultiScaleRoIAlign(levels, output_size=14, sampling_ratio=2),
        mask_head=MaskRCNNHeads(channels, config.mask_layers, dilation=1),
        mask_predictor=_mask_predictor(config.mask_layers[-1], 1 if config.class_agnostic_masks else num_classes),
        **heads_options,
    )
    return GeneralizedRCNN(_in_float32(backbone), rpn, heads, input_transform(recipe.data, backbone))


def _make_rpn(config: HeadsConfig, channels: int) -> RegionProposalNetwork:
    anchors = AnchorGenerator(
        tuple((side,) for side in config.anchor_sizes_px), ((0.5, 1.0, 2.0),) * len(config.anchor_sizes_px)
    )
    return RegionProposalNetwork(
        anchors,
        _in_float32(RPNHead(channels, anchors.num_anchors_per_location()[0])),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": config.proposals_train[0], "testing": config.proposals_test[0]},
        post_nms_top_n={"training": config.proposals_train[1], "testing": config.proposals_test[1]},
        nms_thresh=0.7,
    )


def _mask_predictor(channels: int, mask_classes: int) -> Any:
    predictor = MaskRCNNPredictor(channels, channels, mask_classes)
    # torchvision scales by the number of outputs; with few classes the first loss is then in the dozens.
    nn.init.normal_(predictor.mask_fcn_logits.weight, std=0.001)
    return predictor


def _channel(labels: Tensor, agnostic: bool) -> Tensor:
    """int64 (N,): the output channel of each label in 1..C: its own, or channel 0 if there is only one."""
    return torch.zeros_like(labels) if agnostic else labels - 1


def _in_float32(module: Any) -> Any:
    """Make outputs float32 under autocast: they determine the dtype of boxes, and bf16 has steps of 4 px at 1000."""

    def convert(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, OrderedDict):
            return OrderedDict((name, level.float()) for name, level in output.items())
        return tuple([level.float() for level in levels] for levels in output)  # the RPN's logits and offsets

    module.register_forward_hook(convert)
    return module
