"""Who draws which canvases, where several processes share a run folder: no batch is drawn by two of them at once.

Byte i of ``run.lock`` stands for canvas i: a process that draws canvases holds the operating system's lock on their bytes. It is
gone with the process, however that ends, so nothing has to be cleaned up and no clock is asked. Where a file system knows no
locks every claim is granted; two processes may then draw the same batch, to the same bytes, which costs time and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mosaicfusion.errors import MosaicFusionError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "run.lock"


class Claims:
    """What this process has claimed of a run. Raises :class:`MosaicFusionError` when ``run.lock`` cannot be made."""

    def __init__(self, folder: Path) -> None:
        # Closing any descriptor of the file would give up the locks of the whole process: it is opened once.
        path = folder / LOCK_FILE
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise MosaicFusionError(f"cannot write {path}: {error.strerror or error}") from error

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def take(self, batch: Sequence[int]) -> bool:
        """Claim canvases, given by rising index; ``False`` if another process has one of them or one in between."""
        if fcntl is None:
            return True
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, batch[-1] - batch[0] + 1, batch[0])
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # some network file systems have no locks
            return True
        return True

    def give_back(self, batch: Sequence[int]) -> None:
        """Let others have canvases that were claimed together."""
        if fcntl is not None:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, batch[-1] - batch[0] + 1, batch[0])
            except OSError:
                return
