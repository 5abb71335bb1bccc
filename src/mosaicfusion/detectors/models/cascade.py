"""The second stage of CenterNet2: three box heads, one after the other (Cai & Vasconcelos 2018), and a mask head.

Boxes and masks are class-agnostic. A detection's score is sqrt(p_object * p_class): the first stage's probability of an object
and the mean class probability of the three heads (Zhou, Koltun, Krähenbühl 2021, section 4).
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
from torchvision.ops import MultiScaleRoIAlign, batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes

from mosaicfusion.detectors.models.losses import SigmoidLoss, mask_loss, not_exhaustive_classes

STAGES = ((0.6, (10.0, 10.0, 5.0, 5.0)), (0.7, (20.0, 20.0, 10.0, 10.0)), (0.8, (30.0, 30.0, 15.0, 15.0)))
"""Lowest IoU of a positive region and weights of the box regression, by stage: boxes get better, offsets smaller."""

ROI_LEVELS = ["0", "1", "2"]
"""Names of P3, P4 and P5 in the backbone's output."""

BOX_POOL, MASK_POOL = 7, 14
SMALLEST_PX = 1e-2
Fields = dict[str, Tensor]


def match(boxes: Tensor, target: Fields, min_iou: float) -> tuple[Tensor, Tensor]:
    """Boxes float32 (M, 4) -> labels int64 (M,), 0 below ``min_iou``, and the index of the best true box, int64 (M,)."""
    if len(target["boxes"]) == 0:
        none = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return none, none
    iou, best = box_iou(target["boxes"].to(boxes), boxes).max(dim=0)
    return target["labels"][best] * (iou >= min_iou), best


class CascadeStage(nn.Module):
    """One stage: regions -> class logits and refined boxes."""

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
        offsets = nn.Linear(features, 4)
        nn.init.normal_(offsets.weight, std=1e-3)
        nn.init.zeros_(offsets.bias)
        self.box = nn.Sequential(nn.Linear(features, features), nn.ReLU(inplace=True), offsets)
        self.min_iou, self.coder = min_iou, BoxCoder(box_weights)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled float (M, channels, 7, 7) -> class logits float (M, C) and box offsets float32 (M, 4)."""
        # Each stage passes a third of its gradient on to the features.
        shared = torch.lerp(pooled.detach(), pooled, 1 / len(STAGES))
        features = self.head(shared)
        return self.classifier(features), self.box(features).float()

    def refine(self, boxes: list[Tensor], offsets: Tensor, image_sizes: list[tuple[int, int]]) -> list[Tensor]:
        """Apply offsets to the boxes of each image and clip them at its border."""
        refined = torch.split(self.coder.decode_single(offsets.detach(), torch.cat(boxes)), [len(box) for box in boxes])
        return [clip_boxes_to_image(box, size) for box, size in zip(refined, image_sizes, strict=True)]


class CascadeHeads(nn.Module):
    """Feature maps and proposals -> detections, or losses in training; replaces torchvision's ``RoIHeads``."""

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
        """``channels``: of the feature maps; ``classifiers``: one per stage, float (M, ``features``) -> float (M, C)."""
        super().__init__()
        self.box_pool = MultiScaleRoIAlign(ROI_LEVELS, BOX_POOL, sampling_ratio=2)
        self.stages = nn.ModuleList(
            CascadeStage(channels, features, classifier, *stage)
            for classifier, stage in zip(classifiers, STAGES, strict=True)
        )
        self.class_loss = class_loss
        self.mask_pool = MultiScaleRoIAlign(ROI_LEVELS, MASK_POOL, sampling_ratio=2)
        mask_logits = MaskRCNNPredictor(mask_layers[-1], mask_layers[-1], num_classes=1)
        # torchvision scales by the number of outputs; with one output the first logits are then in the tens.
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
        """``proposals``: ``boxes`` (M, 4) and ``scores`` (M,) of each image. Masks are float (N, 1, 28, 28) within their box."""
        if not self.training:
            return self._detect(features, proposals, image_sizes), {}
        if targets is None:
            raise ValueError("CascadeHeads needs targets in training")
        boxes = self._sample(proposals, targets)
        losses = {"loss_mask": self._mask_loss(features, boxes, image_sizes, targets)}
        for number, stage in enumerate(self._cascade, start=1):
            logits, offsets = stage(self.box_pool(features, boxes, image_sizes))
            class_loss, box_loss = self._stage_losses(stage, logits, offsets, boxes, targets)
            losses |= {f"loss_class_{number}": class_loss, f"loss_box_{number}": box_loss}
            refined = stage.refine(boxes, offsets, image_sizes)
            boxes = [box[remove_small_boxes(box, SMALLEST_PX)] for box in refined]
        return [], losses

    @property
    def _cascade(self) -> list[CascadeStage]:
        return cast(list[CascadeStage], list(self.stages))

    def _sample(self, proposals: list[Fields], targets: list[Fields]) -> list[Tensor]:
        """Sample regions of each image, at most a quarter of them positive; the true boxes are added to the proposals."""
        pairs = zip(proposals, targets, strict=True)
        boxes = [torch.cat([proposal["boxes"], target["boxes"].to(proposal["boxes"])]) for proposal, target in pairs]
        labels = [match(box, target, STAGES[0][0])[0] for box, target in zip(boxes, targets, strict=True)]
        return [
            box[(positive | negative).bool()]
            for box, positive, negative in zip(boxes, *self.sampler(labels), strict=True)
        ]

    def _stage_losses(
        self, stage: CascadeStage, logits: Tensor, offsets: Tensor, boxes: list[Tensor], targets: list[Fields]
    ) -> tuple[Tensor, Tensor]:
        """Class loss and box loss (L1 of the positive regions), both means over all regions."""
        matches = [match(box, target, stage.min_iou) for box, target in zip(boxes, targets, strict=True)]
        labels = torch.cat([label for label, _ in matches])
        ignored = not_exhaustive_classes(targets, [len(box) for box in boxes], logits.shape[1])
        pairs = zip(matches, targets, strict=True)
        true = torch.cat([target["boxes"].to(offsets)[best[label > 0]] for (label, best), target in pairs])
        true_offsets = stage.coder.encode_single(true, torch.cat(boxes)[labels > 0])
        box_loss = F.l1_loss(offsets[labels > 0], true_offsets, reduction="sum") / max(len(labels), 1)
        return self.class_loss(logits, labels, ignored), box_loss

    def _mask_loss(
        self, features: Fields, boxes: list[Tensor], image_sizes: list[tuple[int, int]], targets: list[Fields]
    ) -> Tensor:
        """Binary cross-entropy over the first stage's positive regions."""
        matches = [match(box, target, STAGES[0][0]) for box, target in zip(boxes, targets, strict=True)]
        boxes = [box[label > 0] for box, (label, _) in zip(boxes, matches, strict=True)]
        best = [best[label > 0] for label, best in matches]
        logits = self.mask_head(self.mask_pool(features, boxes, image_sizes)).float()
        one_class = [torch.zeros_like(target["labels"]) for target in targets]
        return mask_loss(logits, boxes, targets, one_class, best)

    def _detect(self, features: Fields, proposals: list[Fields], image_sizes: list[tuple[int, int]]) -> list[Fields]:
        boxes = [proposal["boxes"] for proposal in proposals]
        stage_scores = []
        for stage in self._cascade:
            logits, offsets = stage(self.box_pool(features, boxes, image_sizes))
            stage_scores.append(self.class_loss.scores(logits))
            boxes = stage.refine(boxes, offsets, image_sizes)
        class_scores = torch.split(torch.stack(stage_scores).mean(0), [len(box) for box in boxes])
        results = [
            self._select(box, (proposal["scores"][:, None] * scores).sqrt())
            for box, proposal, scores in zip(boxes, proposals, class_scores, strict=True)
        ]
        boxes = [result["boxes"] for result in results]
        masks = self.mask_head(self.mask_pool(features, boxes, image_sizes)).float().sigmoid()
        for result, mask in zip(results, torch.split(masks, [len(box) for box in boxes]), strict=True):
            result["masks"] = mask
        return results

    def _select(self, boxes: Tensor, scores: Tensor) -> Fields:
        """Boxes float32 (M, 4) and scores (M, C) -> the best (box, class) pairs after NMS by class, best first."""
        keep = remove_small_boxes(boxes, SMALLEST_PX)
        boxes, scores = boxes[keep], scores[keep]
        region, column = (scores > self.score_thresh).nonzero(as_tuple=True)
        score = scores[region, column]
        keep = batched_nms(boxes[region], score, column, self.nms_threshold)[: self.detections]
        return {"boxes": boxes[region[keep]], "labels": column[keep] + 1, "scores": score[keep]}
