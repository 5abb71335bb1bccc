"""Real processes, killed at any moment: the same command again ends in the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.tiny_runs import content

pytestmark = pytest.mark.slow

ATTEMPTS = 5
INTERRUPTED = 128 + signal.SIGINT
SETTINGS = [
    *("--categories", "banana, teapot, umbrella", "-n", "4", "--grid", "1x2", "--steps", "4", "--batch-size", "2"),
    *("--set", "layout.region_hw_px=[64,64]", "--set", "layout.overlap_xy_px=[16,16]", "--set", "layout.group_size=2"),
    *("--set", "masks.min_area=0", "--set", "masks.max_area=1", "--policy", "not_exhaustive"),
]


def heed_ctrl_c() -> None:
    """Background jobs of a shell ignore SIGINT and pass this on to the processes that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mosaicfusion", "generate", *SETTINGS, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        preexec_fn=heed_ctrl_c,
    )


def finish(out: Path) -> None:
    process = start(out)
    output, _ = process.communicate()
    assert process.returncode == 0, output


def killed(out: Path, moment: Callable[[Path], bool], signal_number: int = signal.SIGKILL) -> bool:
    """Start a run and send it a signal at ``moment``. True if it died of the signal, False if it finished before."""
    process = start(out)
    while process.poll() is None and not moment(out):
        time.sleep(0.001)
    process.send_signal(signal_number)
    output, _ = process.communicate()
    expected = INTERRUPTED if signal_number == signal.SIGINT else -signal_number
    assert process.returncode in (expected, 0), output
    return process.returncode == expected


def fresh_folders(folder: Path) -> Iterator[Path]:
    """Folders for attempts to kill a run before it finishes; fails after the last one."""
    for attempt in range(ATTEMPTS):
        yield folder / f"run{attempt}"
    pytest.fail(f"{ATTEMPTS} runs finished before they could be killed")


def parts(out: Path) -> int:
    return len(list(out.glob("parts/part-*.jsonl")))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("kill") / "run"
    finish(out)
    return content(out)


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
def test_killed_run_is_whole_and_continues_to_the_same_bytes(
    undisturbed: dict[str, bytes], tmp_path: Path, moment: Callable[[Path], bool]
) -> None:
    out = next(out for out in fresh_folders(tmp_path) if killed(out, moment))
    written = {name: data for name, data in content(out).items() if not name.endswith(".tmp")}
    assert all(data == undisturbed[name] for name, data in written.items())
    finish(out)
    assert content(out) == undisturbed


def test_run_killed_four_times_continues_to_the_same_bytes(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """Each process is killed after it has written a part."""

    def killed_after_a_part(out: Path) -> bool:
        before = parts(out)
        return killed(out, lambda out: parts(out) > before)

    out = next(out for out in fresh_folders(tmp_path) if all(killed_after_a_part(out) for _ in range(4)))
    finish(out)
    assert content(out) == undisturbed


def test_ctrl_c_leaves_no_temporary_file(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    out = next(out for out in fresh_folders(tmp_path) if killed(out, lambda out: parts(out) >= 1, signal.SIGINT))
    assert not list(out.rglob("*.tmp"))
    finish(out)
    assert content(out) == undisturbed


def test_two_processes_share_a_run(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """The same command twice: both write to the folder from the first file on, and the last to finish compiles."""
    out = tmp_path / "run"
    processes = start(out), start(out)
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert content(out) == undisturbed


def test_one_of_two_processes_is_killed(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    def killed_beside_another(out: Path) -> bool:
        other = start(out)
        died = killed(out, lambda out: parts(out) >= 2)
        output, _ = other.communicate()
        assert other.returncode == 0, output
        return died

    out = next(filter(killed_beside_another, fresh_folders(tmp_path)))
    finish(out)  # the canvases that the killed process had claimed
    assert content(out) == undisturbed
