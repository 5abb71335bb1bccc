"""Classifier-free guidance: prompts of both halves, and their prediction."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.family import Conditioning, DiffusionModel
from mosaicfusion.profiling import stage


def guided_prediction(
    model: DiffusionModel,
    tile: torch.Tensor,
    timestep: torch.Tensor,
    conditioning: Conditioning,
    config: RunConfig,
    region_hw_px: tuple[int, int],
) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans 2022) in one U-Net call; at guidance 1 the unconditional half is not computed."""
    scale = config.sampling.guidance
    with stage("U-Net"):
        if scale == 1:
            return model.predict(tile, timestep, conditioning, region_hw_px)
        both = model.predict(torch.cat([tile, tile]), timestep, conditioning, region_hw_px)
    unconditional, conditional = both.chunk(2)
    return unconditional + scale * (conditional - unconditional)


def guidance_halves(model: DiffusionModel, texts: Sequence[str], config: RunConfig) -> Conditioning:
    """The unconditional half first, then the prompts."""
    prompts = model.encode(texts)
    if config.sampling.guidance == 1:
        return prompts
    negative = model.encode_negative(config.prompt.negative, len(texts))
    pooled = None
    if prompts.pooled is not None and negative.pooled is not None:
        pooled = torch.cat([negative.pooled, prompts.pooled])
    return Conditioning(torch.cat([negative.embeddings, prompts.embeddings]), pooled)


def subject_rows(positions: Sequence[tuple[int, ...]], embeddings: torch.Tensor) -> torch.Tensor:
    """Weights of the tokens of each prompt's subject, float32 (prompts, tokens), in rows that sum to 1."""
    rows = torch.zeros(len(positions), embeddings.shape[1])
    for row, subject in zip(rows, positions, strict=True):
        row[list(subject)] = 1 / len(subject)
    return rows.to(embeddings.device)
