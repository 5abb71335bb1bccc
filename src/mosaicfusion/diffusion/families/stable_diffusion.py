"""Stable Diffusion 1.x and 2.x."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from mosaicfusion.diffusion.family import Conditioning, TextPlace
from mosaicfusion.diffusion.schedulers import make_scheduler
from mosaicfusion.errors import MosaicFusionError, first_few, first_line
from mosaicfusion.models.device import DeviceOptions


class StableDiffusion:
    """A Stable Diffusion 1.x or 2.x model; implements :class:`~mosaicfusion.diffusion.family.DiffusionModel`.

    Text encoding is left to the diffusers pipeline, so that prompts mean what they mean there.
    """

    text_place: ClassVar[TextPlace] = "apart"
    # Parts of the pipeline that serve other uses are not loaded.
    unused_parts: ClassVar[dict[str, Any]] = {"safety_checker": None, "feature_extractor": None, "image_encoder": None}

    def __init__(
        self, folder: Path, device: torch.device, dtype: torch.dtype, options: DeviceOptions, variant: str | None = None
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.pipeline = _load_pipeline(folder, dtype, variant, self.unused_parts)
        # Convolutions with channels last save the miniature an eighth of the U-Net's time, a third of the decoder's.
        self.denoiser = self.pipeline.unet.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.vae = self.pipeline.vae.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        encoders = self.pipeline.text_encoder, getattr(self.pipeline, "text_encoder_2", None)
        self._encoders = tuple(encoder for encoder in encoders if encoder is not None)
        _check_vocabularies(folder, self.pipeline)
        self._offload = options.offload
        self._active: tuple[torch.nn.Module, ...] = ()
        if not options.offload:
            self.pipeline.to(device)
        if options.vae_tiling:
            self.vae.enable_tiling()
        self.tokenizer = self.pipeline.tokenizer
        self.latent_factor: int = self.pipeline.vae_scale_factor
        self.latent_channels: int = self.denoiser.config.in_channels

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Embeddings (B, tokens, channels) of the prompts."""
        self.activate(*self._encoders)
        embeddings, _ = self.pipeline.encode_prompt(list(prompts), self.device, 1, do_classifier_free_guidance=False)
        return Conditioning(embeddings)

    def encode_negative(self, prompt: str, count: int) -> Conditioning:
        """Embeddings of the unconditional half, ``count`` times the same."""
        return self.encode([prompt] * count)

    def predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> torch.Tensor:
        """One U-Net call: (B, C, h, w) float32 -> (B, C, h, w) float32."""
        self.activate(self.denoiser)
        prediction: torch.Tensor = self.denoiser(
            latents.to(self.dtype),
            timestep,
            encoder_hidden_states=conditioning.embeddings,
            added_cond_kwargs=self.added_conditions(conditioning, region_hw_px),
            return_dict=False,
        )[0]
        return prediction.float()

    def added_conditions(
        self, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> dict[str, torch.Tensor] | None:
        """Conditions besides the prompt's embeddings: none in this family."""
        return None

    def encode_images(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Images of one size, uint8 RGB (B, H, W, 3) -> latents (B, C, h, w) float32, the inverse of :meth:`decode`."""
        scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device) / 127.5 - 1
        encoded = self.vae.encode(scaled.to(self._activate_vae()))
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        result: torch.Tensor = (latents.float() - self._shift) * self.vae.config.scaling_factor
        return result

    def decode(self, latents: torch.Tensor) -> NDArray[np.uint8] | None:
        """Latents of one canvas, (1, C, h, w) float32 -> uint8 RGB (H, W, 3); ``None`` where numbers are not finite."""
        if not bool(latents.isfinite().all()):  # a decoder may squash them to plausible pixels
            return None
        vae_dtype = self._activate_vae()
        scaled = latents / self.vae.config.scaling_factor + self._shift
        image = self.vae.decode(scaled.to(vae_dtype), return_dict=False)[0][0]  # (3, H, W) in [-1, 1]
        if not bool(image.isfinite().all()):
            return None
        pixels = (image.float() / 2 + 0.5).clamp(0, 1).mul(255).round().permute(1, 2, 0)
        return np.ascontiguousarray(pixels.to("cpu", torch.uint8).numpy())

    @property
    def _shift(self) -> float:
        return getattr(self.vae.config, "shift_factor", None) or 0

    def _activate_vae(self) -> torch.dtype:
        """Get the autoencoder ready; return the dtype that it computes in."""
        self.activate(self.vae)
        if self.dtype == torch.float16 and getattr(self.vae.config, "force_upcast", False):
            self.vae.to(torch.float32)  # SDXL's autoencoder overflows in float16
            return torch.float32
        return self.dtype

    def scheduler(self, name: str, steps: int) -> Any:
        """A fresh diffusers scheduler, configured as the model's own, with its timesteps set."""
        return make_scheduler(self.pipeline.scheduler, name, steps, self.device)

    def activate(self, *parts: torch.nn.Module) -> None:
        """Get these parts ready for use: with offloading, move them to the device and all others off it.

        Call it before a part is used; a family that replaces :meth:`predict` calls it with the U-Net. Parts that are ready stay
        where they are, so that they are moved once per stage, not once per region.
        """
        if not self._offload or parts == self._active:
            return
        self._active = ()  # in case the memory does not suffice
        for part in (*self._encoders, self.denoiser, self.vae):
            if part not in parts:
                part.to("cpu")
        for part in parts:
            part.to(self.device)
        self._active = parts


def _check_vocabularies(folder: Path, pipeline: Any) -> None:
    """Refuse a tokenizer with tokens that its text encoder has no embedding for."""
    for suffix in ("", "_2"):
        tokenizer, encoder = (getattr(pipeline, part + suffix, None) for part in ("tokenizer", "text_encoder"))
        if tokenizer is None or encoder is None:
            continue
        known = encoder.get_input_embeddings().num_embeddings
        unknown = [token for token, number in tokenizer.get_vocab().items() if number >= known]
        if unknown:
            raise MosaicFusionError(
                f"{folder / f'tokenizer{suffix}'} has tokens without an embedding in text_encoder{suffix}: "
                f"{first_few(sorted(unknown))}; save both after resize_token_embeddings, or remove the tokens"
            )


def _load_pipeline(folder: Path, dtype: torch.dtype, variant: str | None, unused: dict[str, Any]) -> Any:
    # Their progress bars, and remarks on unusual but working configs, would disturb our own progress bar.
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("diffusers").propagate = False
    try:
        return diffusers.DiffusionPipeline.from_pretrained(
            folder, dtype=dtype, variant=variant, use_safetensors=True, local_files_only=True, **unused
        )
    except Exception as error:  # three libraries, each with its own errors for damaged files
        raise MosaicFusionError(f"cannot load the model in {folder}: {first_line(error, 300)}") from None
