"""Stable Diffusion XL: two text encoders, and the image's size as a condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from mosaicfusion.diffusion.families.stable_diffusion import StableDiffusion
from mosaicfusion.diffusion.family import Conditioning


class StableDiffusionXL(StableDiffusion):
    """An SDXL model. Each region is conditioned as an uncropped image of its own size."""

    unused_parts: ClassVar[dict[str, Any]] = {
        "feature_extractor": None,
        "image_encoder": None,
        "add_watermarker": False,
    }

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Both encoders' embeddings side by side, and the second one's pooled output."""
        self.activate(*self._encoders)
        embeddings, _, pooled, _ = self.pipeline.encode_prompt(
            list(prompts), device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        return Conditioning(embeddings, pooled)

    def encode_negative(self, prompt: str, count: int) -> Conditioning:
        """The encoded prompt, or zeros for an empty one if the pipeline's config says that the model was trained so."""
        negative = self.encode([prompt] * count)
        if prompt or not self.pipeline.config.force_zeros_for_empty_prompt:
            return negative
        assert negative.pooled is not None
        return Conditioning(torch.zeros_like(negative.embeddings), torch.zeros_like(negative.pooled))

    def added_conditions(
        self, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> dict[str, torch.Tensor] | None:
        """Pooled text and (original size, crop, target size) (Podell et al. 2023, section 2.2)."""
        assert conditioning.pooled is not None
        sizes = torch.tensor([[*region_hw_px, 0, 0, *region_hw_px]], device=self.device, dtype=self.dtype)
        return {"text_embeds": conditioning.pooled, "time_ids": sizes.expand(len(conditioning.pooled), -1)}
