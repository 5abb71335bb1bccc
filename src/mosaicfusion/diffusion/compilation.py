"""Compiling the parts that the attention recorder does not replace, once for regions of all shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.resnet import ResnetBlock2D

from mosaicfusion.errors import MosaicFusionError, first_line

if TYPE_CHECKING:
    from mosaicfusion.diffusion.family import DiffusionModel

_LAYERS = (ResnetBlock2D, FeedForward)
_MAX_KINDS = 64  # of layers of one class; Stable Diffusion has 12 of ResnetBlock2D, torch's default limit is 8

# Torch treats sizes that are equal during tracing as one size, and those of 1 as constants. These sizes are above 1 and differ
# from each other and from the usual numbers of channels, even after three halvings, so the graph works for all regions. On a CPU,
# torch uses other convolutions for batches below 16, which then need a second graph.
_BATCH, _LATENT_HW = 18, (24, 40)


@torch.inference_mode()
def compile_parts(model: DiffusionModel) -> None:
    """Compile the residual blocks and feed-forwards of the denoiser, and the decoder, with torch.compile, before sampling starts.

    The attention layers are not compiled, since they are watched from outside, see
    :class:`~mosaicfusion.diffusion.attention.AttentionRecorder`. Raises
    :class:`MosaicFusionError` if compilation is not possible.
    """
    factor = model.latent_factor
    torch._dynamo.config.recompile_limit = _MAX_KINDS
    try:
        for layer in (*model.denoiser.modules(), model.vae.decoder):
            if isinstance(layer, _LAYERS) or layer is model.vae.decoder:
                layer.compile(dynamic=True)
        latents = torch.zeros(_BATCH, model.latent_channels, *_LATENT_HW, device=model.device)
        timestep = torch.tensor(1, device=model.device)
        region_hw_px = _LATENT_HW[0] * factor, _LATENT_HW[1] * factor
        text = model.encode(["a"] * _BATCH)
        text = replace(text, guidance=1.0) if model.embeds_guidance else text
        model.predict(latents, timestep, text, region_hw_px)
        model.decode(latents[:1])
    except RuntimeError as error:
        raise MosaicFusionError(
            f"the model cannot be compiled here ({first_line(error)}); a CPU needs a C++ compiler (g++ or clang), a GPU needs "
            "Triton: install it, or leave --compile out"
        ) from None
