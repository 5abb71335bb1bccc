from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.colour_clip import ColourClip
from support.manifests import make_manifest

from mosaicfusion.categories import Category
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.quality.semantics import by_category, choices, classify_regions, is_classified
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord
from mosaicfusion.run.semantics import RegionSemantics, read_semantics

RED, GREEN, BLUE = Category(1, "red_(colour)"), Category(2, "green"), Category(3, "blue")


def make_run(path: Path, categories: Sequence[Category] = (RED, GREEN)) -> RunFolder:
    """Canvases of red beside green: as requested, with a reddish blue in place of red, and without an image."""
    run = RunFolder.open_or_create(path, make_manifest(3, categories, categories))

    def region(k: int, category: Category, reason: str | None = None) -> RegionRecord:
        mask = None if reason else {"size": [32, 32], "counts": "0PP1"}  # all pixels
        box = None if reason else (0.0, 0.0, 32.0, 32.0)
        return RegionRecord(
            category.id, category.name, "", (16 * k, 0, 16, 32), reason, segmentation=mask, box_xywh=box
        )

    records = []
    for index, colours in enumerate([((255, 0, 0), (0, 255, 0)), ((90, 0, 255), (0, 255, 0))]):
        pixels = np.repeat(np.array(colours, np.uint8), 16, axis=0)[None].repeat(32, axis=0)
        name = run.image_name(index)
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(run.path / name, quality=95)
        records.append(CanvasRecord(index, (32, 32), 0, name, (region(0, RED), region(1, GREEN, "too_small"))))
    records.append(CanvasRecord(2, (32, 32), 0, None, (region(0, RED), region(1, GREEN))))
    run.write_part(records)
    return run


def test_regions_are_ranked_among_the_vocabulary(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    seen: list[tuple[float, int]] = []
    judged = classify_regions(run, ColourClip(), [BLUE], on_progress=lambda *done: seen.append(done))
    assert [(line.canvas, line.region, line.rank, line.top) for line in judged] == [
        (0, 0, 1, "red_(colour)"),
        (0, 1, 1, "green"),  # a rejected region is judged, too
        (1, 0, 2, "blue"),
        (1, 1, 1, "green"),
    ]
    right, wrong = judged[0], judged[2]
    assert right.score == pytest.approx(1, abs=0.01)
    assert right.probability == pytest.approx(np.exp(10) / (np.exp(10) + 2), abs=0.01)
    assert wrong.score == pytest.approx(1 / 3, abs=0.02)
    assert wrong.probability < 0.01
    assert {line.choices for line in judged} == {3}
    assert seen == [(3, 3)]
    assert read_semantics(run.path) == {(line.canvas, line.region): line for line in judged}


def test_the_model_is_stored_in_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert not is_classified(run, "colours")
    classify_regions(run, ColourClip(), [])
    assert RunFolder.open(tmp_path).manifest.output.clip == "colours"
    assert not is_classified(run, "colours"), "red on the canvas without an image has no reason of rejection here"
    first = next(run.records())
    (run.path / "parts").joinpath("part-00000000.jsonl").unlink()
    run.write_part([first])
    assert is_classified(run, "colours")
    assert not is_classified(run, "others")


def test_choices_are_the_vocabulary_and_more_categories(tmp_path: Path) -> None:
    run = make_run(tmp_path / "two")
    other_red = Category(9, "red")  # the display name of one of the run's
    assert [category.name for category in choices(run, [other_red, BLUE])] == ["red_(colour)", "green", "blue"]
    synonym = Category(10, "ruby", synonyms=("crimson", "red"))
    assert choices(run, [synonym, BLUE]) == [RED, GREEN, BLUE]
    with pytest.raises(MosaicFusionError, match="needs at least two categories, and there is only red_"):
        choices(make_run(tmp_path / "one", [RED]), [])


def test_the_choices_are_many_unless_others_are_given(tmp_path: Path) -> None:
    run = make_run(tmp_path, [RED, Category(2, "kettle", synonyms=("teapot",))])
    names = [category.name for category in choices(run)]
    assert len(names) > 150
    assert "airplane" in names
    assert "teapot" not in names, "it is another word for one of the run's"


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run.path / run.image_name(0)).unlink()
    with pytest.raises(MosaicFusionError, match=r"cannot be read as an image \(No such file"):
        classify_regions(run, ColourClip(), [])
    assert read_semantics(run.path) is None


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    Image.new("RGB", (20, 32)).save(run.path / run.image_name(1))
    with pytest.raises(MosaicFusionError, match=r"has \(32, 20\) pixels \(height, width\), its record \(32, 32\)"):
        classify_regions(run, ColourClip(), [])
    assert read_semantics(run.path) is None


def test_categories_are_sorted_by_recognition() -> None:
    def line(category: str, rank: int, top: str) -> RegionSemantics:
        return RegionSemantics(0, 0, category, "colours", 0.5, 1 / rank, rank, top)

    rows = by_category(
        [line("kite", 1, "kite"), line("drum", 2, "kite"), line("drum", 4, "bell"), line("drum", 2, "bell")]
    )
    assert [(row.category, row.regions, row.first, row.mistaken_for) for row in rows] == [
        ("drum", 3, 0.0, "bell"),
        ("kite", 1, 1.0, None),
    ]
