"""Run folders at URLs: object stores, and everything else that fsspec reaches.

A folder at a URL is a ``UPath``, which has the methods of ``pathlib.Path`` that are used. This module handles the differences: a
file is uploaded in one request, so it is complete or absent without a rename, and there are no locks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import IO, Any, TypeVar

from mosaicfusion.errors import MosaicFusionError, first_line, is_not

_REQUESTS = 32  # at once
T = TypeVar("T")


def as_path(location: str | Path) -> Path:
    """Convert a local path to a ``Path``, with the home folder in place of ``~``.

    Raises :class:`MosaicFusionError` for what is neither a path nor a text.
    """
    try:
        return Path(location).expanduser()
    except TypeError:
        raise MosaicFusionError(is_not(location, ["a path", "a text"])) from None


def as_folder(location: str | Path) -> Path:
    """Convert a path to a ``Path``, a URL to a ``UPath``; raises :class:`MosaicFusionError` for an unreachable URL."""
    if isinstance(location, Path) or "://" not in str(location):
        return as_path(location)
    try:
        from upath import UPath
    except ImportError:
        raise MosaicFusionError(f'{location} is a URL, which needs: pip install "mosaicfusion[scale]"') from None
    try:
        folder: Any = UPath(location)
        protocol = folder.fs.protocol  # connects, or raises if something is missing
    except (ImportError, ValueError, OSError) as error:  # "Install s3fs to access S3"
        raise MosaicFusionError(f"cannot use {location}: {first_line(error)}") from None
    return Path(folder.path) if "file" in protocol else folder


def is_remote(path: Path) -> bool:
    """True for a folder of :func:`as_folder` at a URL, and for files in it."""
    return not isinstance(path, Path)


def put(path: Path, write: Callable[[IO[bytes]], object], new: bool) -> bool:
    """Upload a file that ``write`` fills. ``new``: not if it exists already; then the result is ``False``.

    Raises :class:`MosaicFusionError` if the store refuses it.
    """
    with _scratch(path) as folder:
        local = Path(folder) / "file"
        with local.open("wb") as file:
            write(file)
        fs, name = _store(path)
        try:
            if new and fs.exists(name):  # not all stores can ask and put in one request
                return False
            try:
                fs.put_file(str(local), name)
            except FileNotFoundError:  # a store with real folders
                if not fs.exists(name.split("/")[0] or "/"):
                    raise  # buckets are never created, since the name may be a typing error
                fs.makedirs(fs._parent(name), exist_ok=True)
                fs.put_file(str(local), name)
        except Exception as error:  # each store raises errors of its own
            raise MosaicFusionError(f"cannot write {path}: {first_line(error)}") from error
    return True


@contextmanager
def _scratch(path: Path) -> Iterator[str]:
    """A temporary folder for a file that is uploaded to ``path``."""
    try:
        with TemporaryDirectory() as folder:
            yield folder
    except OSError as error:
        raise MosaicFusionError(
            f"cannot write {path}: {error.strerror or error} in {gettempdir()}, where files are kept until they are uploaded; "
            "set TMPDIR to another folder"
        ) from error


def ahead(read: Callable[[Path], T], files: Sequence[Path]) -> Iterator[T]:
    """``map(read, files)``, with a bounded number of concurrent requests for files at a URL."""
    if not files or not is_remote(files[0]):
        yield from map(read, files)
        return
    with ThreadPoolExecutor(_REQUESTS) as pool:
        for first in range(0, len(files), 8 * _REQUESTS):
            yield from pool.map(read, files[first : first + 8 * _REQUESTS])


def check_reachable(path: Path) -> None:
    """Raise :class:`MosaicFusionError` unless the store answers."""
    fs, name = _store(path)
    try:
        fs.exists(name)
    except Exception as error:
        raise MosaicFusionError(
            f"cannot use {path}: {first_line(error)}; check the address and your rights there"
        ) from None


def check_local(path: Path, what: str) -> None:
    """Raise :class:`MosaicFusionError` unless a folder is on this machine; ``what`` needs that."""
    if is_remote(path):
        raise MosaicFusionError(f"{what} needs a run in a local folder; copy {path} to one")


def _store(path: Any) -> tuple[Any, str]:
    return path.fs, path.path
