"""The folder of an export, at a path or any fsspec URL: complete or absent."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mosaicfusion.errors import MosaicFusionError, first_line


class OutFolder:
    """Files below ``root`` of a file system; names are relative, separated by ``/``, and never come from outside."""

    def __init__(self, fs: Any, root: str) -> None:
        self._fs, self._root = fs, root
        self._made: set[str] = set()

    def open(self, name: str) -> IO[bytes]:
        """Open a new file for writing; parent folders are created."""
        path = f"{self._root}/{name}"
        parent = path.rpartition("/")[0]
        if parent not in self._made:
            self._fs.makedirs(parent, exist_ok=True)
            self._made.add(parent)
        file: IO[bytes] = self._fs.open(path, "wb")
        return file

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file."""
        with self.open(name) as file:
            file.write(data)

    def size(self) -> int:
        """Size of all files in bytes."""
        return int(self._fs.du(self._root))


@contextmanager
def whole_or_absent(out: str) -> Iterator[OutFolder]:
    """A folder that is written beside ``out`` under another name, and renamed at the end of the block; removed on an error.

    Nothing is created before the first file. A killed process leaves ``.out.<hex>.partial``, which nothing reads. Object stores
    cannot rename: there the store copies the files, which get their names one by one.
    Raises :class:`MosaicFusionError` if ``out`` is a file or holds files, or cannot be written.
    """
    fs, path = locate(out)
    parent, _, name = path.rpartition("/")
    staging = f"{parent}/.{name}.{secrets.token_hex(4)}.partial"
    try:
        if fs.isfile(path) or (fs.isdir(path) and fs.ls(path, detail=False)):
            raise MosaicFusionError(f"{out} exists already; give an empty or a new folder with --out")
        try:
            yield OutFolder(fs, staging)
            _rename(fs, staging, path)
        except BaseException:
            with suppress(FileNotFoundError):
                fs.rm(staging, recursive=True)
            raise
    except NotImplementedError:
        raise MosaicFusionError(f"{out} cannot be written: its file system is read-only") from None
    except OSError as error:
        raise MosaicFusionError(f"cannot write {out}: {error.strerror or error}") from error


def locate(out: str) -> tuple[Any, str]:
    """The file system of a path or URL, and the path in it; raises :class:`MosaicFusionError` for one that cannot be used."""
    import fsspec

    if "://" in out and set("*?[") & set(out):  # fsspec would read them as a pattern
        raise MosaicFusionError(f"{out} holds one of * ? [; give --out without them")
    try:
        fs, path = fsspec.url_to_fs(out)
    except (ImportError, ValueError) as error:  # the package of a protocol is missing; no such protocol
        raise MosaicFusionError(f"cannot write {out}: {first_line(error)}") from None
    path = path.rstrip("/")
    if _is_local(fs) and Path(path).is_symlink():
        path = str(Path(path).resolve())  # a folder cannot be renamed onto a link
    if not path.rpartition("/")[2]:
        raise MosaicFusionError(f"{out} names no folder; give one with --out")
    return fs, path


def _is_local(fs: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(fs, LocalFileSystem)


def _rename(fs: Any, old: str, new: str) -> None:
    if _is_local(fs):
        Path(old).rename(new)  # at once, and also onto an empty folder
    else:
        fs.mv(old, new, recursive=True)
