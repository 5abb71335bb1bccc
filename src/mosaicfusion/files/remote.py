"""Run folders at URLs: object stores and what else fsspec reaches.

A folder at a URL is a ``UPath``, which has the methods of ``pathlib.Path`` that are used. What differs is here: a file is put in
one request, so it is whole or not there without a rename, and there are no locks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, TypeVar

from mosaicfusion.errors import MosaicFusionError, first_line

_REQUESTS = 32  # at once
T = TypeVar("T")


def as_folder(place: str | Path) -> Path:
    """A path as it is, a URL as a ``UPath``; raises :class:`MosaicFusionError` for a URL that nothing here can reach."""
    if isinstance(place, Path) or "://" not in str(place):
        return Path(place)
    try:
        from upath import UPath
    except ImportError:
        raise MosaicFusionError(f'{place} is a URL, which needs: pip install "mosaicfusion[scale]"') from None
    try:
        folder: Any = UPath(place)
        protocol = folder.fs.protocol  # connects, or says what is missing
    except (ImportError, ValueError, OSError) as error:  # "Install s3fs to access S3"
        raise MosaicFusionError(f"cannot use {place}: {error}") from None
    return Path(folder.path) if "file" in protocol else folder


def is_remote(path: Path) -> bool:
    """Whether a folder of :func:`as_folder`, or a file in it, lies at a URL."""
    return not isinstance(path, Path)


def put(path: Path, write: Callable[[IO[bytes]], object], new: bool) -> bool:
    """Store what ``write`` puts into the file it is given; ``new``: unless there is one, then ``False`` is returned.

    Raises :class:`MosaicFusionError` when the store refuses it.
    """
    with TemporaryDirectory() as folder:
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
                    raise  # a bucket is not made: its name may be a slip of the pen
                fs.makedirs(fs._parent(name), exist_ok=True)
                fs.put_file(str(local), name)
        except Exception as error:  # each store raises errors of its own
            raise MosaicFusionError(f"cannot write {path}: {first_line(error)}") from error
    return True


def ahead(read: Callable[[Path], T], files: Sequence[Path]) -> Iterator[T]:
    """``map(read, files)``, with a bounded number of requests under way where the files lie at a URL."""
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
    """Raise :class:`MosaicFusionError` where something needs a folder of this machine."""
    if is_remote(path):
        raise MosaicFusionError(f"{what} needs a run in a local folder; copy {path} to one")


def _store(path: Any) -> tuple[Any, str]:
    return path.fs, path.path
