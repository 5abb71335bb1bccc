"""FLUX.1: joint attention in two streams and then in one, packed latents, and a guidance scale that the model takes itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from mosaicfusion.diffusion.families.pipeline import PipelineModel
from mosaicfusion.diffusion.family import Conditioning, TextPlace
from mosaicfusion.diffusion.text import Span, Spans


class Flux(PipelineModel):
    """A FLUX.1 model. Each region has positions of its own, as an image of its own size has."""

    text_place: ClassVar[TextPlace] = "first"
    trailing: ClassVar[bool] = True
    unused_parts: ClassVar[dict[str, Any]] = {"feature_extractor": None, "image_encoder": None}

    @property
    def patch(self) -> int:
        """See :class:`PipelineModel`; the pipeline packs, the transformer takes what it is given."""
        return 2

    @property
    def embeds_guidance(self) -> bool:
        """See :class:`PipelineModel`: true for dev, false for schnell."""
        return bool(self.denoiser.config.guidance_embeds)

    @property
    def tokens(self) -> int:
        """Tokens of T5 that the model was trained with."""
        return 512 if self.embeds_guidance else 256

    def make_tokenizer(self) -> Any:
        """T5's; of CLIP's text the transformer sees the pooled output alone."""
        return Spans(Span(self.pipeline.tokenizer_2, self.tokens))

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Embeddings (B, tokens of T5, channels), and CLIP's pooled output."""
        self.activate(*self._encoders)
        embeddings, pooled, _ = self.pipeline.encode_prompt(
            list(prompts), None, device=self.device, max_sequence_length=self.tokens
        )
        return Conditioning(embeddings, pooled)

    def predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> torch.Tensor:
        """One call of the transformer: (B, C, h, w) float32 -> (B, C, h, w) float32, a velocity."""
        self.activate(self.denoiser)
        count, _, height, width = latents.shape
        scale = conditioning.guidance
        prediction: torch.Tensor = self.denoiser(
            hidden_states=latents.flatten(2).transpose(1, 2).to(self.dtype),
            timestep=timestep.expand(count).to(self.dtype) / 1000,
            guidance=None if scale is None else torch.full((count,), scale, device=self.device),
            pooled_projections=conditioning.pooled,
            encoder_hidden_states=conditioning.embeddings,
            txt_ids=torch.zeros(conditioning.embeddings.shape[1], 3, device=self.device, dtype=self.dtype),
            img_ids=self._positions(height, width),
            return_dict=False,
        )[0]
        return prediction.float().transpose(1, 2).reshape(latents.shape)

    def _positions(self, height: int, width: int) -> torch.Tensor:
        """(0, row, column) of each cell, (h*w, 3)."""
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        cells = torch.stack([torch.zeros_like(rows), rows, columns], -1).flatten(0, 1)
        return cells.to(self.device, self.dtype)
