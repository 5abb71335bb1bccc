"""The share of a run that one call generates, and the workers that do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mosaicfusion.arguments import check_fields, options_of
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.batches import WHOLE, Shard

_MAX_WORKERS = 4096  # Ray would try to start as many as are asked for, until the machine has no memory left


@dataclass(frozen=True)
class Scale:
    """The share of a run that a call generates, and the Ray workers that do it.

    ``shard``: only this share of the run. ``workers``: number of Ray workers; by default, with an ``address``, as many as the
    GPUs hold, or one per node; without both, this process generates. ``address``: ``ray://head:10001``, ``head:6379`` or
    ``auto``; without it, workers are processes of this machine. ``gpus``: per worker, may be a fraction; by default 1 or an
    equal share where there are GPUs. ``resources``: other Ray resources per worker.

    Raises :class:`MosaicFusionError` for impossible numbers.
    """

    shard: Shard = WHOLE
    workers: int | None = None
    address: str | None = None
    gpus: float | None = None
    resources: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.on_ray and (self.gpus is not None or self.resources):
            raise MosaicFusionError("gpus and resources are those of workers; give a number of workers, or an address")
        if self.workers is not None and self.workers < 1:
            raise MosaicFusionError(f"workers={self.workers} must be at least 1")
        if self.workers is not None and self.workers > _MAX_WORKERS:
            raise MosaicFusionError(f"workers={self.workers} must be at most {_MAX_WORKERS}")
        for name, amount in {"gpus": self.gpus or 0, **self.resources}.items():
            if not 0 <= amount < 1 and not (1 <= amount < 1e6 and amount == int(amount)):
                raise MosaicFusionError(f"{name}={amount} of a worker must be a whole number, or a fraction below 1")

    @classmethod
    def of(cls, values: Scale | Mapping[str, Any] | None) -> Scale:
        """A scale as it is, or of a mapping such as ``{"shard": "3/64"}``; ``None``: this process generates all."""
        if isinstance(values, Mapping) and isinstance(shard := values.get("shard"), str):
            values = {**values, "shard": Shard.parse(shard)}
        return options_of(cls, values)

    @property
    def on_ray(self) -> bool:
        """True if Ray workers generate."""
        return self.workers is not None or self.address is not None
