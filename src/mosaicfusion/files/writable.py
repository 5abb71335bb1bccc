"""Checking that a folder can be written."""

from __future__ import annotations

import os
from pathlib import Path

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import check_reachable, is_remote


def check_writable(path: Path) -> None:
    """Raise :class:`MosaicFusionError` unless a folder exists or could be created; nothing is created."""
    if is_remote(path):
        check_reachable(path)
        return
    try:
        if path.is_symlink() and not path.exists():
            raise MosaicFusionError(f"{path} is a link to {path.readlink()}, which does not exist; give another --out")
        if path.exists() and not path.is_dir():
            raise MosaicFusionError(f"{path} is a file; give a folder with --out")
        nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
            raise MosaicFusionError(f"{path} cannot be written; give another --out")
    except OSError as error:
        raise MosaicFusionError(f"cannot use {path}: {error.strerror or error}; give another --out") from None
