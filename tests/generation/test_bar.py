"""Progress of a job that Python code starts."""

from __future__ import annotations

import pytest

from mosaicfusion.generation.bar import watched
from mosaicfusion.generation.events import Event, Progress


def test_a_terminal_gets_a_bar_unless_the_caller_watches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    seen: list[Event] = []
    for on_event, progress, shown in ((None, None, True), (None, False, False), (seen.append, None, False)):
        with watched(on_event, progress) as watcher:
            if watcher is not None:
                watcher(Progress(1, 4))
        assert ("1/4 canvases" in capsys.readouterr().err) == shown
    assert seen == [Progress(1, 4)]


def test_elsewhere_lines_come_on_request_beside_the_events(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Event] = []
    with watched(None, None) as nobody:
        assert nobody is None
    with watched(seen.append, True) as watcher:
        assert watcher is not None
        watcher(Progress(2, 2, round=3))
    assert capsys.readouterr().err == "generating: 2/2 canvases, round 3, 0:00:00 elapsed\n"
    assert seen == [Progress(2, 2, round=3)]
