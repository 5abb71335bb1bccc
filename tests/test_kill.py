"""Real processes, killed at any moment: the same command again ends in the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SETTINGS = [
    *("--categories", "banana, teapot, umbrella", "-n", "4", "--grid", "1x2", "--steps", "4", "--batch-size", "2"),
    *("--set", "layout.region_hw_px=[64,64]", "--set", "layout.overlap_xy_px=[16,16]", "--set", "layout.group_size=2"),
    *("--set", "masks.min_area=0", "--set", "masks.max_area=1", "--policy", "not_exhaustive"),
]


def start(out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mosaicfusion.cli", "generate", *SETTINGS, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def finish(out: Path) -> None:
    process = start(out)
    output, _ = process.communicate()
    assert process.returncode == 0, output


def kill_when(out: Path, moment: Callable[[], bool], signal_number: int = signal.SIGKILL) -> int:
    """Start a run, end it when ``moment`` has come, return its exit status."""
    process = start(out)
    while process.poll() is None and not moment():
        time.sleep(0.001)
    process.send_signal(signal_number)
    process.communicate()
    return process.returncode


def parts(out: Path) -> int:
    return len(list(out.glob("parts/part-*.jsonl")))


def content(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("kill") / "run"
    finish(out)
    return {name: data for name, data in content(out).items() if name != "report.html"}


@pytest.mark.parametrize(
    "moment",
    [
        lambda out: out.exists(),
        lambda out: (out / "run.json").exists(),
        lambda out: any(out.rglob("*.jpg")),
        lambda out: parts(out) >= 1,
        lambda out: parts(out) >= 3 and any(out.rglob(".*.tmp")),
        lambda out: parts(out) >= 6,
        lambda out: (out / "lvis.json").exists(),
    ],
    ids=["folder", "run.json", "first image", "first part", "third part", "last part", "lvis.json"],
)
def test_killed_once(undisturbed: dict[str, bytes], tmp_path: Path, moment: Callable[[Path], bool]) -> None:
    out = tmp_path / "run"
    kill_when(out, lambda: moment(out))
    left = {name: data for name, data in content(out).items() if not name.endswith((".tmp", ".html"))}
    assert all(data == undisturbed[name] for name, data in left.items())
    finish(out)
    assert {name: data for name, data in content(out).items() if name != "report.html"} == undisturbed


def test_killed_again_and_again(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """Each life draws at least a part; the last one finds everything done."""
    out = tmp_path / "run"
    for wanted in (1, 2, 3, 5):
        kill_when(out, lambda wanted=wanted: parts(out) >= wanted)  # type: ignore[misc]
    finish(out)
    assert {name: data for name, data in content(out).items() if name != "report.html"} == undisturbed


def test_ctrl_c(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    def stopped(out: Path) -> bool:
        return kill_when(out, lambda: parts(out) >= 1, signal.SIGINT) == 130

    out = next(
        filter(stopped, (tmp_path / f"run{attempt}" for attempt in range(5)))
    )  # one may end before it is stopped
    assert not list(out.rglob("*.tmp"))
    finish(out)
    assert {name: data for name, data in content(out).items() if name != "report.html"} == undisturbed


def test_two_at_once(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """The same command twice: they share the work, from the first file on, and the last to finish compiles."""
    out = tmp_path / "run"
    processes = start(out), start(out)
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert {name: data for name, data in content(out).items() if name != "report.html"} == undisturbed


def test_one_of_two_is_killed(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "run"
    other = start(out)
    kill_when(out, lambda: parts(out) >= 2)
    output, _ = other.communicate()
    assert other.returncode == 0, output
    finish(out)  # what the killed one had claimed
    assert {name: data for name, data in content(out).items() if name != "report.html"} == undisturbed
