import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mosaicfusion.categories import Category
from mosaicfusion.config import OutputSettings
from mosaicfusion.masks import rle
from mosaicfusion.report.html import write_report
from mosaicfusion.report.section import Section, message
from mosaicfusion.report.sections import SECTIONS
from mosaicfusion.report.stats import RunStats
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.manifest import RunCategories
from mosaicfusion.run.records import CanvasRecord, RegionRecord

HOSTILE = "<img src=x onerror=alert(1)>"
RunOf = Callable[..., RunFolder]
MakeRegion = Callable[..., RegionRecord]


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str, css_class: str = "") -> list[dict[str, str | None]]:
        return (
            [attrs for tag, attrs in self.tags if tag == name and css_class in (attrs.get("class") or "").split(" ")]
            if (css_class)
            else [attrs for tag, attrs in self.tags if tag == name]
        )


def test_page_shows_kept_and_rejected_canvases(run_of: RunOf, region: MakeRegion) -> None:
    run = run_of([None, [region(0), region(1, "hot-air_balloon", "several_components", 3)]])
    run.remember_output(OutputSettings(policy="drop"))
    path = write_report(run)
    assert path.name == "report.html"
    page = Page(path)
    for words in ("75.0 %", "3 of 4 objects", "in the set", "left out", "several parts", "hot-air balloon", "seed 0"):
        assert words in page.text
    assert len(page.all("figure", "card")) == 2
    assert "Canvas 1: teapot (kept), hot-air balloon (several parts)" in [image["alt"] for image in page.all("img")]
    assert "1 objects that have a mask are left out" in page.text
    assert "not_exhaustive keeps them" not in Page(write_report(run_of([None], name="other"))).text


def test_the_file_needs_no_other_file(run_of: RunOf) -> None:
    page = Page(write_report(run_of([None])))
    sources = [value or "" for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "srcset")]
    links = [value or "" for _, attrs in page.tags for name, value in attrs.items() if name == "href"]
    assert sources
    assert all(value.startswith("data:image/") for value in sources)
    assert all(value.startswith(("#", "data:,")) for value in links)
    assert not re.search(r"https?:|@import|url\(|<script|<iframe", page.source)
    policy = next(attrs for attrs in page.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    assert (policy["content"] or "").startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


@pytest.mark.parametrize("name", [HOSTILE, "a\"b'c&d", "</title><script>alert(1)</script>", "' onmouseover='alert(1)"])
def test_names_from_outside_stay_text(run_of: RunOf, region: MakeRegion, name: str) -> None:
    hostile_run = run_of([[region(0, name), region(1, name, name, 2)]])
    config = hostile_run.manifest.config
    changes = {
        "categories": RunCategories(main=(Category(1, name),), partners=(Category(1, name), Category(2, "umbrella"))),
        "config": config.model_copy(
            update={"model": name, "prompt": config.prompt.model_copy(update={"template": name})}
        ),
        "versions": {name: name},
    }
    hostile_run.manifest = hostile_run.manifest.model_copy(update=changes)
    page = Page(write_report(hostile_run))
    harmless = Page(write_report(run_of([[region(0, "a"), region(1, "a", "a", 2)]], name="harmless")))
    kinds = [
        sorted({tag for tag, _ in p.tags} | {name for _, attrs in p.tags for name in attrs}) for p in (page, harmless)
    ]
    assert kinds[0] == kinds[1], "no tag and no attribute comes from a name"
    assert page.text.count(name) >= 5


def test_the_name_of_the_folder_stays_text(run_of: RunOf) -> None:
    page = Page(write_report(run_of([None], name="<b>run & co")))
    assert page.all("b") == Page(write_report(run_of([None], name="plain"))).all("b")
    assert "<b>run & co" in page.text


def test_long_runs_show_a_sample(run_of: RunOf) -> None:
    page = Page(write_report(run_of([None] * 20), max_canvases=6))
    assert len(page.all("figure", "card")) == 6
    assert "6 of 20 canvases, spread evenly" in page.text


def test_a_run_without_canvases_has_a_message(run_of: RunOf) -> None:
    page = Page(write_report(run_of([], planned=4)))
    assert "The run holds no canvas yet." in page.text
    assert "The run is not finished: 0 of 4 canvases are generated." in page.text


def test_a_run_with_nothing_kept_has_a_message(run_of: RunOf, region: MakeRegion) -> None:
    page = Page(write_report(run_of([[region(0, "teapot", "too_small"), region(1, "teapot", "empty_mask")]])))
    assert "No object was kept" in page.text
    assert "0.0 %" in page.text


def test_images_that_cannot_be_shown_have_a_message(run_of: RunOf, record: Callable[..., CanvasRecord]) -> None:
    run = run_of([None, None])
    (run.path / run.image_name(0)).unlink()
    (run.path / run.image_name(1)).write_bytes(b"no image")
    run.write_part([record(2)])
    page = Page(write_report(run))
    assert "The image is missing" in page.text
    assert "The image is unreadable" in page.text
    assert "No image: it could not be generated." in page.text
    assert not page.all("img")


def test_a_section_is_a_function(run_of: RunOf) -> None:
    def quality(run: RunFolder, stats: RunStats) -> Section:
        return message("Mask quality", "note", f"{stats.kept} masks")

    page = Page(write_report(run_of([None]), sections=[*SECTIONS, quality, lambda run, stats: None]))
    assert "2 masks" in page.text
    assert {"href": "#mask-quality"} in page.all("a")


def test_the_list_says_how_much_of_an_object_is_hidden(run_of: RunOf, region: MakeRegion) -> None:
    whole = np.zeros((64, 96), bool)
    whole[16:48, 14:70] = True
    behind = replace(region(0), amodal_segmentation=dict(rle.encode(whole)))
    page = Page(write_report(run_of([[behind, region(1)]])))
    assert page.text.count("% hidden") == page.text.count("50 % hidden") == 1
