"""Claims on canvases, so that processes which share a run folder never generate the same batch at the same time.

Byte i of ``run.lock`` stands for canvas i: a process that generates canvases holds the operating system's lock on their bytes.
The lock ends with the process, however that ends, so nothing has to be cleaned up and no clock is needed. A file system or an
object store without locks grants every claim; two processes may then generate the same batch, to the same bytes, which only
costs time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import is_remote

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "run.lock"


class Claims:
    """The canvases that this process has claimed. Raises :class:`MosaicFusionError` if ``run.lock`` cannot be created."""

    def __init__(self, folder: Path) -> None:
        # Closing any descriptor of the file would release the locks of the whole process: it is opened once.
        self._descriptor: int | None = None
        if fcntl is None or is_remote(folder):
            return
        path = folder / LOCK_FILE
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise MosaicFusionError(f"cannot write {path}: {error.strerror or error}") from error

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def take(self, batch: Sequence[int]) -> bool:
        """Claim canvases, in ascending order; ``False`` if another process has claimed one of them or one in between."""
        if self._descriptor is None:
            return True
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, batch[-1] - batch[0] + 1, batch[0])
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # some network file systems have no locks
            return True
        return True

    def give_back(self, batch: Sequence[int]) -> None:
        """Release canvases that were claimed together."""
        if self._descriptor is not None:
            with suppress(OSError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, batch[-1] - batch[0] + 1, batch[0])
