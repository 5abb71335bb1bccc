"""Who names the pictures: a linear classifier on ImageNet features of EfficientNet-Lite0, trained on compositions only.

It has seen no drawn picture, and shares nothing with the diffusion model but the drawings that both were taught.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional

from benchmarks.mini_model.common import HELD_OUT_SEED
from mini.clip import disturb
from mini.compose import compose
from mini.pictures import load_pictures
from mini.vocabulary import load_vocabulary
from mosaicfusion.quality.features import Backbone, extract, load_backbone

TRAIN_PER_CATEGORY, HELD_OUT_PER_CATEGORY = 32, 6


@dataclass
class Judge:
    """weight: float32 (D + 1, C) on standardised features; ceiling: top-1 on held-out compositions, in [0, 1]."""

    backbone: Backbone
    mean: torch.Tensor
    std: torch.Tensor
    weight: torch.Tensor
    ceiling: float = 0.0

    def scores(self, features: np.ndarray) -> torch.Tensor:
        inputs = (torch.from_numpy(features) - self.mean) / self.std
        return functional.pad(inputs, (0, 1), value=1.0) @ self.weight

    def name(self, images: list[np.ndarray]) -> np.ndarray:
        """Category numbers of pictures, uint8 (H, W, 3) each: int64 (N,)."""
        return self.scores(features_of(self.backbone, images)).argmax(1).numpy()


def features_of(backbone: Backbone, images: list[np.ndarray]) -> np.ndarray:
    """float32 (N, D); pictures are enlarged to what the backbone reads."""
    side = (backbone.side_px, backbone.side_px)
    return extract(backbone, (cv2.resize(image, side, interpolation=cv2.INTER_CUBIC) for image in images))


def compositions(work: Path, seed: int, per_category: int, soften: bool) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures and category numbers; every second one disturbed, if asked: drawn pictures are softer than composed ones."""
    pictures = load_pictures(work, load_vocabulary())
    rng = np.random.default_rng([seed])
    images, labels = [], []
    for round_ in range(per_category):
        for category in range(len(pictures)):
            image = compose(rng, pictures, category).image
            images.append(disturb(rng, image) if soften and round_ % 2 else image)
            labels.append(category)
    return images, np.array(labels)


def fit(inputs: torch.Tensor, labels: torch.Tensor, decay: float = 1e-3) -> torch.Tensor:
    """Multinomial logistic regression with an L2 penalty: float32 (D, C)."""
    weight = torch.zeros(inputs.shape[1], int(labels.max()) + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(inputs @ weight, labels) + decay * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach()


def load_judge(work: Path) -> Judge:
    """Fitted on first use; the features, which take minutes, stay in the work folder."""
    backbone = load_backbone(device="cpu")
    cache = work / "judge_features.npz"
    if not cache.exists():
        train, train_labels = compositions(work, HELD_OUT_SEED + 1, TRAIN_PER_CATEGORY, soften=True)
        test, test_labels = compositions(work, HELD_OUT_SEED + 2, HELD_OUT_PER_CATEGORY, soften=False)
        arrays = {
            "train": features_of(backbone, train),
            "train_labels": train_labels,
            "test": features_of(backbone, test),
            "test_labels": test_labels,
        }
        np.savez(cache.with_suffix(".part.npz"), **arrays)
        cache.with_suffix(".part.npz").replace(cache)
    with np.load(cache) as arrays:
        features = torch.from_numpy(arrays["train"])
        judge = Judge(backbone, features.mean(0), features.std(0) + 1e-6, torch.empty(0))
        inputs = functional.pad((features - judge.mean) / judge.std, (0, 1), value=1.0)
        judge.weight = fit(inputs, torch.from_numpy(arrays["train_labels"]))
        judge.ceiling = float((judge.scores(arrays["test"]).argmax(1).numpy() == arrays["test_labels"]).mean())
    return judge
