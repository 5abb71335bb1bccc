"""The files of a folder, for comparisons before and after a call."""

from __future__ import annotations

from pathlib import Path


def read_files(folder: Path) -> dict[str, bytes]:
    """The bytes of every file, by its path in the folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def modification_times(folder: Path, pattern: str = "*") -> dict[str, int]:
    """The time of the last change of every matching file in ns, by its path in the folder."""
    files = [path for path in folder.rglob(pattern) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in files}
