"""Connecting to Ray, and spreading workers over the resources of a cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import ceil
from typing import Any
from urllib.parse import urlsplit

from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.generation.scale import Scale
from mosaicfusion.models.device import DeviceOptions

_CONNECT_S = 5


@dataclass(frozen=True)
class Placement:
    """``workers`` actors, each with the Ray options ``each`` and a model with complete execution ``options``."""

    workers: int
    each: dict[str, Any]
    options: DeviceOptions


@contextmanager
def connected(scale: Scale) -> Iterator[Any]:
    """The module ``ray``, connected to the cluster of the calling program if it has one, else to that of ``scale``.

    Raises :class:`MosaicFusionError` within seconds when nothing answers at the address.
    """
    ray = _import_ray()
    if ray.is_initialized():  # the program's own: left as it is
        yield ray
        return
    if scale.address:
        check_address(scale.address)
    options: dict[str, Any] = {"num_cpus": max(os.cpu_count() or 1, scale.workers or 1), "include_dashboard": False}
    try:
        ray.init(
            address=scale.address or "local",
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **({} if scale.address else options),
        )
    except Exception as error:  # it raises many kinds, a plain Exception among them
        where = f"the Ray cluster at {scale.address}" if scale.address else "Ray on this machine"
        advice = "; set RAY_TMPDIR to a short path, such as /tmp" if "AF_UNIX" in str(error) else ""
        raise MosaicFusionError(f"cannot use {where}: {first_line(error)}{advice}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def plan_placement(ray: Any, scale: Scale, options: DeviceOptions) -> Placement:
    """Spread the workers of ``scale`` over the connected cluster; they share the cores, or each takes its ``threads``.

    Raises :class:`MosaicFusionError` if the cluster can never hold them.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if not nodes:
        raise MosaicFusionError("the Ray cluster has no node with a CPU for a worker")
    all_gpus = sum(node.get("GPU", 0) for node in nodes)
    gpus = scale.gpus
    if gpus is None:
        use_gpus = all_gpus and (options.device == "auto" or options.device.startswith("cuda"))
        # Ray never splits a share over two GPUs: each GPU takes as many workers as needed.
        gpus = (1 / ceil(scale.workers / all_gpus) if scale.workers else 1) if use_gpus else 0
    workers = scale.workers or (int(all_gpus / gpus) if gpus else len(nodes)) or 1
    threads = options.threads or max(1, int(min(node["CPU"] for node in nodes)) // ceil(workers / len(nodes)))
    for name, amount in {"CPU": threads, "GPU": gpus, **scale.resources}.items():
        room = sum(int(node.get(name, 0) / amount) for node in nodes) if amount else workers
        if room < workers:
            raise MosaicFusionError(
                f"the Ray cluster has room for {room} workers with {amount:g} {name} each, {workers} are requested; "
                "request fewer workers, or less for each"
            )
    each = {"num_cpus": threads, "num_gpus": gpus, "resources": scale.resources, "scheduling_strategy": "SPREAD"}
    # Ray hides the GPUs from a worker without a share of them, and numbers those of the others from 0.
    device = options.device
    if device == "auto" and (gpus or scale.address):
        device = "cuda" if gpus else "cpu"
    return Placement(workers, each, replace(options, device=device, threads=threads))


def _import_ray() -> Any:
    # Read when Ray is imported: no usage statistics are sent, and we report dead workers ourselves.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    os.environ.setdefault("RAY_worker_niceness", "0")  # by default workers starve beside any other program
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        import ray
    except ImportError:
        raise MosaicFusionError('workers need Ray: pip install "mosaicfusion[scale]"') from None
    return ray


def check_address(address: str, timeout_s: float = _CONNECT_S) -> None:
    """Raise :class:`MosaicFusionError` within seconds where no Ray answers; Ray itself would wait for minutes."""
    if address == "auto":
        return
    example = "give ray://head:10001, head:6379 or auto"
    host = port = None
    with suppress(ValueError):
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname if parts.scheme in ("", "ray") else None, parts.port
    if not host or not port:
        raise MosaicFusionError(f"{address!r:.80} is no address of a Ray cluster; {example}")
    try:
        socket.create_connection((host, port), timeout_s).close()
    except (OSError, UnicodeError) as error:
        raise MosaicFusionError(
            f"nothing answers at {address} ({first_line(error)}); start it with `ray start --head` there, or {example}"
        ) from None
    if os.environ.get("RAY_USE_TLS", "0") == "0" and not _speaks_grpc(f"{host}:{port}", 2 * timeout_s):
        raise MosaicFusionError(f"what answers at {address} is not Ray; {example}")


def _speaks_grpc(target: str, timeout_s: float) -> bool:
    import grpc  # of the extra, as Ray

    with grpc.insecure_channel(target) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=timeout_s)
        except grpc.FutureTimeoutError:
            return False
    return True
