"""Sections on agreement, failures, semantics and diversity show computed results only, and escape text from outside."""

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pytest

from mosaicfusion.quality import diversity as results
from mosaicfusion.quality.diversity import CategoryDiversity, CategoryGap, Diversity, Gap
from mosaicfusion.report.html import write_report
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import RegionRecord
from mosaicfusion.run.semantics import BackgroundSemantics, Finding, RegionSemantics, write_semantics

HOSTILE = "<img src=x onerror=alert(1)>"
RunOf = Callable[..., RunFolder]
MakeRegion = Callable[..., RegionRecord]


def page(run: RunFolder) -> str:
    return write_report(run).read_text(encoding="utf-8")


def result(**changes: Any) -> Diversity:
    gap = CategoryGap(instances=6, vendi_synthetic=2.5, vendi_real=4.5, distance_real=0.4, kid=0.0125)
    categories = (
        CategoryDiversity(category=HOSTILE, instances=8, vendi=3.25, distance=0.3, against=gap),
        CategoryDiversity(category="teapot", instances=3, vendi=None, distance=None),
    )
    values = {"features": HOSTILE, "mask_background": False, "per_category": 100, "instances": 11, "vendi": 4.0}
    return Diversity(**{**values, "distance": 0.35, "categories": categories, **changes})


def test_only_computed_results_are_shown(run_of: RunOf) -> None:
    source = page(run_of([None]))
    assert 'href="#failure-modes"' in source
    assert 'href="#semantics"' not in source
    assert 'href="#diversity"' not in source
    assert "CLIP has not judged this run" in source
    assert 'href="#failure-modes"' not in page(run_of([], name="empty"))


def test_failures_are_flagged_and_shown(run_of: RunOf, region: MakeRegion) -> None:
    torn = region(1, "cup", "several_components", 2)
    source = page(run_of([[region(0), torn]] * 5))
    assert "1 of the 2 with 5 objects or more" in source
    assert '<span class="badge out">entangled</span>' in source
    assert "5 of 10 objects." in source
    assert 'alt="cup"' in source
    assert "several parts" in source


def test_semantics_show_the_ranks(run_of: RunOf, region: MakeRegion) -> None:
    run = run_of([[region(0), region(1, HOSTILE, None, 2)]])
    write_semantics(
        run.path,
        [
            RegionSemantics(0, 0, "teapot", HOSTILE, 0.31, 0.9, 1, "teapot"),
            RegionSemantics(0, 1, HOSTILE, HOSTILE, 0.2, 0.01, 7, HOSTILE),
        ],
    )
    source = page(run)
    assert "CLIP ranks the requested category first for 50.0 % of 2 objects" in source
    assert "rank 7; CLIP sees " in source
    assert HOSTILE not in source
    assert source.count(escape(HOSTILE)) > 4


def test_what_is_found_on_backgrounds_is_shown(run_of: RunOf, region: MakeRegion) -> None:
    run = run_of([[region(0)], [region(0)]])
    found = (Finding(1, HOSTILE, 0.93, (0, 0, 8, 8)), Finding(2, "cup", 0.55, (500, 0, 8, 8)))
    write_semantics(run.path, [], [BackgroundSemantics(0, "mini", 4, found), BackgroundSemantics(1, "mini", 0)])
    source = page(run)
    assert "CLIP looked at 4 windows of 1 canvases in which nothing is annotated." in source
    assert "0.5 on 1, 0.8 on 1, 0.9 on 1, 0.95 on 0 canvases. None counts as an object" in source
    assert "probability 0.93" in source
    assert HOSTILE not in source
    write_semantics(run.path, [], [BackgroundSemantics(0, "mini", 0)])
    assert 'href="#background"' not in page(run), "a mosaic has no background"


def test_diversity_alone_and_against_a_real_set(run_of: RunOf) -> None:
    run = run_of([None])
    (run.path / results.FILE_NAME).write_text(result().model_dump_json())
    source = page(run)
    assert "mean cosine distance of all pairs 0.350, Vendi score 4.0" in source
    assert "Categories with fewer than 5 instances: 1" in source
    assert "Real or synthetic" not in source
    gap = Gap(pairs=120, fid=31.5, fid_floor=20.5, kid=0.0042, precision=0.8, recall=0.4, classifier=0.93)
    (run.path / results.FILE_NAME).write_text(result(against=HOSTILE, pairs=120, gap=gap).model_dump_json())
    source = page(run)
    for words in ("31.5", "real against real: 20.5", "4.2", "0.80, 0.40", "93.0 %", "12.5", "4.50"):
        assert words in source
    assert HOSTILE not in source
    (run.path / results.FILE_NAME).write_text(result(against="real.json", pairs=7).model_dump_json())
    assert "7 pairs of the same category; scores of the whole set need 100" in page(run)


@pytest.mark.parametrize("name", ["semantics.jsonl", "background.jsonl", "diversity.json"])
def test_a_damaged_file_is_named_on_the_page(run_of: RunOf, name: str) -> None:
    run = run_of([None])
    (run.path / name).write_text("{<b>")
    source = page(run)
    assert f"{name} is damaged" in source
    assert "<b>)" not in source
    assert 'href="#failure-modes"' in source


def test_failures_without_images_are_counted(run_of: RunOf, region: MakeRegion, tmp_path: Path) -> None:
    run = run_of([[region(0, reason="too_small"), region(1, reason="too_small")]])
    (run.path / run.image_name(0)).unlink()
    assert "2 of 2 objects." in page(run)


JUDGEMENT: dict[str, Any] = {
    "model": "OpenCV 5",
    "instances": 12,
    "mean_iou": 0.9,
    "median_iou": 0.95,
    "categories": {"tea_pot": {"instances": 5, "mean_iou": 0.8}, "umbrella": {"instances": 7, "mean_iou": 0.97}},
    "quality": {
        "pearson": 0.81,
        "spearman": 0.76,
        "thresholds": [
            {"share": 1.0, "min_quality": 0.2, "instances": 12, "mean_iou": 0.9},
            {"share": 0.5, "min_quality": 0.93, "instances": 6, "mean_iou": 0.98},
        ],
    },
}


def agreement_page(run: RunFolder, judgement: Any) -> str:
    (run.path / "judge.json").write_text(judgement if isinstance(judgement, str) else json.dumps(judgement))
    return Path(write_report(run)).read_text()


def test_categories_are_sorted_by_agreement(run_of: RunOf) -> None:
    text = agreement_page(run_of([None]), {"grabcut": JUDGEMENT})
    assert "grabcut, OpenCV 5: mean IoU 90.0 %, median 95.0 %." in text
    assert "Pearson 0.81, Spearman 0.76" in text
    assert "best 50% by quality: from 0.93" in text
    assert "best 100%" not in text
    agreement = text[text.index('id="mask-agreement"') :]
    assert agreement.index("tea pot") < agreement.index(">umbrella<")


def test_without_a_judgement_there_is_no_section_on_agreement(run_of: RunOf) -> None:
    assert "Mask agreement" not in Path(write_report(run_of([None]))).read_text()


def test_annotators_and_categories_are_escaped(run_of: RunOf) -> None:
    entry = {**JUDGEMENT, "model": HOSTILE, "categories": {HOSTILE: {"instances": 5, "mean_iou": 0.8}}, "quality": None}
    text = agreement_page(run_of([None]), {HOSTILE: entry})
    assert HOSTILE not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_a_damaged_judgement_is_named(run_of: RunOf) -> None:
    assert "judge.json is damaged" in agreement_page(run_of([None]), "{<b>")
