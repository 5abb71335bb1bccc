"""Claims on canvases by real processes that share a run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.other_process import claimed_by_another_process

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.claims import Claims


def test_a_batch_is_claimed_by_one_process_at_a_time(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims, claimed_by_another_process(tmp_path, range(8, 16)) as other:
        assert not claims.take([8, 9])
        assert not claims.take([15, 16])
        assert not claims.take([4, 20])  # the batch of a run with other gaps
        assert claims.take([0, 7])
        assert claims.take([16])
        other.kill()  # it cannot give anything back: the operating system does
        assert other.wait() == -signal.SIGKILL
        assert claims.take([8, 9])


def test_canvases_given_back_can_be_claimed_by_another_process(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        assert claims.take(range(8, 16))
        claims.give_back(range(8, 16))
        with claimed_by_another_process(tmp_path, range(8, 16)):
            assert not claims.take([8])


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match=r"cannot write .*run\.lock: No such file"):
        Claims(tmp_path / "none")
