"""The CLIP that several commands are called with."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_clip import save_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random CLIP; do not write into it."""
    return save_clip(tmp_path_factory.mktemp("clip") / "model")
