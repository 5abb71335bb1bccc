"""Execution settings, and the choice of a device and a number format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicfusion.arguments import check_fields, options_of
from mosaicfusion.errors import MosaicFusionError, first_line

if TYPE_CHECKING:
    import torch

_MAX_THREADS = 1024  # with more, the system may refuse them when the first tensor is computed, which ends the process


@dataclass(frozen=True)
class DeviceOptions:
    """Execution settings. They never change what is generated beyond rounding (VAE tiling may alter pixels near seams).

    ``device``: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``. ``batch_size``: canvases that are
    denoised together; it costs memory and gains speed. ``threads``: of the CPU, for each model; all cores if left out.
    ``compile``: the U-Net's convolutions and the decoder by torch.compile, see :mod:`mosaicfusion.diffusion.compilation`.
    ``offload``: only the part of the model in use is on the device. ``vae_tiling``: canvases are decoded in overlapping tiles
    (``docs/performance.md`` says what that changes).

    Raises :class:`MosaicFusionError` for a count below 1, or too many threads.
    """

    device: str = "auto"
    batch_size: int = 8
    threads: int | None = None
    compile: bool = False
    offload: bool = False
    vae_tiling: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        for name, count in (("batch_size", self.batch_size), ("threads", self.threads)):
            if count is not None and count < 1:
                raise MosaicFusionError(f"{name}={count} must be at least 1")
        if self.threads is not None and self.threads > _MAX_THREADS:
            raise MosaicFusionError(
                f"threads={self.threads} must be at most {_MAX_THREADS}; the cores of the CPU are enough"
            )

    @classmethod
    def of(cls, device: DeviceOptions | Mapping[str, Any] | str) -> DeviceOptions:
        """Options as they are, of a mapping such as ``{"threads": 2}``, or those of the device with this name."""
        return cls(device) if isinstance(device, str) else options_of(cls, device)


def resolve_device(device: DeviceOptions | Mapping[str, Any] | str) -> torch.device:
    """``auto`` -> the first of CUDA, Apple's MPS, CPU; of options only the device counts.

    An unavailable device raises :class:`MosaicFusionError`.
    """
    import torch

    device = DeviceOptions.of(device).device
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
