"""The data of the sections, without the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest

from mosaicfusion.config import OutputSettings
from mosaicfusion.report import html
from mosaicfusion.report.html import render_report
from mosaicfusion.report.section import Section, message
from mosaicfusion.report.sections import (
    agreement,
    canvases,
    categories,
    distributions,
    failures,
    heading,
    rejections,
    totals,
)
from mosaicfusion.report.stats import RunStats
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import RegionRecord

RunOf = Callable[..., RunFolder]
MakeRegion = Callable[..., RegionRecord]


def stats_of(run: RunFolder) -> RunStats:
    return RunStats("drop").read(run.records(), 48)


def test_the_heading_has_every_setting(run_of: RunOf) -> None:
    run = run_of([None], planned=4)
    data = heading(run, stats_of(run)).data
    assert (data["run_name"], data["names"], data["partners"], data["planned"]) == ("run", ["teapot"], 3, 4)
    assert data["facts"]["seed"] == 0
    assert data["settings"]["run"]["canvases_per_category"] == 4
    assert {"sampling", "masks", "model", "versions"} <= data["settings"].keys()


def test_the_heading_counts_the_canvases_of_a_run_by_instances(run_of: RunOf) -> None:
    run = run_of([None])
    manifest = run.manifest.model_copy(update={"canvases_per_category": 0, "rounds": ((3,), (2,))})
    data = heading(RunFolder(run.path, manifest), stats_of(run)).data
    assert data["settings"]["run"]["canvases_per_category"] == 5


def test_the_totals_name_the_thresholds_in_force(run_of: RunOf) -> None:
    run = run_of([None])
    output = OutputSettings(min_quality=0.9)
    assert "2 of 2 objects got a mask" in render_report(run, stats_of(run)).decode()
    assert "objects kept under --min-quality 0.9" in render_report(run.with_output(output), stats_of(run)).decode()


def test_a_canvas_shows_its_image_and_its_outcome(run_of: RunOf, region: MakeRegion) -> None:
    run = run_of([None, [region(0), region(1, "teapot", "too_small")]])
    section = canvases(run, stats_of(run))
    assert section is not None
    whole, rejected = section.data["cards"]
    assert (whole.used, rejected.used) == (True, False)
    assert whole.image.startswith("data:image/jpeg;base64,")
    assert whole.layer.startswith("data:image/png;base64,")
    assert whole.colours == ("rgb(239,71,111)", "rgb(17,138,218)")
    assert not whole.problem


def test_categories_are_ranked_by_yield(run_of: RunOf, region: MakeRegion) -> None:
    run = run_of([[region(0, "teapot", "too_small"), region(1, "umbrella", None, 2)]])
    section = categories(run, stats_of(run))
    assert section is not None
    assert [(tally.name, tally.yield_) for tally in section.data["tallies"]] == [("umbrella", 1), ("teapot", 0)]


def test_masks_are_grouped_by_agreement(run_of: RunOf) -> None:
    run = run_of([None])
    by_category = {name: {"instances": 2, "mean_iou": iou} for name, iou in (("a", 0.9), ("b", 0.3))}
    entry = {
        "model": "m",
        "instances": 4,
        "mean_iou": 0.6,
        "median_iou": 0.6,
        "categories": by_category,
        "quality": None,
    }
    (run.path / "judge.json").write_text(json.dumps({"grabcut": entry}))
    section = agreement(run, stats_of(run))
    assert section is not None
    ((annotator, result, worst_first),) = section.data["judgements"]
    assert (annotator, result.model, [name for name, _ in worst_first]) == ("grabcut", "m", ["b", "a"])


def test_the_worst_examples_come_first(run_of: RunOf, region: MakeRegion) -> None:
    run = run_of([[region(0, "cup", "too_small"), region(1, "jug", "too_small", 2)]] * 5)
    section = failures(run, stats_of(run))
    assert section is not None
    small = next(mode for mode in section.data["modes"] if mode["mode"] == "small")
    assert (section.data["objects"], small["affected"]) == (10, 10)
    assert [(example["category"], example["caption"]) for example in small["examples"]] == [
        ("cup", "too small"),
        ("jug", "too small"),
    ]


def test_an_empty_run_has_totals_and_messages_only(run_of: RunOf) -> None:
    run = run_of([])
    stats = stats_of(run)
    built = [build(run, stats) for build in (totals, canvases, categories, rejections, distributions, failures)]
    assert [section and section.template for section in built] == [
        "totals.html.j2", "message.html.j2", None, None, "message.html.j2", None,
    ]  # fmt: skip


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="kind"):
        html.render_page("title", [Section("message.html.j2", {"text": "no kind"})])


def test_text_is_escaped_by_the_templates() -> None:
    page = html.render_page("<title>", [message("<b>Title", "note", '<i> & "quotes"')]).decode()
    assert '<p class="note">&lt;i&gt; &amp; &#34;quotes&#34;</p>' in page
    assert "<title>&lt;title&gt;</title>" in page
    assert '<h2 id="b-title">&lt;b&gt;Title</h2>' in page


def test_no_markup_in_python() -> None:
    sources = Path(html.__file__).parent.glob("*.py")
    assert not [source.name for source in sources if "</" in source.read_text(encoding="utf-8")]
