"""The tiny LVIS set of the detectors' tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.shapes_set import write_set


@pytest.fixture(scope="session")
def tiny_lvis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``train.json`` (8 images), ``val.json`` (4 images) and their ``images/``; do not write into it.

    Every third image has a bar, the rare category; one annotation in two is a polygon, the others are run lengths.
    """
    folder = tmp_path_factory.mktemp("tiny_lvis")
    write_set(folder, "train", first_id=1, count=8)
    write_set(folder, "val", first_id=101, count=4)
    return folder
