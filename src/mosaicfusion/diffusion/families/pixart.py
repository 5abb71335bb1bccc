"""PixArt-alpha and PixArt-Sigma: transformers with true cross-attention to T5's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from mosaicfusion.diffusion.families.pipeline import PipelineModel
from mosaicfusion.diffusion.family import Conditioning
from mosaicfusion.diffusion.text import Span, Spans


class PixArtAlpha(PipelineModel):
    """A PixArt-alpha model. Each region is conditioned as an image of its own size, where the model was trained so."""

    tokens: ClassVar[int] = 120  # that the model was trained with; the prompt is padded to them, and the padding masked

    def make_tokenizer(self) -> Any:
        """T5's; the pipeline reads prompts in lower case."""
        return Spans(Span(self.pipeline.tokenizer, self.tokens, lower=True))

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Embeddings (B, tokens, channels), and which of them count."""
        self.activate(*self._encoders)
        embeddings, mask, _, _ = self.pipeline.encode_prompt(
            list(prompts), False, device=self.device, max_sequence_length=self.tokens
        )
        return Conditioning(embeddings, mask=mask)

    def project(self, embeddings: torch.Tensor) -> torch.Tensor:
        """See :class:`PipelineModel`; to the width of the transformer."""
        self.activate(self.denoiser)
        projected: torch.Tensor = self.denoiser.caption_projection(embeddings)
        return projected

    def predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> torch.Tensor:
        """One call of the transformer: (B, C, h, w) float32 -> (B, C, h, w) float32, without the variance it may predict."""
        self.activate(self.denoiser)
        unpacked = self.unpack(latents)
        prediction: torch.Tensor = self.denoiser(
            unpacked.to(self.dtype),
            encoder_hidden_states=conditioning.embeddings,
            encoder_attention_mask=conditioning.mask,
            timestep=timestep.expand(len(latents)),
            added_cond_kwargs=self._sizes(len(latents), region_hw_px),
            return_dict=False,
        )[0]
        return self.pack(prediction[:, : unpacked.shape[1]].float())

    def _sizes(self, count: int, region_hw_px: tuple[int, int]) -> dict[str, torch.Tensor | None]:
        if not self.denoiser.use_additional_conditions:
            return {"resolution": None, "aspect_ratio": None}
        height, width = region_hw_px
        resolution, ratio = (
            torch.tensor([values], device=self.device, dtype=self.dtype).expand(count, -1)
            for values in ([height, width], [height / width])
        )
        return {"resolution": resolution, "aspect_ratio": ratio}


class PixArtSigma(PixArtAlpha):
    """A PixArt-Sigma model."""

    tokens: ClassVar[int] = 300
