"""Placement of workers, and addresses at which nothing answers; no Ray is started."""

from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from click.testing import Result
from support.command_line import call

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.ray.cluster import check_address, connected, plan_placement
from mosaicfusion.generation.scale import Scale
from mosaicfusion.models.device import DeviceOptions


def cluster(*nodes: dict[str, float]) -> Any:
    """A stand-in for Ray that lists these nodes, and one that is dead."""
    alive = [{"Alive": True, "Resources": node} for node in nodes]
    return SimpleNamespace(nodes=lambda: [*alive, {"Alive": False, "Resources": {"CPU": 999.0, "GPU": 999.0}}])


class TestPlacement:
    def test_cores_are_shared_by_the_workers_of_a_node(self) -> None:
        placement = plan_placement(cluster({"CPU": 8.0}), Scale(workers=3), DeviceOptions())
        assert (placement.workers, placement.options.threads, placement.options.device) == (3, 2, "auto")
        assert placement.each["num_cpus"] == 2
        assert placement.each["num_gpus"] == 0

    def test_threads_can_be_chosen(self) -> None:
        assert plan_placement(cluster({"CPU": 8.0}), Scale(workers=3), DeviceOptions(threads=1)).each["num_cpus"] == 1
        with pytest.raises(MosaicFusionError, match="has room for 2 workers with 4 CPU each, 3 are requested"):
            plan_placement(cluster({"CPU": 8.0}), Scale(workers=3), DeviceOptions(threads=4))

    def test_workers_get_the_options_of_the_device(self) -> None:
        options = DeviceOptions(compile=True, offload=True, vae_tiling=True)
        placement = plan_placement(cluster({"CPU": 4.0, "GPU": 1.0}), Scale(address="auto"), options)
        assert placement.options == DeviceOptions("cuda", threads=4, compile=True, offload=True, vae_tiling=True)

    def test_a_worker_for_each_node_without_gpus(self) -> None:
        placement = plan_placement(
            cluster({"CPU": 8.0}, {"CPU": 4.0}, {"memory": 1.0}), Scale(address="auto"), DeviceOptions()
        )
        assert (placement.workers, placement.options.threads, placement.options.device) == (2, 4, "cpu")

    @pytest.mark.parametrize(("gpus", "workers"), [(None, 3), (0.5, 6), (2.0, 1)])
    def test_as_many_workers_as_the_gpus_allow(self, gpus: float | None, workers: int) -> None:
        nodes = cluster({"CPU": 16.0, "GPU": 2.0}, {"CPU": 16.0, "GPU": 1.0})
        placement = plan_placement(nodes, Scale(address="auto", gpus=gpus), DeviceOptions())
        assert (placement.workers, placement.each["num_gpus"]) == (workers, gpus or 1)
        assert placement.options.device == "cuda"

    def test_an_equal_share_of_the_gpus(self) -> None:
        placement = plan_placement(cluster({"CPU": 16.0, "GPU": 1.0}), Scale(workers=2), DeviceOptions("cuda"))
        assert (placement.each["num_gpus"], placement.options.device) == (0.5, "cuda")
        assert (
            plan_placement(cluster({"CPU": 16.0, "GPU": 1.0}), Scale(workers=2), DeviceOptions("cpu")).each["num_gpus"]
            == 0
        )
        apart = cluster({"CPU": 16.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 1.0})
        for nodes in (apart, cluster({"CPU": 16.0, "GPU": 2.0})):  # a GPU for two of three, as no share is split
            assert plan_placement(nodes, Scale(workers=3), DeviceOptions("cuda")).each["num_gpus"] == 0.5
        assert plan_placement(apart, Scale(workers=1), DeviceOptions("cuda")).each["num_gpus"] == 1

    @pytest.mark.parametrize(
        ("scale", "message"),
        [
            (Scale(workers=2, address="auto", gpus=1), "has room for 0 workers with 1 GPU each, 2 are requested"),
            (Scale(workers=9, address="auto"), "has room for 8 workers with 1 CPU each, 9 are requested"),
            (Scale(address="auto", resources={"tpu": 4}), "has room for 0 workers with 4 tpu each, 1 are requested"),
        ],
    )
    def test_too_many_workers_are_refused(self, scale: Scale, message: str) -> None:
        with pytest.raises(MosaicFusionError, match=message):
            plan_placement(cluster({"CPU": 8.0}), scale, DeviceOptions())

    def test_a_cluster_without_a_node_is_refused(self) -> None:
        with pytest.raises(MosaicFusionError, match="no node with a CPU"):
            plan_placement(cluster(), Scale(address="auto"), DeviceOptions())


class TestCommand:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--ray-address", "ray://"], "is no address of a Ray cluster; give ray://head:10001"),
            (["--ray-address", "http://localhost:8265"], "is no address of a Ray cluster"),
            (["--ray-address", "localhost"], "is no address of a Ray cluster"),
            (["--ray-address", "localhost:99999"], "is no address of a Ray cluster"),
            (["--ray-address", "[::1"], "is no address of a Ray cluster"),
            (["--ray-address", "x" * 300 + ":6379"], "nothing answers at"),
            (["--num-gpus-per-worker", "1"], "need --workers or --ray-address"),
            (["--workers", "2", "--resources", "tpu"], "is not JSON of names and amounts"),
            (["--workers", "2", "--resources", '{"tpu": "1"}'], "is not JSON of names and amounts"),
        ],
    )
    def test_invalid_arguments_are_refused(self, tmp_path: Path, arguments: list[str], message: str) -> None:
        result = generate(tmp_path, *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("form", ["ray://127.0.0.1:{}", "127.0.0.1:{}"])
    def test_an_address_where_nothing_answers_is_refused(self, tmp_path: Path, form: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = form.format(server.getsockname()[1])
        result = generate(tmp_path, "--ray-address", address)
        assert result.exit_code == 2
        assert f"nothing answers at {address} (Connection refused)" in result.stderr
        assert not (tmp_path / "run").exists()

    def test_a_server_that_is_not_ray_is_refused(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            with pytest.raises(MosaicFusionError, match=f"what answers at {address} is not Ray"):
                check_address(address, timeout_s=0.5)

    def test_a_server_that_speaks_grpc_is_accepted(self) -> None:
        server = grpc.server(ThreadPoolExecutor(1))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        for form in ("ray://127.0.0.1:{}", "127.0.0.1:{}"):
            check_address(form.format(port))
        server.stop(0)

    def test_missing_ray_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ray", None)
        result = generate(tmp_path, "--workers", "2")
        assert (result.exit_code, 'pip install "mosaicfusion[scale]"' in result.stderr) == (2, True)


def test_a_cluster_of_the_calling_program_is_used_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SimpleNamespace(is_initialized=lambda: True)  # has no init and no shutdown
    monkeypatch.setitem(sys.modules, "ray", own)
    with connected(Scale(workers=2)) as ray:
        assert ray is own


def generate(folder: Path, *arguments: str) -> Result:
    return call("generate", "-c", "banana,teapot", "-n", "1", "--out", folder / "run", *arguments)
