"""Stable Diffusion 1.x and 2.x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from mosaicfusion.diffusion.families.pipeline import PipelineModel
from mosaicfusion.diffusion.family import Conditioning, Part


class StableDiffusion(PipelineModel):
    """A Stable Diffusion 1.x or 2.x model; implements :class:`~mosaicfusion.diffusion.family.DiffusionModel`."""

    part: ClassVar[Part] = "unet"
    unused_parts: ClassVar[dict[str, Any]] = {"safety_checker": None, "feature_extractor": None, "image_encoder": None}

    @property
    def embeds_guidance(self) -> bool:
        """See :class:`PipelineModel`: true for U-Nets that were distilled so."""
        return self.denoiser.config.time_cond_proj_dim is not None

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Embeddings (B, tokens, channels) of the prompts."""
        self.activate(*self._encoders)
        embeddings, _ = self.pipeline.encode_prompt(list(prompts), self.device, 1, do_classifier_free_guidance=False)
        return Conditioning(embeddings)

    def predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> torch.Tensor:
        """One U-Net call: (B, C, h, w) float32 -> (B, C, h, w) float32."""
        self.activate(self.denoiser)
        prediction: torch.Tensor = self.denoiser(
            latents.to(self.dtype),
            timestep,
            encoder_hidden_states=conditioning.embeddings,
            timestep_cond=self._strength(conditioning.guidance, len(latents)),
            added_cond_kwargs=self.added_conditions(conditioning, region_hw_px),
            return_dict=False,
        )[0]
        return prediction.float()

    def _strength(self, guidance: float | None, count: int) -> torch.Tensor | None:
        """The guidance scale as the U-Net takes it, (B, channels)."""
        if guidance is None:
            return None
        width = self.denoiser.config.time_cond_proj_dim
        scales = torch.full((count,), guidance - 1, device=self.device)
        strength: torch.Tensor = self.pipeline.get_guidance_scale_embedding(scales, width)
        return strength.to(self.device, self.dtype)

    def added_conditions(
        self, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> dict[str, torch.Tensor] | None:
        """Conditions besides the prompt's embeddings: none in this family."""
        return None
