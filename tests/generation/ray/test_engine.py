"""Runs on a real Ray cluster of two nodes on this machine: workers, a node and the driver are killed during a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.tiny_runs import content, generate_tiny

from mosaicfusion.generation.events import progress_handler
from mosaicfusion.generation.generate import retry
from mosaicfusion.generation.ray.cluster import connected
from mosaicfusion.generation.scale import Scale
from mosaicfusion.run.failures import note_failures
from mosaicfusion.run.folder import RunFolder

pytestmark = pytest.mark.slow

CANVASES_PER_CATEGORY = 12  # of two categories: 24 canvases in 12 batches


@pytest.fixture(scope="module")
def undisturbed(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("scale") / "run"
    generate_tiny(out, tiny_sd, canvases_per_category=CANVASES_PER_CATEGORY)
    return content(out)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one core each; the second can be removed."""
    with connected(Scale(workers=1)):  # sets what Ray reads when it is imported
        pass
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    started.second = started.add_node(num_cpus=1)
    started.wait_for_nodes()
    yield started
    started.shutdown()


class Once:
    """A progress callback that calls ``action`` a single time, when at least ``canvases`` canvases are done."""

    def __init__(self, canvases: int, action: Callable[[], object]) -> None:
        self.canvases, self.action, self.called_at = canvases, action, -1.0

    def __call__(self, done: float, total: int) -> None:
        if self.called_at < 0 and done >= self.canvases:
            self.called_at = done
            self.action()


def workers(driver: psutil.Process | None = None) -> list[psutil.Process]:
    """The worker processes on all Ray nodes that the driver, or this process if left out, has started."""
    children = (driver or psutil.Process()).children(recursive=True)
    return [
        child
        for child in children
        if child.status() != psutil.STATUS_ZOMBIE and _title(child).startswith("ray::Worker")
    ]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


def test_same_bytes_as_one_process(tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, cluster: Any) -> None:
    generate_tiny(tmp_path, tiny_sd, canvases_per_category=CANVASES_PER_CATEGORY, scale=Scale(address=cluster.address))
    assert content(tmp_path) == undisturbed


def test_run_survives_a_killed_worker(
    tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, cluster: Any
) -> None:
    """Ray is the parent of the worker and reads its exit status; so the test checks that the signal ended it."""
    killed: list[psutil.Process] = []

    def kill_worker() -> None:
        worker = workers()[0]
        assert worker.is_running()
        worker.send_signal(signal.SIGKILL)
        worker.wait(timeout=60)
        killed.append(worker)

    kill = Once(2, kill_worker)
    scale = Scale(address=cluster.address)
    generate_tiny(
        tmp_path, tiny_sd, canvases_per_category=CANVASES_PER_CATEGORY, scale=scale, on_event=progress_handler(kill)
    )
    assert 2 <= kill.called_at < 24
    assert len(killed) == 1
    assert content(tmp_path) == undisturbed


def test_run_survives_a_removed_node(
    tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, cluster: Any
) -> None:
    remove = Once(2, lambda: cluster.remove_node(cluster.second, allow_graceful=False))
    scale = Scale(address=cluster.address)
    generate_tiny(
        tmp_path, tiny_sd, canvases_per_category=CANVASES_PER_CATEGORY, scale=scale, on_event=progress_handler(remove)
    )
    assert 2 <= remove.called_at < 24
    assert content(tmp_path) == undisturbed


def test_killed_driver_ends_its_workers_and_the_run_resumes(
    tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """Workers on the same machine end with the driver, and no canvas is lost or generated twice."""
    out = tmp_path / "run"
    code = (
        "import sys; from pathlib import Path; from support.tiny_runs import generate_tiny; "
        "from mosaicfusion.generation.scale import Scale; "
        "out, model, canvases = sys.argv[1:]; "
        "generate_tiny(Path(out), Path(model), canvases_per_category=int(canvases), scale=Scale(workers=2))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, str(out), str(tiny_sd), str(CANVASES_PER_CATEGORY)]
    with subprocess.Popen(command, env=environment) as driver:
        while driver.poll() is None and len(list(out.glob("parts/part-*"))) < 2:
            time.sleep(0.01)
        generating = workers(psutil.Process(driver.pid))
        driver.kill()
        assert driver.wait() == -signal.SIGKILL
    assert len(generating) == 2
    assert psutil.wait_procs(generating, timeout=60)[1] == []
    assert "lvis.json" not in content(out)
    written = {name: data for name, data in content(out).items() if not name.endswith(".tmp")}
    assert all(data == undisturbed[name] for name, data in written.items())
    generate_tiny(out, tiny_sd, canvases_per_category=CANVASES_PER_CATEGORY)
    assert content(out) == undisturbed


def test_retry_on_workers_gives_the_same_bytes(
    tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, cluster: Any
) -> None:
    generate_tiny(tmp_path, tiny_sd, canvases_per_category=CANVASES_PER_CATEGORY)
    (tmp_path / "parts" / "part-00000002.jsonl").unlink()
    note_failures(RunFolder.open(tmp_path), [2, 3], [2, 3], "worker_lost")
    retry(tmp_path, scale=Scale(address=cluster.address))
    assert content(tmp_path) == undisturbed
