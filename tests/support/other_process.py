"""Claims that a real second process has on the canvases of a run."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_CLAIM_AND_WAIT = """
import sys
from pathlib import Path
from mosaicfusion.run.claims import Claims
folder, *indices = sys.argv[1:]
with Claims(Path(folder)) as claims:
    print(claims.take([int(index) for index in indices]), flush=True)
    sys.stdin.read()
"""


@contextmanager
def claimed_by_another_process(folder: Path, indices: Sequence[int]) -> Iterator[subprocess.Popen[str]]:
    """A process that claims these canvases, in ascending order, until it is killed at the end of the context."""
    command = [sys.executable, "-c", _CLAIM_AND_WAIT, str(folder), *map(str, indices)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        try:
            yield process
        finally:
            process.kill()
        assert process.wait() == -signal.SIGKILL
