"""Files that are whole or not there, also when a process is killed or several write at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import is_remote, put

try:
    import fcntl
except ImportError:  # Windows: what a killed process left stays
    fcntl = None  # type: ignore[assignment]


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is either whole or not there, also after a power cut; parents are made.

    Raises :class:`MosaicFusionError` when the disk is full or the folder cannot be written.
    """
    write_stream(path, lambda file: file.write(data))


def write_stream(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """:func:`write_atomic` of what ``write`` puts into the file it is given: for data that do not fit in memory."""
    if is_remote(path):
        put(path, write, new=False)
    else:
        _write(path, write, Path.replace)


def write_new(path: Path, data: bytes) -> bool:
    """:func:`write_atomic` unless the file is there, which then stays as it is; of several at once exactly one gets ``True``."""
    if is_remote(path):
        return put(path, lambda file: file.write(data), new=True)
    try:
        _write(path, lambda file: file.write(data), _link)
    except _TakenError:
        return False
    return True


def _write(path: Path, write: Callable[[IO[bytes]], object], place: Callable[[Path, Path], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = _temporary(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                temporary.chmod(0o644)
                place(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise MosaicFusionError(f"cannot write {path}: {error.strerror or error}") from error


def _link(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)  # unlike a rename it does not replace
    except OSError:
        if path.exists():
            raise _TakenError from None
        temporary.replace(path)  # a file system without hard links
    else:
        temporary.unlink()


class _TakenError(Exception):
    """The file is there."""


def _temporary(path: Path) -> tuple[int, Path]:
    """A new file beside ``path``, locked as long as it is open: :func:`remove_leftovers` then leaves it alone."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        if _lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # taken for a leftover before it was locked


def remove_leftovers(files: Iterable[Path]) -> None:
    """Delete those temporary files that no process is writing."""
    for file in files:
        with suppress(OSError):  # another process was faster
            descriptor = os.open(file, os.O_RDWR)
            try:
                if _lock(descriptor):
                    file.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed; ``False`` if another process has it, ``None`` where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have none
        return None
    return True


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
