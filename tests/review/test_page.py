"""The page in a real browser, served by the command: keys, frame, undo, hostile names, a phone, and a server that is killed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import chromium
from support.hand_made_runs import disc, make_run, region

from mosaicfusion.config import OutputSettings
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.reviews import REVIEWS, Reviews

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=alert(1)>"


class Server:
    """`mosaicfusion review` on a free port; ``address`` is what it printed."""

    def __init__(self, run: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "mosaicfusion",
            "review",
            str(run),
            "--no-open",
            "--port",
            "0",
            "--who",
            "anna",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=\S{20,}", self.address)

    def stop(self, how: int = signal.SIGINT) -> str:
        """Stop it; returns what else it printed."""
        self.process.send_signal(how)
        return self.process.communicate(timeout=30)[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Sixty canvases with two objects each."""
    canvases = [[region(0, disc(0), quality=0.5 + k / 200), region(1, disc(1))] for k in range(60)]
    made = make_run(tmp_path / "run", canvases)
    made.remember_output(OutputSettings(policy="not_exhaustive"))
    return made


@pytest.fixture
def server(run: RunFolder) -> Iterator[Server]:
    started = Server(run.path)
    yield started
    if started.process.poll() is None:
        started.stop()


def opened(browser: Any, server: Server, **options: Any) -> Any:
    """The page, which says of errors and of requests to elsewhere."""
    page = browser.new_page(**options)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda one: None if one.url.startswith(server.address.split("/?")[0]) else page.problems.append(one.url),
    )
    page.on("dialog", lambda dialog: page.problems.append(dialog.message))
    page.goto(server.address)
    page.wait_for_selector(".object.chosen")
    return page


def said(page: Any, text: str) -> None:
    page.wait_for_function("text => document.getElementById('said').textContent === text", arg=text)


def test_verdicts_by_key_are_on_disk_and_can_be_undone(browser: Any, server: Server, run: RunFolder) -> None:
    page = opened(browser, server)
    page.keyboard.press("r")
    said(page, "1 object rejected")
    page.keyboard.press("a")  # the next one
    said(page, "1 object accepted")
    page.keyboard.press("m")
    said(page, "1 object mask wrong")
    assert Reviews.read(run.path).counts() == {"reject": 1, "accept": 1, "wrong_mask": 1}
    assert "1 accepted · 1 rejected · 1 mask wrong" in page.inner_text("#counts")
    page.keyboard.press("u")
    said(page, "undone: 1")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    chosen = page.locator(".object.chosen").count()
    assert chosen > 3
    page.keyboard.press("x")
    page.wait_for_function("() => /canvas(es)? rejected/.test(document.getElementById('said').textContent)")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    assert page.problems == []


def test_filters_rules_and_relabelling(browser: Any, server: Server, run: RunFolder) -> None:
    page = opened(browser, server)
    page.select_option("[name=sort]", "quality")
    page.fill("[name=most]", "0.59")
    page.press("[name=most]", "Enter")
    page.locator("#filters").dispatch_event("change")
    page.wait_for_function("() => document.querySelectorAll('.object').length === 19")
    page.click("#rule")
    page.click("#ask-yes")
    said(page, "19 objects rejected")
    page.fill("[name=most]", "")
    page.select_option("[name=verdict]", "none")
    page.wait_for_function("() => !document.querySelector('.object.reject')")
    page.locator(".object").first.click()
    page.keyboard.press("l")
    page.select_option("#ask [name=category]", "drum")
    page.click("#ask-yes")
    said(page, "1 object relabelled")
    assert Reviews.read(run.path).counts() == {"reject": 19, "relabel": 1}
    page.click("#write")
    said(page, "lvis.json has 101 instances on 60 canvases")
    assert page.problems == []


def test_a_frame_selects_and_the_sheet_holds_what_is_in_sight_only(browser: Any, server: Server) -> None:
    page = opened(browser, server, viewport={"width": 1200, "height": 700})
    assert page.locator(".object").count() < 60
    box = page.locator("#sheet").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 250, steps=5)
    page.mouse.up()
    said(page, "4 objects selected")
    page.keyboard.press("r")
    said(page, "4 objects rejected")
    page.keyboard.press("End")
    page.wait_for_selector("#object-119.chosen")
    assert page.problems == []


def test_a_killed_server_loses_nothing(browser: Any, run: RunFolder) -> None:
    first = Server(run.path)
    page = opened(browser, first)
    for key in "rar":  # faster than the answers
        page.keyboard.press(key)
    page.wait_for_function("() => document.getElementById('counts').textContent.includes('1 accepted · 2 rejected')")
    first.stop(signal.SIGKILL)
    with (run.path / REVIEWS).open("ab") as file:
        file.write(b'{"canvas":5,"reg')  # what was being written
    second = Server(run.path)
    page = opened(browser, second)
    assert "1 accepted · 2 rejected" in page.inner_text("#counts")
    page.keyboard.press("End")
    page.keyboard.press("r")
    said(page, "1 object rejected")
    assert "verdicts: 3 reject, 1 accept" in second.stop()
    assert Reviews.read(run.path).counts() == {"reject": 3, "accept": 1}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_and_hostile_names(browser: Any, tmp_path: Path, scheme: str) -> None:
    run = make_run(tmp_path / HOSTILE.replace("/", ""), [[region(0, disc(0), prompt=HOSTILE), region(1, disc(1))]] * 1)
    server = Server(run.path)
    try:
        page = opened(browser, server, viewport={"width": 390, "height": 800}, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth <= 390")
        page.wait_for_function("text => document.getElementById('detail').textContent.includes(text)", arg=HOSTILE)
        assert page.inner_text("h1") == HOSTILE
        page.click("[data-word=reject]")
        said(page, "1 object rejected")
        assert page.problems == []
    finally:
        server.stop()


def test_settings_are_tried_and_kept(browser: Any) -> None:
    command = [sys.executable, "-m", "mosaicfusion", "studio", "--no-open", "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        page = browser.new_page(viewport={"width": 390, "height": 800})
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(process.stdout.readline().strip())
        page.fill("[name=names]", "zebra crossing")
        page.click("#start")
        page.wait_for_function("() => document.getElementById('said').textContent.includes('does not know')")
        page.fill("[name=names]", "teapot, banana")
        page.fill("[name=steps]", "3")
        page.click("#start")
        page.wait_for_selector("#objects li:nth-child(2)", timeout=60_000)
        page.fill("[name=min_area]", "0.9")
        page.press("[name=min_area]", "Enter")
        page.wait_for_function("() => document.getElementById('said').textContent === '0 of 2 objects have a mask'")
        page.hover("#objects li")
        page.wait_for_selector("#canvas .heat")
        page.click("#keep")
        page.wait_for_function("() => document.getElementById('yaml').value.includes('min_area: 0.9')")
        assert page.evaluate("document.documentElement.scrollWidth <= 390")
        assert problems == []
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
