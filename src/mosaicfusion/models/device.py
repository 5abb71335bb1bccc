"""Where and how a model is executed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicfusion.errors import MosaicFusionError, first_line

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DeviceOptions:
    """How a machine draws, not what: none is part of a run, and none changes more than rounding does, but tiles their seams.

    ``device``: ``auto`` takes a GPU if there is one. ``threads``: of the CPU; all cores if left out. ``compile``: the U-Net's
    convolutions and the decoder by torch.compile, see :mod:`mosaicfusion.diffusion.compilation`. ``offload``: of text encoders,
    U-Net and autoencoder only the one in use is on the device. ``vae_tiling``: canvases are decoded in overlapping tiles of the
    autoencoder's own picture size (``docs/performance.md`` says what that changes).
    """

    device: str = "auto"
    threads: int | None = None
    compile: bool = False
    offload: bool = False
    vae_tiling: bool = False


def resolve_device(device: str) -> torch.device:
    """``auto`` -> the first of CUDA, Apple's MPS, CPU; an unavailable device raises :class:`MosaicFusionError`."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        target = torch.device(device)
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise MosaicFusionError(
            f"device {device!r} cannot be used ({first_line(error, 120)}); try --device cpu"
        ) from None
    return target


def resolve_dtype(dtype: str, device: torch.device) -> str:
    """``auto`` -> ``float16`` on a GPU, ``float32`` elsewhere."""
    return dtype if dtype != "auto" else "float32" if device.type == "cpu" else "float16"
