"""Stable Diffusion 3 and 3.5: joint attention of the image and the text of three encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from mosaicfusion.diffusion.families.pipeline import PipelineModel
from mosaicfusion.diffusion.family import Conditioning, TextPlace
from mosaicfusion.diffusion.text import Span, Spans

_T5_TOKENS = 256


class StableDiffusion3(PipelineModel):
    """A model of Stable Diffusion 3 or 3.5; its third text encoder, T5, may be missing."""

    text_place: ClassVar[TextPlace] = "last"
    unused_parts: ClassVar[dict[str, Any]] = {"feature_extractor": None, "image_encoder": None}

    @property
    def largest_side(self) -> int | None:
        """See :class:`PipelineModel`; the positions that the transformer knows."""
        return int(self.denoiser.config.pos_embed_max_size)

    def make_tokenizer(self) -> Any:
        """The text is CLIP's, whose two encoders lie side by side in the channels, and then T5's."""
        clip = Span(self.pipeline.tokenizer, self.pipeline.tokenizer_max_length)
        if self.pipeline.text_encoder_3 is None:
            return Spans(clip)
        return Spans(clip, Span(self.pipeline.tokenizer_3, _T5_TOKENS))

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Embeddings (B, tokens of CLIP and T5, channels), and CLIP's pooled output."""
        self.activate(*self._encoders)
        embeddings, _, pooled, _ = self.pipeline.encode_prompt(
            list(prompts),
            None,
            None,
            device=self.device,
            do_classifier_free_guidance=False,
            max_sequence_length=_T5_TOKENS,
        )
        return Conditioning(embeddings, pooled)

    def predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> torch.Tensor:
        """One call of the transformer: (B, C, h, w) float32 -> (B, C, h, w) float32, a velocity."""
        self.activate(self.denoiser)
        prediction: torch.Tensor = self.denoiser(
            hidden_states=self.unpack(latents).to(self.dtype),
            timestep=timestep.expand(len(latents)),
            encoder_hidden_states=conditioning.embeddings,
            pooled_projections=conditioning.pooled,
            return_dict=False,
        )[0]
        return self.pack(prediction.float())
