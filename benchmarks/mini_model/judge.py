"""The judge of generated images: a linear classifier on ImageNet features of EfficientNet-Lite0, trained on compositions only.

A third of its training images are encoded and decoded by the miniature's autoencoder, with noise on the latents: generated images
have that autoencoder's artefacts, which would otherwise mislead the judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch.nn import functional

from benchmarks.mini_model.common import HELD_OUT_SEED
from miniature.clip import disturb
from miniature.compose import compose
from miniature.latents import encode
from miniature.pictures import load_pictures
from miniature.vocabulary import load_vocabulary
from mosaicfusion.models.backbones import Backbone, extract, load_backbone
from mosaicfusion.models.hub import find_model

TRAIN_PER_CATEGORY, HELD_OUT_PER_CATEGORY = 32, 6


@cache
def load_autoencoder() -> AutoencoderTiny:
    """Load the miniature's autoencoder once."""
    return AutoencoderTiny.from_pretrained(find_model("mini") / "vae", torch_dtype=torch.float32).eval()


@dataclass
class Judge:
    """``weight``: float32 (D + 1, C) for standardised features; ``ceiling``: accuracy on held-out compositions, in [0, 1]."""

    backbone: Backbone
    mean: torch.Tensor
    std: torch.Tensor
    weight: torch.Tensor
    ceiling: float = 0.0

    def inputs(self, features: torch.Tensor) -> torch.Tensor:
        """Standardise features, and append a one for the bias: float32 (N, D + 1)."""
        return functional.pad((features - self.mean) / self.std, (0, 1), value=1.0)

    def classify(self, images: list[np.ndarray]) -> np.ndarray:
        """Category numbers of images, uint8 (H, W, 3) each: int64 (N,)."""
        features = torch.from_numpy(features_of(self.backbone, images))
        numbers: np.ndarray = (self.inputs(features) @ self.weight).argmax(1).numpy()
        return numbers


def features_of(backbone: Backbone, images: list[np.ndarray]) -> np.ndarray:
    """Features of images, resized to the backbone's input: float32 (N, D)."""
    side = (backbone.side_px, backbone.side_px)
    return extract(backbone, (cv2.resize(image, side, interpolation=cv2.INTER_CUBIC) for image in images))


def compositions(work: Path, seed: int, per_category: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Images, uint8 (128, 128, 3) each, and category numbers."""
    pictures = load_pictures(work, load_vocabulary())
    rng = np.random.default_rng([seed])
    labels = np.tile(np.arange(len(pictures)), per_category)
    return [compose(rng, pictures, int(label)).image for label in labels], labels


def augment(images: list[np.ndarray], seed: int) -> list[np.ndarray]:
    """Keep, augment, or encode and decode each image, with equal probability."""
    rng = np.random.default_rng([seed])
    methods: list[Callable[[np.ndarray], np.ndarray]] = [np.asarray, partial(disturb, rng), partial(reconstruct, rng)]
    return [methods[rng.integers(3)](image) for image in images]


@torch.inference_mode()
def reconstruct(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Encode and decode an image, uint8 (128, 128, 3), with noise of at most half a latent's deviation."""
    autoencoder = load_autoencoder()
    latents = torch.from_numpy(encode(autoencoder, image[None])).float() / autoencoder.config.scaling_factor
    noise = torch.from_numpy(rng.normal(0, rng.uniform(0, 0.5), latents.shape)).float()
    pixels = autoencoder.decode(latents + noise).sample[0]
    image_hwc: np.ndarray = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return image_hwc


def fit(inputs: torch.Tensor, labels: torch.Tensor, decay: float = 1e-3) -> torch.Tensor:
    """Fit multinomial logistic regression with an L2 penalty: float32 (D, C)."""
    weight = torch.zeros(inputs.shape[1], int(labels.max()) + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(inputs @ weight, labels) + decay * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach()


def load_judge(work: Path) -> Judge:
    """Load the judge from the work folder; fit it on first use, which takes minutes."""
    backbone = load_backbone(device="cpu")
    file = work / "linear_judge.pt"
    if file.exists():
        return Judge(backbone, **torch.load(file, weights_only=True))
    train, train_labels = compositions(work, HELD_OUT_SEED + 1, TRAIN_PER_CATEGORY)
    features = torch.from_numpy(features_of(backbone, augment(train, HELD_OUT_SEED + 1)))
    judge = Judge(backbone, features.mean(0), features.std(0) + 1e-6, torch.empty(0))
    judge.weight = fit(judge.inputs(features), torch.from_numpy(train_labels))
    test, test_labels = compositions(work, HELD_OUT_SEED + 2, HELD_OUT_PER_CATEGORY)
    judge.ceiling = float((judge.classify(test) == test_labels).mean())
    torch.save({key: value for key, value in vars(judge).items() if key != "backbone"}, file)
    return judge
