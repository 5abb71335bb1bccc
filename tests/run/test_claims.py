"""Claims on canvases, between real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.claims import Claims

HOLD = """
import sys
from pathlib import Path
from mosaicfusion.run.claims import Claims
with Claims(Path(sys.argv[1])) as claims:
    print(claims.take(range(8, 16)), flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """It holds canvases 8 to 15."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_a_batch_is_drawn_by_one_process_at_a_time(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims, another_process(tmp_path) as other:
        assert not claims.take([8, 9])
        assert not claims.take([15, 16])
        assert not claims.take([4, 20])  # the batch of a run with other gaps
        assert claims.take([0, 7])
        assert claims.take([16])
        other.kill()  # with -9: nothing of it is left
        other.wait()
        assert claims.take([8, 9])


def test_given_back(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        assert claims.take(range(8, 16))
        claims.give_back(range(8, 16))
        with another_process(tmp_path):
            assert not claims.take([8])


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match=r"cannot write .*run\.lock: No such file"):
        Claims(tmp_path / "none")
