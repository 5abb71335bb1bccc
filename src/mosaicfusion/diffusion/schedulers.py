"""The schedulers of diffusers that fit a model, by short name or class."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import diffusers

from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.models.pipeline_folder import scheduler_config

# Short names of schedulers; any other name is the class of a diffusers scheduler.
SHORT_NAMES = {
    "lms": "LMSDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler-a": "EulerAncestralDiscreteScheduler",
    "pndm": "PNDMScheduler",
    "unipc": "UniPCMultistepScheduler",
}

_NOT_SEEDED = "DPMSolverSDEScheduler"  # its noise does not follow our seeds
_DECISIVE = ("prediction_type", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")
"""Settings that decide what the U-Net was trained to predict; diffusers passes over those that a scheduler does not know."""


def check_scheduler(folder: Path, name: str, steps: int) -> None:
    """Raise :class:`MosaicFusionError` unless a scheduler fits the model in a folder, without loading its weights."""
    kind = str(scheduler_config(folder).get("_class_name"))
    try:
        own = getattr(diffusers, kind).from_pretrained(folder / "scheduler", local_files_only=True)
    except Exception as error:  # whatever a damaged file makes diffusers raise
        raise MosaicFusionError(
            f"cannot load the scheduler {kind!r:.60} of {folder}: {first_line(error)}; download or copy the model again"
        ) from None
    make_scheduler(own, name, steps, "cpu")


def make_scheduler(own: Any, name: str, steps: int, device: Any) -> Any:
    """A fresh scheduler, configured as the model's ``own``, with its timesteps set.

    ``name``: ``model`` for the class of ``own``, a short name or a class. Raises :class:`MosaicFusionError`.
    """
    fitting = _fitting(own)
    kind = type(own) if name == "model" else fitting.get(SHORT_NAMES.get(name.lower(), name))
    if kind is None:
        raise MosaicFusionError(
            f"scheduler {name!r:.60} does not fit this model{_reason(own, name)}; choose one of {_choices(fitting)}"
        )
    trained = own.config.get("num_train_timesteps", 1000)
    if steps > trained:
        raise MosaicFusionError(
            f"{steps} sampling steps are too many: the model was trained on {trained}; 50 are usual"
        )
    try:
        scheduler = kind.from_config(own.config)
        scheduler.set_timesteps(steps, device=device)
    except (TypeError, ValueError, NotImplementedError, ImportError, IndexError) as error:
        raise MosaicFusionError(
            f"scheduler {name!r} cannot run {steps} steps with this model ({first_line(error)}); more steps, or one of "
            f"{_choices(fitting)} may do"
        ) from None
    return scheduler


def _fitting(own: Any) -> dict[str, Any]:
    """The schedulers that know all decisive settings of the model's own, by class name."""
    kinds = {kind.__name__: kind for kind in (*own.compatibles, type(own))}
    return {
        name: kind
        for name, kind in sorted(kinds.items())
        if kind is type(own) or (name != _NOT_SEEDED and not _ignored(own, kind))
    }


def _ignored(own: Any, kind: Any) -> list[str]:
    known = inspect.signature(kind).parameters
    return [key for key in _DECISIVE if own.config.get(key) and key not in known]


def _reason(own: Any, name: str) -> str:
    kinds = {kind.__name__: kind for kind in own.compatibles}
    kind = kinds.get(SHORT_NAMES.get(name.lower(), name))
    ignored = _ignored(own, kind) if kind else []
    return f", because it ignores {' and '.join(ignored)}" if ignored else ""


def _choices(fitting: dict[str, Any]) -> str:
    short = [name for name, kind in SHORT_NAMES.items() if kind in fitting]
    others = [name for name in fitting if name not in SHORT_NAMES.values()]
    return ", ".join((*short, "model", *others))
