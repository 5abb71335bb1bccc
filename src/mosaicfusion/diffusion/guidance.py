"""Classifier-free guidance: prompts of both halves, and their prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.family import DENOISERS, Conditioning, DiffusionModel
from mosaicfusion.profiling import stage


def guided_prediction(
    model: DiffusionModel,
    tile: torch.Tensor,
    timestep: torch.Tensor,
    conditioning: Conditioning,
    config: RunConfig,
    region_hw_px: tuple[int, int],
) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans 2022) in one call of the denoiser, or its only prediction without two halves."""
    with stage(DENOISERS[model.part]):
        if not has_halves(model, config):
            return model.predict(tile, timestep, conditioning, region_hw_px)
        both = model.predict(torch.cat([tile, tile]), timestep, conditioning, region_hw_px)
    unconditional, conditional = both.chunk(2)
    return unconditional + config.sampling.guidance * (conditional - unconditional)


def has_halves(model: DiffusionModel, config: RunConfig) -> bool:
    """True if there is an unconditional half: not at guidance 1, nor where the denoiser takes the scale as an input."""
    return config.sampling.guidance != 1 and not model.embeds_guidance


def guidance_halves(model: DiffusionModel, texts: Sequence[str], config: RunConfig) -> Conditioning:
    """The unconditional half first, if there is one, then the prompts."""
    prompts = encode_prompts(model, texts, config)
    if has_halves(model, config):
        return model.encode_negative(config.prompt.negative, len(texts)).followed_by(prompts)
    return prompts


def encode_prompts(model: DiffusionModel, texts: Sequence[str], config: RunConfig) -> Conditioning:
    """The prompts, with the guidance scale if the denoiser takes it as an input."""
    prompts = model.encode(texts)
    return replace(prompts, guidance=config.sampling.guidance) if model.embeds_guidance else prompts


def subject_rows(positions: Sequence[tuple[int, ...]], embeddings: torch.Tensor) -> torch.Tensor:
    """Weights of the tokens of each prompt's subject, float32 (prompts, tokens), in rows that sum to 1."""
    rows = torch.zeros(len(positions), embeddings.shape[1])
    for row, subject in zip(rows, positions, strict=True):
        row[list(subject)] = 1 / len(subject)
    return rows.to(embeddings.device)
