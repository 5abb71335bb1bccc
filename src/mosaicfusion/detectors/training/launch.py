"""Lightning Fabric, set up for a device type, a number of devices and nodes, and a precision."""

from __future__ import annotations

import logging
from typing import Any

from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.models.device import resolve_device


def is_first_process() -> bool:
    """True in the process that prints and writes; also valid before the launch of a training."""
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    return bool(rank_zero_only.rank == 0)


def make_fabric(device: str, devices: int, nodes: int, precision: str) -> Any:
    """Launch Fabric. It starts the other processes of this machine; on several machines, SLURM or torchrun does.

    ``device``: such as ``cuda`` or ``cuda:1``; ``precision``: 32-true, bf16-mixed or 16-mixed. Raises :class:`MosaicFusionError`.
    """
    try:
        from lightning.fabric import Fabric
        from lightning.fabric.plugins.precision import MixedPrecision, Precision
    except ImportError:
        raise MosaicFusionError('training needs Lightning; pip install "mosaicfusion[train]"') from None

    class Mixed(MixedPrecision):  # type: ignore[misc]
        """Keep images and boxes in float32: bf16 has steps of 4 px at 1000."""

        def convert_input(self, data: Any) -> Any:
            return data

    target = resolve_device(device)
    if precision == "16-mixed" and target.type == "cpu":
        raise MosaicFusionError("a CPU cannot train in 16-mixed; set schedule.precision to bf16-mixed or 32-true")
    if target.index is not None and devices > 1:
        raise MosaicFusionError(f"--device {device} is one device; leave out its number, or give --devices 1")
    logging.getLogger("lightning").setLevel(logging.WARNING)
    scaler = Precision() if precision == "32-true" else Mixed(precision, target.type)
    try:
        fabric = Fabric(
            accelerator=target.type,
            devices=[target.index] if target.index is not None else devices,
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            plugins=scaler,
        )
        fabric.launch()
    except (
        RuntimeError,
        ValueError,
        TypeError,
    ) as error:  # fewer devices than requested, or the other nodes cannot be reached
        raise MosaicFusionError(f"cannot use {devices} devices on {nodes} nodes: {first_line(error)}") from None
    return fabric
