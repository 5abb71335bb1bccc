"""Mask R-CNN (He et al. 2017) from torchvision's parts, with other losses and class-agnostic boxes or masks by choice."""

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
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign, batched_nms, clip_boxes_to_image, remove_small_boxes

from mosaicfusion.detectors.config import HeadsConfig, Recipe
from mosaicfusion.detectors.models.backbones import PyramidBackbone, build_backbone
from mosaicfusion.detectors.models.classifier import build_classifier
from mosaicfusion.detectors.models.losses import ClassificationLoss, build_loss, not_exhaustive_classes

Targets = Sequence[dict[str, Tensor]]


class BoxPredictor(nn.Module):
    """Class logits and box offsets of a region's features."""

    def __init__(self, classifier: nn.Module, features: int, box_classes: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.offsets = nn.Linear(features, 4 * box_classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """float (N, features) -> logits of the classifier, and float32 (N, 4 * box_classes)."""
        return self.classifier(features), self.offsets(features).float()


class MaskRCNNRoIHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's second stage with the classification loss as a part, and predictors that may not know the class."""

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
        """As in torchvision: (no detections, losses) in training, else (detections, no losses)."""
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
        proposals, matched, labels, wanted = self.select_training_samples(proposals, targets)
        logits, offsets = self._boxes(features, proposals, image_shapes)
        ignored = not_exhaustive_classes(targets, [len(of_image) for of_image in labels], self.num_classes)
        positive = [torch.where(of_image > 0)[0] for of_image in labels]
        mask_boxes = [boxes[rows] for boxes, rows in zip(proposals, positive, strict=True)]
        mask_logits = self._mask_logits(features, mask_boxes, image_shapes)
        channels = [_channel(target["labels"], self.agnostic_masks) for target in targets]
        mask_matched = [of_image[rows] for of_image, rows in zip(matched, positive, strict=True)]
        return {
            "loss_classifier": self.loss(logits, torch.cat(labels), ignored),
            "loss_box_reg": self._box_loss(offsets, torch.cat(labels), torch.cat(list(wanted))),
            "loss_mask": maskrcnn_loss(
                mask_logits, mask_boxes, [target["masks"] for target in targets], channels, mask_matched
            ),
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
        mask_logits = self._mask_logits(features, [found["boxes"] for found in detections], image_shapes)
        channel = _channel(torch.cat([found["labels"] for found in detections]), self.agnostic_masks)
        masks = mask_logits[torch.arange(len(channel), device=channel.device), channel].sigmoid()[:, None]
        for found, of_image in zip(detections, torch.split(masks, [len(d["labels"]) for d in detections]), strict=True):
            found["masks"] = of_image
        return detections

    def scores(self, logits: Tensor, features: dict[str, Tensor], proposals: list[Tensor]) -> Tensor:
        """Logits of the regions -> float (N, C)."""
        return self.loss.scores(logits)

    def _select(self, boxes: Tensor, scores: Tensor, image_hw: tuple[int, int]) -> dict[str, Tensor]:
        """(N, 1 or C, 4), (N, C) -> the best boxes of one image after non-maximum suppression by class."""
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

    def _box_loss(self, offsets: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
        """Smooth L1 of the positive regions, over the number of all regions."""
        inside = torch.where(labels > 0)[0]
        offsets = torch.unflatten(offsets, 1, (-1, 4))[inside, _channel(labels[inside], self.agnostic_boxes)]
        return F.smooth_l1_loss(offsets, wanted[inside], beta=1 / 9, reduction="sum") / max(1, len(labels))


def build_mask_rcnn(
    recipe: Recipe,
    num_classes: int,
    image_counts: Sequence[int] | None = None,
    text_embeddings: Tensor | None = None,
    load_weights: bool = True,
) -> GeneralizedRCNN:
    """``num_classes``: C, without the background; ``image_counts``: training images of each class, for the federated loss;
    ``text_embeddings``: float (C, D). In training the images come in their final size; in evaluation the model resizes.
    """
    backbone = build_backbone(recipe.backbone, recipe.backbone.strides, load_weights=load_weights)
    return assemble(recipe, backbone, build_loss(recipe.loss, image_counts), num_classes, text_embeddings)


def assemble(
    recipe: Recipe,
    backbone: PyramidBackbone,
    loss: ClassificationLoss,
    num_classes: int,
    text_embeddings: Tensor | None,
    heads_type: type[MaskRCNNRoIHeads] = MaskRCNNRoIHeads,
    **heads_parts: Any,
) -> GeneralizedRCNN:
    """A detector of two stages on a backbone; ``heads_parts`` are what another type of heads needs beside the usual."""
    config, channels = recipe.heads, backbone.out_channels
    anchors = AnchorGenerator(
        tuple((side,) for side in config.anchor_sizes_px), ((0.5, 1.0, 2.0),) * len(config.anchor_sizes_px)
    )
    rpn = RegionProposalNetwork(
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
    classifier = build_classifier(recipe.classifier, config.box_features, num_classes, loss.background, text_embeddings)
    levels = [str(k) for k in range(len(recipe.backbone.strides))]  # without the coarser one, which only proposes
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
        **heads_parts,
    )
    resize = GeneralizedRCNNTransform(
        recipe.data.test_side_px,
        recipe.data.max_side_px,
        backbone.image_mean,
        backbone.image_std,
        _skip_resize=True,  # in training, where the data set's workers have done it
    )
    return GeneralizedRCNN(_in_float32(backbone), rpn, heads, resize)


def _mask_predictor(channels: int, mask_classes: int) -> Any:
    predictor = MaskRCNNPredictor(channels, channels, mask_classes)
    # torchvision scales by the number of outputs, which for a few classes begins with a loss in the dozens.
    nn.init.normal_(predictor.mask_fcn_logits.weight, std=0.001)
    return predictor


def _channel(labels: Tensor, agnostic: bool) -> Tensor:
    """The output that belongs to each label in 1..C: its own, or the only one."""
    return torch.zeros_like(labels) if agnostic else labels - 1


def _in_float32(module: Any) -> Any:
    """Outputs as float32 whatever autocast does: torchvision takes the boxes' type from them, and bf16 steps by 4 px at 1000."""

    def convert(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, OrderedDict):
            return OrderedDict((name, level.float()) for name, level in output.items())
        return tuple([level.float() for level in levels] for levels in output)  # the RPN's logits and offsets

    module.register_forward_hook(convert)
    return module
