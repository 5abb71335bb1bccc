"""Writing files so that they are either complete or absent, even if a process is killed or several write at once."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import is_remote, put

try:
    import fcntl
except ImportError:  # Windows: temporary files of killed processes stay
    fcntl = None  # type: ignore[assignment]


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is either complete or absent, even after a power cut; parent folders are created.

    Raises :class:`MosaicFusionError` when the disk is full or the folder cannot be written.
    """
    write_stream(path, lambda file: file.write(data))


def write_stream(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """As :func:`write_atomic`, with a function that writes to an open file: for data that do not fit in memory."""
    if is_remote(path):
        put(path, write, new=False)
    else:
        _write(path, write, Path.replace)


def write_new(path: Path, data: bytes) -> bool:
    """As :func:`write_atomic`, unless the file exists. Of concurrent writers, exactly one gets ``True``."""
    if is_remote(path):
        return put(path, lambda file: file.write(data), new=True)
    try:
        _write(path, lambda file: file.write(data), _link)
    except _TakenError:
        return False
    return True


def write_link(path: Path, target: str) -> None:
    """Make a symbolic link to ``target``, replacing an existing one; parent folders are created.

    Raises :class:`MosaicFusionError` when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        temporary.symlink_to(target)
        temporary.replace(path)
    except OSError as error:
        raise MosaicFusionError(f"cannot write {path}: {error.strerror or error}") from error


def _write(path: Path, write: Callable[[IO[bytes]], object], move: Callable[[Path, Path], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = _temporary(path)
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                write(file)
            os.fsync(descriptor)
            temporary.chmod(0o644)
            move(temporary, path)
        except BaseException:
            # While it is still locked, so that the name is that of no other process' file.
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
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
    """The file exists."""


def _temporary(path: Path) -> tuple[int, Path]:
    """A new file beside ``path``, locked as long as it is open, so that :func:`remove_leftovers` keeps it.

    Its name is always the same, unless another process is writing it: what a killed process left is removed.
    """
    usual = path.with_name(f".{path.name}.0.tmp")
    remove_leftovers([usual])
    while True:
        try:
            descriptor, name = os.open(usual, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), str(usual)
        except FileExistsError:
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        if _lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # deleted as a leftover before it was locked


def remove_leftovers(files: Iterable[Path]) -> None:
    """Delete the temporary files that no process is writing."""
    for file in files:
        with suppress(OSError):  # another process was faster
            descriptor = os.open(file, os.O_RDWR)
            try:
                if _lock(descriptor) and os.path.samestat(os.fstat(descriptor), file.stat()):
                    file.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed; ``False`` if another process holds it, ``None`` where there are no locks."""
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
