"""Sana: a transformer with linear self-attention and true cross-attention to the text of a language model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from mosaicfusion.diffusion.families.pipeline import PipelineModel
from mosaicfusion.diffusion.family import Conditioning
from mosaicfusion.diffusion.text import Span, Spans

_TOKENS = 300
_INSTRUCTION = "complex_human_instruction"  # the name of the pipeline's argument


class Sana(PipelineModel):
    """A Sana model. A cell is 32 pixels. Prompts follow the instruction of the pipeline, of which the denoiser reads the end."""

    @property
    def instruction(self) -> list[str]:
        """The lines before each prompt, the pipeline's own."""
        default: list[str] = inspect.signature(type(self.pipeline).__call__).parameters[_INSTRUCTION].default
        return default

    def make_tokenizer(self) -> Any:
        """The language model's; the pipeline reads prompts in lower case."""
        return Spans(Span(self.pipeline.tokenizer, _TOKENS, lower=True, before="\n".join(self.instruction)))

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Embeddings (B, tokens, channels), and which of them count."""
        return self._encode(prompts, self.instruction)

    def encode_negative(self, prompt: str, count: int) -> Conditioning:
        """Embeddings of the unconditional half, ``count`` times the same; it has no instruction."""
        return self._encode([prompt] * count, None)

    def _encode(self, prompts: Sequence[str], instruction: list[str] | None) -> Conditioning:
        self.activate(*self._encoders)
        embeddings, mask, _, _ = self.pipeline.encode_prompt(
            list(prompts),
            False,
            device=self.device,
            max_sequence_length=_TOKENS,
            **{_INSTRUCTION: instruction},
        )
        return Conditioning(embeddings.to(self.dtype), mask=mask)

    def project(self, embeddings: torch.Tensor) -> torch.Tensor:
        """See :class:`PipelineModel`; to the width of the transformer."""
        self.activate(self.denoiser)
        projected: torch.Tensor = self.denoiser.caption_norm(self.denoiser.caption_projection(embeddings))
        return projected

    def predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> torch.Tensor:
        """One call of the transformer: (B, C, h, w) float32 -> (B, C, h, w) float32, a velocity."""
        self.activate(self.denoiser)
        unpacked = self.unpack(latents)
        prediction: torch.Tensor = self.denoiser(
            unpacked.to(self.dtype),
            encoder_hidden_states=conditioning.embeddings,
            encoder_attention_mask=conditioning.mask,
            timestep=timestep.expand(len(latents)) * self.denoiser.config.timestep_scale,
            return_dict=False,
        )[0]
        return self.pack(prediction[:, : unpacked.shape[1]].float())
