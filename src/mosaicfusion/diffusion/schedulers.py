"""The schedulers of diffusers that fit a model, by short name or class."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import diffusers
import numpy as np

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

# For models of flow matching, whose own is the first.
FLOW_NAMES = {
    "euler": "FlowMatchEulerDiscreteScheduler",
    "heun": "FlowMatchHeunDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
}

_NOT_SEEDED = "DPMSolverSDEScheduler"  # its noise does not follow our seeds
_DECISIVE = ("prediction_type", "beta_schedule", "trained_betas", "rescale_betas_zero_snr", "use_flow_sigmas")
"""Settings that decide what the denoiser was trained to predict; diffusers passes over those that a scheduler does not know."""


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


def make_scheduler(
    own: Any, name: str, steps: int, device: Any, cells: int | None = None, trailing: bool = False
) -> Any:
    """A fresh scheduler, configured as the model's ``own``, with its timesteps set.

    ``name``: ``model`` for the class of ``own``, a short name or a class. ``cells``: of the largest image, for schedules that
    depend on it. ``trailing``: sigmas from 1 down to 1 / steps, where the scheduler takes them. Raises
    :class:`MosaicFusionError`.
    """
    names, fitting = _fitting(own)
    kind = type(own) if name == "model" else fitting.get(names.get(name.lower(), name))
    if kind is None:
        raise MosaicFusionError(
            f"scheduler {name!r:.60} does not fit this model{_reason(own, name)}; choose one of {_choices(names, fitting)}"
        )
    trained = own.config.get("num_train_timesteps", 1000)
    if steps > trained:
        raise MosaicFusionError(
            f"{steps} sampling steps are too many: the model was trained on {trained}; 50 are usual"
        )
    try:
        scheduler = kind.from_config(own.config, **_translated(own, kind))
        scheduler.set_timesteps(steps, device=device, **_timing(scheduler, steps, cells, trailing))
    except (TypeError, ValueError, NotImplementedError, ImportError, IndexError) as error:
        raise MosaicFusionError(
            f"scheduler {name!r} cannot run {steps} steps with this model ({first_line(error)}); more steps, or one of "
            f"{_choices(names, fitting)} may do"
        ) from None
    return scheduler


def _is_flow(own: Any) -> bool:
    return type(own).__name__.startswith("FlowMatch")


def _translated(own: Any, kind: Any) -> dict[str, Any]:
    """Settings of a solver that knows flow matching among other things, from those of a scheduler that knows nothing else."""
    if not _is_flow(own) or kind.__name__.startswith("FlowMatch"):
        return {}
    return {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": own.config.shift}


def _timing(scheduler: Any, steps: int, cells: int | None, trailing: bool) -> dict[str, Any]:
    """Arguments of ``set_timesteps`` besides the number of steps."""
    config, known = scheduler.config, inspect.signature(scheduler.set_timesteps).parameters
    timing: dict[str, Any] = {}
    if config.get("use_dynamic_shifting"):
        first, last = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        timing["mu"] = low + (high - low) * ((first if cells is None else cells) - first) / (last - first)
    if trailing and "sigmas" in known and not config.get("use_flow_sigmas"):
        timing["sigmas"] = np.linspace(1, 1 / steps, steps)
    return timing


def _fitting(own: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Short names, and the schedulers that know all decisive settings of the model's own, by class name."""
    if _is_flow(own):
        static = not own.config.get("use_dynamic_shifting")  # Heun's does not know the other
        kinds = {name: getattr(diffusers, name) for short, name in FLOW_NAMES.items() if static or short != "heun"}
        return FLOW_NAMES, kinds | {type(own).__name__: type(own)}
    kinds = {kind.__name__: kind for kind in (*own.compatibles, type(own))}
    return SHORT_NAMES, {
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


def _choices(names: dict[str, str], fitting: dict[str, Any]) -> str:
    short = [name for name, kind in names.items() if kind in fitting]
    others = [name for name in fitting if name not in names.values()]
    return ", ".join((*short, "model", *others))
