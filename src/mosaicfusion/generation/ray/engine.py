"""What :func:`mosaicfusion.generate` draws with, where workers are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mosaicfusion.files.remote import is_remote
from mosaicfusion.generation.engine import BatchQueue, OnProgress
from mosaicfusion.generation.ray.cluster import Placement, Scale, connected, place
from mosaicfusion.generation.ray.worker import Worker
from mosaicfusion.generation.ray.worker_pool import WorkerPool
from mosaicfusion.models.device import DeviceOptions, resolve_device, resolve_dtype


@contextmanager
def on_ray(scale: Scale, options: DeviceOptions) -> Iterator[RayEngine]:
    """Connect, and end the workers afterwards. Raises :class:`MosaicFusionError`."""
    with connected(scale) as ray:
        engine = RayEngine(ray, place(ray, scale, options))
        try:
            yield engine
        finally:
            engine.stop()


class RayEngine:
    """The same as :class:`mosaicfusion.generation.engine.Engine`, on other processes; this one holds no model."""

    def __init__(self, ray: Any, placement: Placement) -> None:
        self._ray, self._placement = ray, placement
        self._pool: WorkerPool | None = None

    def dtype(self, wanted: str) -> str:
        """As :func:`mosaicfusion.models.device.resolve_dtype` on a worker; this machine may lack its device."""
        device = self._placement.options.device
        if wanted != "auto" or device == "auto":
            return resolve_dtype(wanted, resolve_device("auto"))
        return "float32" if device == "cpu" else "float16"

    def load(self, header: dict[str, Any], out: Path) -> None:
        """Start the workers; returns when one can draw."""
        placement = self._placement
        actor = self._ray.remote(Worker).options(max_concurrency=2, max_restarts=0, **placement.each)
        arguments = (header, out if is_remote(out) else out.absolute(), placement.options, Path.cwd())
        self._pool = WorkerPool(self._ray, lambda: actor.remote(*arguments), placement.workers)
        self._pool.begin()

    def draw(self, work: BatchQueue, on_progress: OnProgress | None = None) -> None:
        """Have the batches drawn."""
        assert self._pool is not None
        self._pool.deal(work, on_progress)

    def stop(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.stop()
