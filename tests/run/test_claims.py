"""Claims on canvases by real processes that share a run."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.claims import Claims

CLAIM_AND_WAIT = """
import sys
from pathlib import Path
from mosaicfusion.run.claims import Claims
with Claims(Path(sys.argv[1])) as claims:
    print(claims.take(range(8, 16)), flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that claims canvases 8 to 15 until it is killed."""
    command = [sys.executable, "-c", CLAIM_AND_WAIT, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()
        assert process.wait() == -signal.SIGKILL


def test_a_batch_is_claimed_by_one_process_at_a_time(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims, another_process(tmp_path) as other:
        assert not claims.take([8, 9])
        assert not claims.take([15, 16])
        assert not claims.take([4, 20])  # the batch of a run with other gaps
        assert claims.take([0, 7])
        assert claims.take([16])
        other.kill()  # it cannot give anything back: the operating system does
        assert other.wait() == -signal.SIGKILL
        assert claims.take([8, 9])


def test_canvases_given_back_can_be_claimed_by_another_process(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        assert claims.take(range(8, 16))
        claims.give_back(range(8, 16))
        with another_process(tmp_path):
            assert not claims.take([8])


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match=r"cannot write .*run\.lock: No such file"):
        Claims(tmp_path / "none")
