"""Progress in a terminal and in the log of a job."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from mosaicfusion import progress as module
from mosaicfusion.progress import ProgressBar


def make(terminal: bool) -> tuple[ProgressBar, io.StringIO]:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100)
    return ProgressBar("generating", "canvas", console=console), output


class Clock:
    """A clock in place of the module's ``time``."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_a_log_gets_a_line_per_minute_and_one_at_the_end(clock: Clock) -> None:
    bar, output = make(terminal=False)
    clock.now = 100
    with bar:
        for second in range(0, 121, 10):
            clock.now = 100 + second
            bar.show(second / 2, 80)
        clock.now = 260
        bar.show(80, 80)
        bar.show(80, 80)
    assert output.getvalue().splitlines() == [
        "generating: 0/80 canvases, 0:00:00 elapsed",
        "generating: 30/80 canvases, 30.0/min, 0:01:00 elapsed, 0:01:40 left",
        "generating: 60/80 canvases, 30.0/min, 0:02:00 elapsed, 0:00:40 left",
        "generating: 80/80 canvases, 30.0/min, 0:02:40 elapsed",
    ]


def test_canvases_of_an_earlier_run_do_not_count_for_the_rate(clock: Clock) -> None:
    bar, output = make(terminal=False)
    clock.now = 100
    with bar:
        bar.show(50, 100)
        clock.now = 160
        bar.show(60, 100)
    assert output.getvalue().splitlines()[-1] == "generating: 60/100 canvases, 10.0/min, 0:01:00 elapsed, 0:04:00 left"


def test_a_note_comes_after_the_count(clock: Clock) -> None:
    bar, output = make(terminal=False)
    clock.now = 100
    with bar:
        bar.show(0, 2)
        clock.now = 160
        bar.note("loss 1.250")
        bar.show(1, 2)
    assert output.getvalue().splitlines() == [
        "generating: 0/2 canvases, 0:00:00 elapsed",
        "generating: 1/2 canvases, loss 1.250, 1.0/min, 0:01:00 elapsed, 0:01:00 left",
    ]


def test_a_terminal_gets_a_bar(clock: Clock) -> None:
    bar, output = make(terminal=True)
    with bar:
        bar.show(1, 4)
    assert "1/4 canvases" in output.getvalue()
    assert "generating:" not in output.getvalue()


def test_a_round_that_begins_after_the_last_canvas_gets_its_lines(clock: Clock) -> None:
    bar, output = make(terminal=False)
    clock.now = 100
    with bar:
        for second, done, total in ((0, 0, 6), (30, 6, 6), (40, 6.5, 9), (50, 8, 9), (60, 9, 9)):
            clock.now = 100 + second
            bar.show(done, total)
    counts = [line.split(",")[0] for line in output.getvalue().splitlines()]
    assert counts == [f"generating: {count} canvases" for count in ("0/6", "6/6", "6/9", "9/9")]


def test_the_bar_of_a_terminal_grows_with_the_total() -> None:
    output = io.StringIO()
    with ProgressBar("generating", "canvas", console=Console(file=output, force_terminal=True, width=100)) as bar:
        bar.show(6, 6)
        bar.show(6, 12)
        (task,) = bar._bar.tasks
        assert task.percentage == 50


def test_a_hidden_bar_says_nothing_but_its_lines_reach_the_log(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mosaicfusion")
    output = io.StringIO()
    with ProgressBar("generating", "canvas", console=Console(file=output, force_terminal=True, quiet=True)) as bar:
        bar.show(1, 1)
    assert output.getvalue() == ""
    assert caplog.messages == ["generating: 1/1 canvas, 0:00:00 elapsed"]
