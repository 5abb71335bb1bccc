"""The part that all families share: they are pipelines of diffusers, with a denoiser, text encoders and an autoencoder."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch.nn import functional

from mosaicfusion.diffusion.family import Conditioning, Part, TextPlace
from mosaicfusion.diffusion.schedulers import make_scheduler
from mosaicfusion.errors import MosaicFusionError, first_few, first_line
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.models.pipeline_folder import read_json

ENCODERS = ("", "_2", "_3")  # ends of the names of text encoders and their tokenizers


class PipelineModel(ABC):
    """The half of :class:`~mosaicfusion.diffusion.family.DiffusionModel` that is no family's own.

    Latents are handled in packed form: a cell is a token of the denoiser, so that a patch of 2 x 2 values is one cell with four
    times the channels (``pixel_unshuffle``). Text encoding is left to the pipeline, so that prompts mean what they mean there.
    """

    part: ClassVar[Part] = "transformer"
    text_place: ClassVar[TextPlace] = "apart"
    trailing: ClassVar[bool] = False  # sigmas from 1 down to 1 / steps, whatever the scheduler's own
    # Parts of the pipeline that serve other uses are not loaded.
    unused_parts: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, folder: Path, device: torch.device, dtype: torch.dtype, options: DeviceOptions, variant: str | None = None
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.pipeline = _load_pipeline(folder, dtype, variant, self.unused_parts)
        # Convolutions with channels last save the miniature an eighth of the U-Net's time, a third of the decoder's.
        self.denoiser = self._frozen(self.part)
        self.vae = self._frozen("vae")
        encoders = (getattr(self.pipeline, f"text_encoder{end}", None) for end in ENCODERS)
        self._encoders = tuple(encoder for encoder in encoders if encoder is not None)
        _check_vocabularies(folder, self.pipeline)
        self._offload = options.offload
        self._active: tuple[torch.nn.Module, ...] = ()
        if not options.offload:
            self.pipeline.to(device)
        if options.vae_tiling:
            self.vae.enable_tiling()
        self.tokenizer = self.make_tokenizer()
        self.latent_factor: int = self.pipeline.vae_scale_factor * self.patch
        self.latent_channels: int = self.vae.config.latent_channels * self.patch**2

    @property
    def patch(self) -> int:
        """Side of a token of the denoiser, in values of the autoencoder's latents."""
        return 1 if self.part == "unet" else int(self.denoiser.config.patch_size)

    @property
    def embeds_guidance(self) -> bool:
        """True if the denoiser takes the guidance scale as an input."""
        return False

    @property
    def largest_side(self) -> int | None:
        """Most cells of an image's side that the denoiser takes; ``None`` for any number."""
        return None

    def make_tokenizer(self) -> Any:
        """The tokenizer of the prompts, with offsets; a family with another text than CLIP's has its own."""
        return self.pipeline.tokenizer

    def project(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings of prompts as the attention layers get them; a family whose denoiser changes them first has its own."""
        return embeddings

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents of the autoencoder (B, c, patch h, patch w) -> (B, C, h, w)."""
        return functional.pixel_unshuffle(latents, self.patch)

    def unpack(self, latents: torch.Tensor) -> torch.Tensor:
        """The inverse of :meth:`pack`."""
        return functional.pixel_shuffle(latents, self.patch)

    def encode_images(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Images of one size, uint8 RGB (B, H, W, 3) -> latents (B, C, h, w) float32, the inverse of :meth:`decode`."""
        scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device) / 127.5 - 1
        encoded = self.vae.encode(scaled.to(self._activate_vae()))
        names = ("latents", "latent")  # of the autoencoders that have no distribution
        plain = next((getattr(encoded, name) for name in names if hasattr(encoded, name)), None)
        latents = encoded.latent_dist.mode() if plain is None else plain
        mean, scale = self._moments()
        return self.pack((latents.float() - mean) * scale)

    def decode(self, latents: torch.Tensor) -> NDArray[np.uint8] | None:
        """Latents of one canvas, (1, C, h, w) float32 -> uint8 RGB (H, W, 3); ``None`` where numbers are not finite."""
        if not bool(latents.isfinite().all()):  # a decoder may squash them to plausible pixels
            return None
        vae_dtype = self._activate_vae()
        mean, scale = self._moments()
        scaled = self.unpack(latents) / scale + mean
        image = self.vae.decode(scaled.to(vae_dtype), return_dict=False)[0][0]  # (3, H, W) in [-1, 1]
        if not bool(image.isfinite().all()):
            return None
        pixels = (image.float() / 2 + 0.5).clamp(0, 1).mul(255).round().permute(1, 2, 0)
        return np.ascontiguousarray(pixels.to("cpu", torch.uint8).numpy())

    def _moments(self) -> tuple[Any, Any]:
        """Shift and scale of the autoencoder's latents: numbers, or (c, 1, 1)."""
        config = self.vae.config
        mean, deviation = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if mean is None or deviation is None:
            return getattr(config, "shift_factor", None) or 0, config.scaling_factor
        by_channel = torch.tensor([mean, deviation], device=self.device)[..., None, None]
        return by_channel[0], config.scaling_factor / by_channel[1]

    def _activate_vae(self) -> torch.dtype:
        """Get the autoencoder ready; return the dtype that it computes in."""
        self.activate(self.vae)
        if self.dtype == torch.float16 and getattr(self.vae.config, "force_upcast", False):
            self.vae.to(torch.float32)  # SDXL's autoencoder overflows in float16
            return torch.float32
        return self.dtype

    @abstractmethod
    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """See :class:`~mosaicfusion.diffusion.family.DiffusionModel`."""

    def encode_negative(self, prompt: str, count: int) -> Conditioning:
        """Embeddings of the unconditional half, ``count`` times the same."""
        return self.encode([prompt] * count)

    def scheduler(self, name: str, steps: int, cells: int | None = None) -> Any:
        """A fresh diffusers scheduler, configured as the model's own, with its timesteps set.

        ``cells``: of the largest image that the denoiser sees, for schedules that depend on it.
        """
        return make_scheduler(self.pipeline.scheduler, name, steps, self.device, cells, self.trailing)

    def activate(self, *parts: torch.nn.Module) -> None:
        """Get these parts ready for use: with offloading, move them to the device and all others off it.

        Call it before a part is used; a family's ``predict`` calls it with the denoiser. Parts that are ready stay where they
        are, so that they are moved once per stage, not once per region.
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

    def _frozen(self, name: str) -> Any:
        return getattr(self.pipeline, name).eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _check_vocabularies(folder: Path, pipeline: Any) -> None:
    """Refuse a tokenizer with tokens that its text encoder has no embedding for."""
    for end in ENCODERS:
        tokenizer, encoder = (getattr(pipeline, part + end, None) for part in ("tokenizer", "text_encoder"))
        if tokenizer is None or encoder is None:
            continue
        known = encoder.get_input_embeddings().num_embeddings
        unknown = [token for token, number in tokenizer.get_vocab().items() if number >= known]
        if unknown:
            raise MosaicFusionError(
                f"{folder / f'tokenizer{end}'} has tokens without an embedding in text_encoder{end}: "
                f"{first_few(sorted(unknown))}; save both after resize_token_embeddings, or remove the tokens"
            )


def _load_pipeline(folder: Path, dtype: torch.dtype, variant: str | None, unused: dict[str, Any]) -> Any:
    # Their progress bars, and remarks on unusual but working configs, would disturb our own progress bar.
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("diffusers").propagate = False
    # Parts that a model was saved without, such as Stable Diffusion 3's T5, are left out by name.
    index = read_json(folder / "model_index.json")
    absent = {part: None for part, origin in index.items() if origin == [None, None]}
    try:
        return diffusers.DiffusionPipeline.from_pretrained(
            folder, dtype=dtype, variant=variant, use_safetensors=True, local_files_only=True, **{**absent, **unused}
        )
    except Exception as error:  # three libraries, each with its own errors for damaged files
        raise MosaicFusionError(f"cannot load the model in {folder}: {first_line(error, 300)}") from None
