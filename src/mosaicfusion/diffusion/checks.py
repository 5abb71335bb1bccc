"""Checks before a model's weights are loaded."""

from __future__ import annotations

from pathlib import Path

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.registry import family_of
from mosaicfusion.diffusion.schedulers import check_scheduler
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.pipeline_folder import takes_guidance


def check_settings(folder: Path, config: RunConfig) -> None:
    """Raise :class:`MosaicFusionError` unless the settings fit the family and the scheduler of the model in a folder."""
    family = family_of(folder)
    if family.attention == "joint" and getattr(config.layout, "binding", None) == "rendered":
        raise MosaicFusionError(
            f"binding=rendered needs cross-attention; {family.title} has joint attention of image and text: take cutouts or tiles"
        )
    if config.prompt.negative and takes_guidance(folder):
        raise MosaicFusionError(
            f"the model in {folder} takes the guidance as an input and reads no negative prompt: leave prompt.negative out"
        )
    check_scheduler(folder, config.sampling.scheduler, config.sampling.steps)
