"""The report in a real browser: it requests nothing, runs no script, and fits a phone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.browser import chromium

from mosaicfusion.quality.diversity import FILE_NAME as DIVERSITY
from mosaicfusion.quality.diversity import CategoryDiversity, Diversity
from mosaicfusion.report.html import write_report
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import RegionRecord
from mosaicfusion.run.semantics import RegionSemantics, write_semantics

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_report_requests_nothing_and_fits_the_screen(
    browser: Any,
    run_of: Callable[..., RunFolder],
    region: Callable[..., RegionRecord],
    width: int,
    scheme: str,
) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    run = run_of([None, *[[region(0, hostile), region(1, "w" * 100, hostile, 2)]] * 5])
    write_semantics(run.path, [RegionSemantics(1, 0, hostile, hostile, 0.2, 0.01, 9, "w" * 100)])
    categories = (CategoryDiversity(category=hostile, instances=9, vendi=2.5, distance=0.3),)
    diversity = Diversity(
        features=hostile,
        mask_background=True,
        per_category=9,
        instances=9,
        vendi=2.5,
        distance=0.3,
        categories=categories,
    )
    (run.path / DIVERSITY).write_text(diversity.model_dump_json())
    path = write_report(run)
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    requests, dialogs, messages = [], [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_timeout(200)

    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    assert dialogs == messages == []
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert {"failure-modes", "semantics", "diversity"} <= set(
        page.evaluate("[...document.querySelectorAll('h2')].map(h => h.id)")
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(background[4:].split(",")[0]) < 128) == (scheme == "dark")

    layer = page.locator(".layer").first
    assert layer.is_visible()
    page.get_by_label("Masks and labels").uncheck()
    assert not layer.is_visible()
    page.close()
