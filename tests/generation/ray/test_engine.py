"""Runs on a real Ray cluster of two nodes on this machine: workers, a node and the driver are killed in mid-run."""

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

from mosaicfusion.generation.events import on_progress
from mosaicfusion.generation.generate import retry
from mosaicfusion.generation.ray.cluster import connected
from mosaicfusion.generation.scale import Scale

pytestmark = pytest.mark.slow

CANVASES_EACH = 12  # 24 canvases in 12 batches


@pytest.fixture(scope="module")
def undisturbed(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("scale") / "run"
    generate_tiny(out, tiny_sd, canvases_per_category=CANVASES_EACH)
    return content(out)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one core each; the second can be removed."""
    with connected(Scale(workers=1)):  # sets what Ray reads when it is imported
        pass
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


class Once:
    """A progress callback that does something when so many canvases are done."""

    def __init__(self, when: int, what: Callable[[], object]) -> None:
        self.when, self.what, self.at = when, what, -1.0

    def __call__(self, done: float, total: int) -> None:
        if self.at < 0 and done >= self.when:
            self.at = done
            self.what()


def workers(driver: psutil.Process | None = None) -> list[psutil.Process]:
    """The processes that draw, of all Ray nodes that the driver, or else this process, has started."""
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
    generate_tiny(tmp_path, tiny_sd, canvases_per_category=CANVASES_EACH, scale=Scale(address=cluster.address))
    assert content(tmp_path) == undisturbed


def test_a_worker_is_killed(tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, cluster: Any) -> None:
    kill = Once(2, lambda: workers()[0].send_signal(signal.SIGKILL))
    scale = Scale(address=cluster.address)
    generate_tiny(tmp_path, tiny_sd, canvases_per_category=CANVASES_EACH, scale=scale, on_event=on_progress(kill))
    assert 2 <= kill.at < 24
    assert content(tmp_path) == undisturbed


def test_a_node_is_removed(tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, cluster: Any) -> None:
    remove = Once(2, lambda: cluster.remove_node(cluster.second, allow_graceful=False))
    scale = Scale(address=cluster.address)
    generate_tiny(tmp_path, tiny_sd, canvases_per_category=CANVASES_EACH, scale=scale, on_event=on_progress(remove))
    assert 2 <= remove.at < 24
    assert content(tmp_path) == undisturbed


def test_the_driver_is_killed_and_the_run_resumed(tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """With -9, workers on the same machine: they go with it, and nothing is lost or twice there."""
    out = tmp_path / "run"
    code = (
        "import sys; from pathlib import Path; from support.tiny_runs import generate_tiny; "
        "from mosaicfusion.generation.scale import Scale; "
        f"generate_tiny(Path(sys.argv[1]), Path(sys.argv[2]), canvases_per_category={CANVASES_EACH}, scale=Scale(workers=2))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", code, str(out), str(tiny_sd)], env=environment) as driver:
        while driver.poll() is None and len(list(out.glob("parts/part-*"))) < 2:
            time.sleep(0.01)
        drawing = workers(psutil.Process(driver.pid))
        driver.kill()
        assert driver.wait() == -signal.SIGKILL
    assert len(drawing) == 2
    assert psutil.wait_procs(drawing, timeout=60)[1] == []
    assert "lvis.json" not in content(out)
    left = {name: data for name, data in content(out).items() if not name.endswith(".tmp")}
    assert all(data == undisturbed[name] for name, data in left.items())
    generate_tiny(out, tiny_sd, canvases_per_category=CANVASES_EACH)
    assert content(out) == undisturbed


def test_retry_on_workers(tiny_sd: Path, undisturbed: dict[str, bytes], tmp_path: Path, cluster: Any) -> None:
    from mosaicfusion.run.failures import note_failures
    from mosaicfusion.run.folder import RunFolder

    generate_tiny(tmp_path, tiny_sd, canvases_per_category=CANVASES_EACH)
    (tmp_path / "parts" / "part-00000002.jsonl").unlink()
    note_failures(RunFolder.open(tmp_path), [2, 3], [2, 3], "worker_lost")
    retry(tmp_path, scale=Scale(address=cluster.address))
    assert content(tmp_path) == undisturbed
