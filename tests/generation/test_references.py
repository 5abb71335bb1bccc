"""Real objects that generated ones begin from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.shapes_set import BAR, CATEGORIES, COLOURS, DISC, SQUARE, write_set

from mosaicfusion.categories import Category, Selection, Vocabulary
from mosaicfusion.config import ReferenceConfig, RunConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.references import REFERENCES, References, with_references
from mosaicfusion.layouts.geometry import Canvas, Region
from mosaicfusion.mosaic.plan import CanvasSpec

KNOWN = [Category(each["id"], each["name"]) for each in CATEGORIES]
OTHER = Category(99, "kite")


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Six discs, three squares and two bars, in images beside the json."""
    write_set(tmp_path, "train", first_id=1, count=6)
    return tmp_path / "train.json"


def collect(real: Path, each: int = 16) -> References:
    config = ReferenceConfig(file=str(real), images=(str(real.parent / "images"),), each=each, smallest_px=4)
    return References.collect(config, KNOWN)


def spec(*categories: Category) -> CanvasSpec:
    regions = tuple(Region(0, 64 * k, 64, 64 * k + 64) for k in range(len(categories)))
    return CanvasSpec(3, Canvas((64, 256), regions), categories, ("",) * len(categories), ("",) * len(categories), 7)


def test_so_many_objects_of_each_category_are_kept(real: Path) -> None:
    assert {id_: len(found) for id_, found in collect(real).images.items()} == {DISC: 6, SQUARE: 3, BAR: 2}
    assert {id_: len(found) for id_, found in collect(real, each=2).images.items()} == {DISC: 2, SQUARE: 2, BAR: 2}


def test_a_run_folder_keeps_them(real: Path, tmp_path: Path) -> None:
    references = collect(real)
    references.write(tmp_path / "run")
    assert References.read(tmp_path / "run").images == references.images
    assert References.read(tmp_path / "run").digest == references.digest != collect(real, each=1).digest
    (tmp_path / "run" / REFERENCES).write_bytes(b"no zip")
    with pytest.raises(MosaicFusionError, match="the real objects that this run begins from"):
        References.read(tmp_path / "run")


def test_an_object_has_its_own_pixels_in_the_middle_of_its_region(real: Path) -> None:
    square = KNOWN[[one.id for one in KNOWN].index(SQUARE)]
    start, nothing = collect(real).starts(spec(square, OTHER), seed=0)
    assert nothing is None
    assert start is not None
    rows, columns = np.nonzero(start.mask)
    assert abs(rows.mean() - 31.5) <= 1 and abs(columns.mean() - 31.5) <= 1
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(0.8 * 64, abs=1)
    assert np.abs(start.pixels[32, 32].astype(int) - COLOURS[SQUARE]).max() <= 2
    assert np.all(start.pixels[~start.mask] == 127)


def test_the_choice_depends_on_seed_and_canvas_alone(real: Path) -> None:
    references, canvas = collect(real), spec(*KNOWN)
    one, same = references.starts(canvas, seed=0), references.starts(canvas, seed=0)
    assert all(
        a is not None and b is not None and np.array_equal(a.pixels, b.pixels) for a, b in zip(one, same, strict=True)
    )


def test_what_cannot_be_used_is_refused(real: Path) -> None:
    selection = Selection(Vocabulary(KNOWN), Vocabulary(KNOWN))
    settings = {"file": str(real), "images": [str(real.parent / "images")], "smallest_px": 4}
    scene = {"layout": {"kind": "scene"}, "references": settings}
    read, found = with_references(RunConfig.parse(scene), selection)
    assert read.references is not None and found is not None
    assert (read.references.file, read.references.digest) == (None, found.digest)
    with pytest.raises(MosaicFusionError, match="add --layout scene"):
        with_references(RunConfig.parse({"references": {"file": str(real)}}), selection)
    with pytest.raises(MosaicFusionError, match="no object of these categories has a mask"):
        with_references(RunConfig.parse(scene), Selection(Vocabulary([OTHER]), Vocabulary([OTHER])))
    with pytest.raises(MosaicFusionError, match=r"a side of 40 px or more; lower references\.smallest_px"):
        with_references(RunConfig.parse(scene | {"references": settings | {"smallest_px": 40}}), selection)
    with pytest.raises(MosaicFusionError, match=r"there is no .*none\.json"):
        with_references(RunConfig.parse(scene | {"references": {"file": "none.json"}}), selection)
