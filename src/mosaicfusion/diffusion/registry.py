"""The model families. To add one, write a :class:`DiffusionModel` in ``families/`` and register it here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.device import DeviceOptions, resolve_device, resolve_dtype
from mosaicfusion.models.pipeline_folder import find_variant, pipeline_class


@dataclass(frozen=True)
class Family:
    """``implementation``: MODULE:CLASS, imported when a model is loaded. ``preset``: the default, by name."""

    implementation: str
    preset: str

    def load_class(self) -> type[DiffusionModel]:
        """Import the class."""
        module, _, name = self.implementation.partition(":")
        found: type[DiffusionModel] = getattr(import_module(module), name)
        return found


# By the class of the diffusers pipeline, as model_index.json names it.
FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": Family("mosaicfusion.diffusion.families.stable_diffusion:StableDiffusion", "paper"),
    "StableDiffusionXLPipeline": Family("mosaicfusion.diffusion.families.sdxl:StableDiffusionXL", "sdxl"),
}


def family_of(folder: Path) -> Family:
    """The family of a model folder; raises :class:`MosaicFusionError` for one that is not supported."""
    name = pipeline_class(folder)
    if name not in FAMILIES:
        raise MosaicFusionError(f"{folder} holds a {name}; supported: {', '.join(FAMILIES)}")
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
