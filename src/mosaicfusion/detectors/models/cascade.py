"""The second stage of CenterNet2: three box heads, one after the other (Cai & Vasconcelos 2018), and a mask head.

Boxes and masks do not know the class. A detection's score is the square root of (likelihood of being an object, of the first
stage) x (likelihood of the class given an object, mean of the three heads); see Zhou, Koltun, Krähenbühl 2021, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import maskrcnn_loss
from torchvision.ops import MultiScaleRoIAlign, batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes

from mosaicfusion.detectors.models.losses import SigmoidLoss, not_exhaustive_classes

STAGES = ((0.6, (10.0, 10.0, 5.0, 5.0)), (0.7, (20.0, 20.0, 10.0, 10.0)), (0.8, (30.0, 30.0, 15.0, 15.0)))
"""Of each stage: lowest IoU of a positive region, and weights of its box regression; the boxes get better, the moves smaller."""

ROI_LEVELS = ["0", "1", "2"]
"""P3, P4 and P5, as the backbone names them."""

BOX_POOL, MASK_POOL = 7, 14
SMALLEST_PX = 1e-2
Fields = dict[str, Tensor]


def match(boxes: Tensor, target: Fields, min_iou: float) -> tuple[Tensor, Tensor]:
    """float32 (M, 4) -> labels, int64 (M,), 0 below ``min_iou``; numbers of the true boxes they overlap most, int64 (M,)."""
    if len(target["boxes"]) == 0:
        none = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return none, none
    iou, best = box_iou(target["boxes"].to(boxes), boxes).max(dim=0)
    return target["labels"][best] * (iou >= min_iou), best


class CascadeStage(nn.Module):
    """Regions -> what they are and better boxes for them."""

    def __init__(
        self,
        channels: int,
        features: int,
        classifier: nn.Module,
        min_iou: float,
        box_weights: tuple[float, float, float, float],
    ) -> None:
        super().__init__()
        self.head = TwoMLPHead(channels * BOX_POOL**2, features)
        self.classifier = classifier
        move = nn.Linear(features, 4)
        nn.init.normal_(move.weight, std=1e-3)
        nn.init.zeros_(move.bias)
        self.box = nn.Sequential(nn.Linear(features, features), nn.ReLU(inplace=True), move)
        self.min_iou, self.coder = min_iou, BoxCoder(box_weights)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """float (M, channels, 7, 7) -> class logits, float (M, C), and moves of the boxes, float32 (M, 4)."""
        shared = torch.lerp(
            pooled.detach(), pooled, 1 / len(STAGES)
        )  # each stage has a third of the features' gradient
        features = self.head(shared)
        return self.classifier(features), self.box(features).float()

    def move(self, boxes: list[Tensor], moves: Tensor, image_sizes: list[tuple[int, int]]) -> list[Tensor]:
        """Boxes of each image, moved and cut at its border."""
        moved = torch.split(self.coder.decode_single(moves.detach(), torch.cat(boxes)), [len(box) for box in boxes])
        return [clip_boxes_to_image(box, size) for box, size in zip(moved, image_sizes, strict=True)]


class CascadeHeads(nn.Module):
    """Feature maps and proposals -> detections, or losses in training; takes the place of torchvision's ``RoIHeads``."""

    def __init__(
        self,
        channels: int,
        classifiers: Sequence[nn.Module],
        class_loss: SigmoidLoss,
        *,
        features: int = 1024,
        mask_layers: Sequence[int] = (256, 256, 256, 256),
        rois_per_image: int = 512,
        score_threshold: float = 0.02,
        nms_threshold: float = 0.5,
        detections: int = 300,
    ) -> None:
        """``channels``: of the feature maps; ``classifiers``: one a stage, float (M, ``features``) -> float (M, C)."""
        super().__init__()
        self.box_pool = MultiScaleRoIAlign(ROI_LEVELS, BOX_POOL, sampling_ratio=2)
        self.stages = nn.ModuleList(
            CascadeStage(channels, features, classifier, *stage)
            for classifier, stage in zip(classifiers, STAGES, strict=True)
        )
        self.class_loss = class_loss
        self.mask_pool = MultiScaleRoIAlign(ROI_LEVELS, MASK_POOL, sampling_ratio=2)
        mask_logits = MaskRCNNPredictor(mask_layers[-1], mask_layers[-1], num_classes=1)
        # torchvision draws them by the number of outputs: with one, logits begin in the tens.
        nn.init.normal_(mask_logits.mask_fcn_logits.weight, std=1e-3)
        self.mask_head = nn.Sequential(MaskRCNNHeads(channels, mask_layers, dilation=1), mask_logits)
        self.sampler = BalancedPositiveNegativeSampler(rois_per_image, positive_fraction=0.25)
        self.score_thresh, self.nms_threshold, self.detections = score_threshold, nms_threshold, detections

    def forward(
        self,
        features: Fields,
        proposals: list[Fields],
        image_sizes: list[tuple[int, int]],
        targets: list[Fields] | None = None,
    ) -> tuple[list[Fields], dict[str, Tensor]]:
        """``proposals``: ``boxes`` (M, 4) and ``scores`` (M,) of each image. Masks come as float (N, 1, 28, 28) of their box."""
        if not self.training:
            return self._detect(features, proposals, image_sizes), {}
        if targets is None:
            raise ValueError("CascadeHeads needs targets in training")
        boxes = self._sample(proposals, targets)
        losses = {"loss_mask": self._mask_loss(features, boxes, image_sizes, targets)}
        for number, stage in enumerate(self._cascade, start=1):
            logits, moves = stage(self.box_pool(features, boxes, image_sizes))
            class_loss, box_loss = self._stage_losses(stage, logits, moves, boxes, targets)
            losses |= {f"loss_class_{number}": class_loss, f"loss_box_{number}": box_loss}
            moved = stage.move(boxes, moves, image_sizes)
            boxes = [box[remove_small_boxes(box, SMALLEST_PX)] for box in moved]
        return [], losses

    @property
    def _cascade(self) -> list[CascadeStage]:
        return cast(list[CascadeStage], list(self.stages))

    def _sample(self, proposals: list[Fields], targets: list[Fields]) -> list[Tensor]:
        """Some regions of each image, at most a quarter of them positive; the true boxes are among the proposals."""
        pairs = zip(proposals, targets, strict=True)
        boxes = [torch.cat([found["boxes"], target["boxes"].to(found["boxes"])]) for found, target in pairs]
        labels = [match(box, target, STAGES[0][0])[0] for box, target in zip(boxes, targets, strict=True)]
        return [
            box[(positive | negative).bool()]
            for box, positive, negative in zip(boxes, *self.sampler(labels), strict=True)
        ]

    def _stage_losses(
        self, stage: CascadeStage, logits: Tensor, moves: Tensor, boxes: list[Tensor], targets: list[Fields]
    ) -> tuple[Tensor, Tensor]:
        """Of classes, and of boxes (L1 over positive regions); both are means over all regions."""
        found = [match(box, target, stage.min_iou) for box, target in zip(boxes, targets, strict=True)]
        labels = torch.cat([label for label, _ in found])
        ignored = not_exhaustive_classes(targets, [len(box) for box in boxes], logits.shape[1])
        pairs = zip(found, targets, strict=True)
        true = torch.cat([target["boxes"].to(moves)[best[label > 0]] for (label, best), target in pairs])
        wanted = stage.coder.encode_single(true, torch.cat(boxes)[labels > 0])
        box_loss = F.l1_loss(moves[labels > 0], wanted, reduction="sum") / max(len(labels), 1)
        return self.class_loss(logits, labels, ignored), box_loss

    def _mask_loss(
        self, features: Fields, boxes: list[Tensor], image_sizes: list[tuple[int, int]], targets: list[Fields]
    ) -> Tensor:
        """Binary cross-entropy of the first stage's positive regions."""
        found = [match(box, target, STAGES[0][0]) for box, target in zip(boxes, targets, strict=True)]
        boxes = [box[label > 0] for box, (label, _) in zip(boxes, found, strict=True)]
        best = [best[label > 0] for label, best in found]
        logits = self.mask_head(self.mask_pool(features, boxes, image_sizes)).float()
        one_class = [torch.zeros_like(target["labels"]) for target in targets]
        loss: Tensor = maskrcnn_loss(logits, boxes, [target["masks"] for target in targets], one_class, best)
        return loss

    def _detect(self, features: Fields, proposals: list[Fields], image_sizes: list[tuple[int, int]]) -> list[Fields]:
        boxes = [found["boxes"] for found in proposals]
        likelihoods = []
        for stage in self._cascade:
            logits, moves = stage(self.box_pool(features, boxes, image_sizes))
            likelihoods.append(self.class_loss.scores(logits))
            boxes = stage.move(boxes, moves, image_sizes)
        classes = torch.split(torch.stack(likelihoods).mean(0), [len(box) for box in boxes])
        results = [
            self._select(box, (found["scores"][:, None] * likelihood).sqrt())
            for box, found, likelihood in zip(boxes, proposals, classes, strict=True)
        ]
        boxes = [result["boxes"] for result in results]
        masks = self.mask_head(self.mask_pool(features, boxes, image_sizes)).float().sigmoid()
        for result, mask in zip(results, torch.split(masks, [len(box) for box in boxes]), strict=True):
            result["masks"] = mask
        return results

    def _select(self, boxes: Tensor, scores: Tensor) -> Fields:
        """float32 (M, 4) and (M, C) -> the best (box, class) pairs after NMS by class, best first."""
        keep = remove_small_boxes(boxes, SMALLEST_PX)
        boxes, scores = boxes[keep], scores[keep]
        region, column = (scores > self.score_thresh).nonzero(as_tuple=True)
        score = scores[region, column]
        keep = batched_nms(boxes[region], score, column, self.nms_threshold)[: self.detections]
        return {"boxes": boxes[region[keep]], "labels": column[keep] + 1, "scores": score[keep]}
