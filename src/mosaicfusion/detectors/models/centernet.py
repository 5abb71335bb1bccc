"""CenterNet as the first stage of CenterNet2: class-agnostic proposals on P3 to P7 (Zhou, Koltun, Krähenbühl 2021).

Each pyramid level divides the image into a grid of cells. A cell predicts the probability that an object's centre lies in it
(the heat map) and the distances from the cell's middle to the object's four sides. Unlike an RPN's score, the heat is trained
as a likelihood, with which the second stage multiplies its class scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxLinearCoder
from torchvision.models.detection.fcos import FCOSRegressionHead
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_area, clip_boxes_to_image, generalized_box_iou_loss, nms, remove_small_boxes

STRIDES_PX = (8, 16, 32, 64, 128)
"""Cell sides of P3 to P7."""

HALF_DIAGONALS_PX = ((0.0, 80.0), (64.0, 160.0), (128.0, 320.0), (256.0, 640.0), (512.0, math.inf))
"""Range of half the box diagonal that each of P3 to P7 is responsible for; ranges overlap, so some boxes have two levels."""

SIDES = BoxLinearCoder(normalize_by_size=True)
"""Box xyxy <-> distances (left, top, right, bottom) from the middle of a cell, in units of the cell's side."""


class Grid(NamedTuple):
    """The cells of all levels, concatenated."""

    cells: Tensor
    """float32 (L, 4), xyxy pixels."""
    level: Tensor
    """int64 (L,): the level of each cell, 0 the finest."""
    sizes: list[int]
    """Number of cells of each level."""


def grid(maps_hw: Sequence[tuple[int, int]], strides_px: Sequence[int], device: torch.device | str = "cpu") -> Grid:
    """Make the cells of feature maps of size ``maps_hw``, (H, W) each, finest first; row by row, the order of ``flatten``."""
    levels = []
    for (height, width), stride in zip(maps_hw, strides_px, strict=True):
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        corner = torch.stack((x, y), -1).reshape(-1, 2)
        levels.append(torch.cat((corner, corner + 1), 1) * float(stride))
    sizes = [len(cells) for cells in levels]
    level = torch.arange(len(levels)).repeat_interleave(torch.tensor(sizes))
    return Grid(torch.cat(levels).to(device), level.to(device), sizes)


class Targets(NamedTuple):
    """Training targets of the cells of one image."""

    heat: Tensor
    """float32 (L,) in [0, 1]: 1 in the cell of each object's centre, a Gaussian around it, on every level."""
    centres: Tensor
    """int64 (P,): the positive cells, the centre cell of each object on the levels responsible for its size."""
    learners: Tensor
    """int64 (R,): cells that learn a box: inside the object and among the 3 x 3 cells around a positive cell."""
    boxes: Tensor
    """float32 (R, 4): the box of each learner, xyxy px: the object with the nearest centre, measured in radii."""


def assign(
    boxes: Tensor,
    grid: Grid,
    half_diagonals_px: Tensor,
    min_overlap: float = 0.8,
    min_radius_px: float = 4.0,
) -> Targets:
    """Targets of one image from its boxes, float32 (N, 4) xyxy px; N may be 0.

    heat = exp(-d^2 / r^2) at d pixels from the centre, r^2 = max(2 delta^2 area, min_radius^2), delta = (1 - o) / (1 + o):
    a square shifted by one standard deviation along a side has IoU o = ``min_overlap`` with itself.
    ``half_diagonals_px``: float32 (levels, 2), lower and upper bound of each level. On other levels an object's centre cell
    is neither positive (not in ``centres``) nor negative (its heat is 1).
    """
    cells, level, _ = grid
    if len(boxes) == 0:
        none = level.new_zeros(0)
        return Targets(cells.new_zeros(len(cells)), none, none, cells.new_zeros(0, 4))
    stride = cells[:, None, 2:] - cells[:, None, :2]  # (L, 1, 2)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2  # (N, 2)
    steps = (
        (cells[:, None, :2] / stride - (centre / stride).floor()).abs().amax(-1)
    )  # (L, N), distance to the centre cell, in cells

    delta = (1 - min_overlap) / (1 + min_overlap)
    radius2 = (2 * delta**2 * box_area(boxes)).clamp(min=min_radius_px**2)
    middle = (cells[:, :2] + cells[:, 2:]) / 2
    distance2 = (middle[:, None] - centre).square().sum(-1).masked_fill(steps == 0, 0) / radius2  # (L, N), in radii

    half_diagonal = (boxes[:, 2:] - boxes[:, :2]).norm(dim=1) / 2
    low, high = half_diagonals_px[level].unsqueeze(-1).unbind(1)
    responsible = (half_diagonal >= low) & (half_diagonal <= high)  # (L, N)
    within = SIDES.encode(cells[:, None], boxes).amin(-1) > 0
    nearest = distance2.masked_fill(~(responsible & within & (steps <= 1)), math.inf).min(1)
    learners = nearest.values.isfinite().nonzero()[:, 0]
    return Targets(
        heat=torch.exp(-distance2).amax(1),
        centres=((steps == 0) & responsible).nonzero()[:, 0],
        learners=learners,
        boxes=boxes[nearest.indices[learners]],
    )


def heat_loss(
    logits: Tensor,
    heat: Tensor,
    centres: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    beta: float = 4.0,
    clamp: float = 1e-4,
    ignore_above: float = 0.85,
) -> tuple[Tensor, Tensor]:
    """Focal loss summed over positive and over negative cells (Law & Deng 2018, with RetinaNet's alpha).

    ``logits`` and ``heat``: float32 (L,); ``centres``: the positive cells. Negative cells have the weight (1 - heat)^beta,
    and 0 if their probability is above ``ignore_above``: in a federated data set such as LVIS, these are often objects
    without an annotation.
    """
    probability = logits.sigmoid().clamp(clamp, 1 - clamp)
    at_centres = probability[centres]
    positive = -alpha * ((1 - at_centres) ** gamma * at_centres.log()).sum()
    weight = (1 - heat) ** beta * (probability < ignore_above)
    negative = -(1 - alpha) * (weight * probability**gamma * (1 - probability).log()).sum()
    return positive, negative


class CenterNetProposals(nn.Module):
    """Feature maps P3 to P7 -> proposals with their probability of an object; replaces torchvision's RPN.

    The tower (``convs`` 3 x 3 convolutions with group norm, shared by the levels) is that of FCOS, with its centre-ness as the
    heat map. Raises ValueError unless the channels are a multiple of the tower's 32 groups.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        convs: int = 4,
        top_k_train: tuple[int, int] = (4000, 2000),
        top_k_test: tuple[int, int] = (1000, 256),
        nms_iou: float = 0.9,
        min_score: float = 1e-4,
        positive_weight: float = 0.5,
        negative_weight: float = 0.5,
    ) -> None:
        """``top_k_*``: number of proposals kept per level before NMS and per image after it."""
        super().__init__()
        self.head = FCOSRegressionHead(in_channels, num_anchors=1, num_convs=convs)
        nn.init.constant_(self.head.bbox_ctrness.bias, -math.log(99))  # one cell in a hundred is a centre
        nn.init.constant_(self.head.bbox_reg.bias, 4.0)  # boxes of 8 cells a side: the middle of each level's range
        self.scale = nn.Parameter(torch.ones(len(STRIDES_PX)))
        self.half_diagonals_px: Tensor
        self.register_buffer("half_diagonals_px", torch.tensor(HALF_DIAGONALS_PX), persistent=False)
        self.top_k_train, self.top_k_test = top_k_train, top_k_test
        self.nms_iou, self.min_score = nms_iou, min_score
        self.positive_weight, self.negative_weight = positive_weight, negative_weight

    def forward(
        self, images: ImageList, features: Mapping[str, Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return ``boxes`` float32 (M, 4) xyxy px and ``scores`` (M,) of each image, best first, and the losses in training."""
        maps = list(features.values())
        cells = grid([(level.shape[-2], level.shape[-1]) for level in maps], STRIDES_PX, maps[0].device)
        sides, logits = self.head(maps)  # (B, L, 4) in cells, (B, L, 1)
        boxes = SIDES.decode(sides.float() * self.scale[cells.level][:, None], cells.cells.expand_as(sides))
        logits = logits.float().squeeze(-1)
        losses = {}
        if self.training:
            if targets is None:
                raise ValueError("CenterNetProposals needs targets in training")
            losses = self._losses(boxes, logits, [target["boxes"] for target in targets], cells)
        scores = logits.detach().sigmoid()
        proposals = [
            self._propose(*image, cells.sizes) for image in zip(boxes.detach(), scores, images.image_sizes, strict=True)
        ]
        return proposals, losses

    def _losses(self, boxes: Tensor, logits: Tensor, true: list[Tensor], cells: Grid) -> dict[str, Tensor]:
        images = [assign(boxes.to(cells.cells), cells, self.half_diagonals_px) for boxes in true]
        centres = torch.cat([image.centres + i * len(cells.cells) for i, image in enumerate(images)])
        heat = torch.cat([image.heat for image in images])
        positive, negative = heat_loss(logits.flatten(), heat, centres)
        learned = torch.cat([boxes[i, image.learners] for i, image in enumerate(images)])
        giou = generalized_box_iou_loss(learned, torch.cat([image.boxes for image in images]), reduction="sum")
        return {
            "loss_heat": (self.positive_weight * positive + self.negative_weight * negative) / max(len(centres), 1),
            "loss_proposal_box": giou / max(len(learned), 1),
        }

    def _propose(self, boxes: Tensor, scores: Tensor, image_hw: tuple[int, int], sizes: list[int]) -> dict[str, Tensor]:
        before, after = self.top_k_train if self.training else self.top_k_test
        best = [score.topk(min(before, len(score))).indices for score in torch.split(scores, sizes)]
        starts = [sum(sizes[:level]) for level in range(len(sizes))]
        keep = torch.cat([start + indices for start, indices in zip(starts, best, strict=True)])
        keep = keep[scores[keep] > self.min_score]
        boxes, scores = clip_boxes_to_image(boxes[keep], image_hw), scores[keep]
        keep = remove_small_boxes(boxes, min_size=1e-2)
        boxes, scores = boxes[keep], scores[keep]
        keep = nms(boxes, scores, self.nms_iou)[:after]
        return {"boxes": boxes[keep], "scores": scores[keep]}
