"""Stages add up, threads are kept apart, and nothing is collected outside of `profiled`."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from mosaicfusion.profiling import profiled, stage


def test_inner_stages_do_not_count_twice() -> None:
    with profiled() as profile, stage("outer"):
        for _ in range(3):
            with stage("inner"):
                time.sleep(0.002)
    totals = {total.name: total for total in profile.totals()}
    assert (totals["outer"].calls, totals["inner"].calls) == (1, 3)
    assert totals["outer"].seconds == pytest.approx(totals["outer"].own_seconds + totals["inner"].seconds)
    assert sum(total.own_seconds for total in totals.values()) <= profile.seconds


def test_stages_outside_are_not_collected() -> None:
    with stage("before"):
        pass
    with profiled() as profile:
        pass
    with stage("after"):
        pass
    assert profile.totals() == []


def test_trace_keeps_threads_apart(tmp_path: Path) -> None:
    def beside() -> None:
        with stage("masks"):
            pass

    with profiled() as profile, stage("sampler"):
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
    profile.write_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {event["name"]: event["tid"] for event in events} == {"sampler": 0, "masks": 1}
    assert all(event["ph"] == "X" and event["ts"] >= 0 and event["dur"] >= 0 for event in events)
    totals = {total.name: total for total in profile.totals()}
    assert totals["sampler"].own_seconds == totals["sampler"].seconds  # the time of the other thread is not subtracted


def test_failed_stage_counts_and_the_device_is_awaited() -> None:
    waited = []
    with profiled(lambda: waited.append(1)) as profile:
        with stage("fine"):
            pass
        with pytest.raises(ValueError, match="broken"), stage("broken"):
            raise ValueError("broken")
    assert waited == [1]
    assert {total.name for total in profile.totals()} == {"fine", "broken"}
