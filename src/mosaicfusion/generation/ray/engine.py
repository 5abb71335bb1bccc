"""The engine that generates on Ray workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mosaicfusion.files.remote import is_remote
from mosaicfusion.generation.queue import BatchQueue
from mosaicfusion.generation.ray.cluster import Placement, connected, plan_placement
from mosaicfusion.generation.ray.worker import Worker
from mosaicfusion.generation.ray.worker_pool import WorkerPool
from mosaicfusion.generation.scale import Scale
from mosaicfusion.models.device import DeviceOptions, resolve_device, resolve_dtype
from mosaicfusion.run.manifest import Manifest


@contextmanager
def on_ray(scale: Scale, options: DeviceOptions) -> Iterator[RayEngine]:
    """Connect to Ray, and end the workers with the context. Raises :class:`MosaicFusionError`."""
    with connected(scale) as ray:
        engine = RayEngine(ray, plan_placement(ray, scale, options))
        try:
            yield engine
        finally:
            engine.stop()


class RayEngine:
    """An :class:`mosaicfusion.generation.engine.Engine` on other processes; this one holds no model."""

    def __init__(self, ray: Any, placement: Placement) -> None:
        self._ray, self._placement = ray, placement
        self._pool: WorkerPool | None = None

    def dtype(self, requested: str) -> str:
        """See :class:`mosaicfusion.generation.engine.Engine`, for the device of a worker, which this machine may lack."""
        device = self._placement.options.device
        if requested == "auto" and device != "auto":  # the placement has decided for CPUs or GPUs
            return "float32" if device == "cpu" else "float16"
        return resolve_dtype(requested, resolve_device("auto"))  # no GPU in the cluster is known of: as on this machine

    def load(self, manifest: Manifest, out: Path) -> None:
        """Start the workers; returns when one of them is ready."""
        placement = self._placement
        actor = self._ray.remote(Worker).options(max_concurrency=2, max_restarts=0, **placement.each)
        arguments = (manifest, out if is_remote(out) else out.absolute(), placement.options, Path.cwd())
        self._pool = WorkerPool(self._ray, lambda: actor.remote(*arguments), placement.workers)
        self._pool.start()

    def run(self, queue: BatchQueue) -> None:
        """Have the workers generate the batches."""
        assert self._pool is not None
        self._pool.run(queue)

    def stop(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.stop()
