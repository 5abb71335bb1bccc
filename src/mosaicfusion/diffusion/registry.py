"""The model families. To add one, write a :class:`DiffusionModel` in ``families/`` and register it here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.device import DeviceOptions, resolve_device, resolve_dtype
from mosaicfusion.models.pipeline_folder import find_variant, pipeline_class

if TYPE_CHECKING:
    from mosaicfusion.diffusion.family import DiffusionModel


@dataclass(frozen=True)
class Family:
    """Facts of a family before a model of it is loaded.

    ``implementation``: MODULE:CLASS, imported when a model is loaded; it knows the rest. ``preset``: the default, by name.
    ``cell_px``: pixels of the image per latent cell in its published models. ``attention``: image and text meet in
    cross-attention, or in one joint attention. ``weights_gb``: of published models in 16 bits, by their numbers of parameters.
    """

    implementation: str
    preset: str
    title: str = ""
    cell_px: int = 8
    attention: Literal["cross", "joint"] = "cross"
    weights_gb: str = ""

    def load_class(self) -> type[DiffusionModel]:
        """Import the class."""
        module, _, name = self.implementation.partition(":")
        found: type[DiffusionModel] = getattr(import_module(module), name)
        return found


_FAMILIES = "mosaicfusion.diffusion.families"

# By the class of the diffusers pipeline, as model_index.json names it.
FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": Family(
        f"{_FAMILIES}.stable_diffusion:StableDiffusion",
        "paper",
        title="Stable Diffusion 1, 2",
        weights_gb="2.1-2.6",
    ),
    "StableDiffusionXLPipeline": Family(f"{_FAMILIES}.sdxl:StableDiffusionXL", "sdxl", title="SDXL", weights_gb="6.9"),
    "PixArtAlphaPipeline": Family(
        f"{_FAMILIES}.pixart:PixArtAlpha", "pixart", title="PixArt-alpha", cell_px=16, weights_gb="10.9"
    ),
    "PixArtSigmaPipeline": Family(
        f"{_FAMILIES}.pixart:PixArtSigma", "pixart", title="PixArt-Sigma", cell_px=16, weights_gb="10.9"
    ),
    "SanaPipeline": Family(f"{_FAMILIES}.sana:Sana", "sana", title="Sana", cell_px=32, weights_gb="7-9"),
    "StableDiffusion3Pipeline": Family(
        f"{_FAMILIES}.sd3:StableDiffusion3",
        "sd3",
        title="Stable Diffusion 3, 3.5",
        cell_px=16,
        attention="joint",
        weights_gb="15-28",
    ),
    "FluxPipeline": Family(
        f"{_FAMILIES}.flux:Flux",
        "flux",
        title="FLUX.1 dev, schnell",
        cell_px=16,
        attention="joint",
        weights_gb="34",
    ),
}


def family_of(folder: Path) -> Family:
    """The family of a model folder; raises :class:`MosaicFusionError` for one that is not supported."""
    name = pipeline_class(folder)
    if name not in FAMILIES:
        raise MosaicFusionError(
            f"{folder} holds a {name}; supported: {', '.join(FAMILIES)} (`mosaicfusion models`; docs/extending.md adds one)"
        )
    return FAMILIES[name]


def load_model(
    folder: Path, options: DeviceOptions | str = "auto", dtype: str = "auto", variant: str | None = None
) -> DiffusionModel:
    """Load a model folder in diffusers format, as :func:`mosaicfusion.models.hub.find_model` returns it.

    ``options``: execution settings, or the name of a device. ``dtype``: ``auto`` is float16 on a GPU, float32 elsewhere.
    ``variant``: of the weights, see :func:`mosaicfusion.models.pipeline_folder.find_variant`.
    Raises :class:`MosaicFusionError` if the family is not supported, a file cannot be read, the device is not available or
    the model cannot be compiled for it.
    """
    import torch

    options, family = DeviceOptions.of(options), family_of(folder)
    device = resolve_device(options.device)
    number_format = getattr(torch, resolve_dtype(dtype, device))
    model = family.load_class()(folder, device, number_format, options, find_variant(folder, variant))
    if options.compile:
        from mosaicfusion.diffusion.compilation import compile_parts

        compile_parts(model)
    return model
