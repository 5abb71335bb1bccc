"""The folder of an export, at a path or any fsspec URL: whole or not there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mosaicfusion.errors import MosaicFusionError


class OutFolder:
    """Files below ``root`` of a file system; names are relative, parted by ``/``, and ours."""

    def __init__(self, fs: Any, root: str) -> None:
        self._fs, self._root = fs, root
        self._made: set[str] = set()

    def open(self, name: str) -> IO[bytes]:
        """A new file to write; parents are made."""
        path = f"{self._root}/{name}"
        parent = path.rpartition("/")[0]
        if parent not in self._made:
            self._fs.makedirs(parent, exist_ok=True)
            self._made.add(parent)
        file: IO[bytes] = self._fs.open(path, "wb")
        return file

    def write(self, name: str, data: bytes) -> None:
        """A file at once."""
        with self.open(name) as file:
            file.write(data)

    def size(self) -> int:
        """Bytes of all files."""
        return int(self._fs.du(self._root))


@contextmanager
def whole_or_absent(out: str) -> Iterator[OutFolder]:
    """A folder written beside ``out`` under another name, and renamed when the block ends well; else removed.

    Nothing is made before the first file.
    A process that is killed leaves ``.out.<frequencies>.partial``, which nothing reads. Object stores have no rename: there the
    store copies the files, which take their names one by one.
    Raises :class:`MosaicFusionError` when ``out`` is a file or holds files, and when it cannot be written.
    """
    fs, path = _locate(out)
    parent, _, name = path.rpartition("/")
    staging = f"{parent}/.{name}.{secrets.token_hex(4)}.partial"
    try:
        if fs.isfile(path) or (fs.isdir(path) and fs.ls(path, detail=False)):
            raise MosaicFusionError(f"{out} is there already; give an empty or a new folder with --out")
        try:
            yield OutFolder(fs, staging)
            _rename(fs, staging, path)
        except BaseException:
            with suppress(FileNotFoundError):
                fs.rm(staging, recursive=True)
            raise
    except NotImplementedError:
        raise MosaicFusionError(f"{out} cannot be written: its file system only reads") from None
    except OSError as error:
        raise MosaicFusionError(f"cannot write {out}: {error.strerror or error}") from error


def _locate(out: str) -> tuple[Any, str]:
    import fsspec

    if "://" in out and set("*?[") & set(out):  # fsspec would take them for a pattern
        raise MosaicFusionError(f"{out} holds one of * ? [; give --out without them")
    try:
        fs, path = fsspec.url_to_fs(out)
    except (ImportError, ValueError) as error:  # the package of a protocol is missing; no such protocol
        raise MosaicFusionError(f"cannot write {out}: {error}") from None
    path = path.rstrip("/")
    if not path.rpartition("/")[2]:
        raise MosaicFusionError(f"{out} names no folder; give one with --out")
    return fs, path


def _rename(fs: Any, old: str, new: str) -> None:
    from fsspec.implementations.local import LocalFileSystem

    if isinstance(fs, LocalFileSystem):
        Path(old).rename(new)  # at once, and also onto an empty folder
    else:
        fs.mv(old, new, recursive=True)
