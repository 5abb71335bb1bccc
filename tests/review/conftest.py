"""A run of five canvases with two objects each."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.hand_made_runs import disc, make_run, region

from mosaicfusion.config import OutputSettings
from mosaicfusion.review.desk import Desk
from mosaicfusion.run.folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Qualities 0.90, 0.91, ...; the second object of the last canvas is rejected."""
    canvases = [
        [region(0, disc(0), quality=0.9 + k / 100), region(1, disc(1), quality=0.5 + k / 100)] for k in range(5)
    ]
    canvases[4][1] = region(1, None)
    made = make_run(tmp_path / "run", canvases)
    made.remember_output(OutputSettings(policy="not_exhaustive"))
    return made


@pytest.fixture
def desk(run: RunFolder) -> Desk:
    made = Desk(run, "anna")
    made.refresh()
    return made
