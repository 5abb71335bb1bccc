"""Planned scenes are like the real set that they take their settings from."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mosaicfusion.categories import Category, Selection, Vocabulary
from mosaicfusion.config import RunConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.amount import Instances
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.real_set import with_real_set
from mosaicfusion.layouts import SceneLayout
from mosaicfusion.layouts.scene import FROM_FILE
from mosaicfusion.mosaic.plan import CanvasSpec, Plan

NAMES = ("bus", "cup", "kite", "tree", "fork")
CATEGORIES = [Category(k, name) for k, name in enumerate(NAMES, start=1)]
SELECTION = Selection(Vocabulary(CATEGORIES[:3]), Vocabulary(CATEGORIES))


def write_set(path: Path) -> str:
    """200 images of 100 x 100: forks beside cups, trees beside buses; kites above, all others on the lower edge.

    There are two to five objects of 20 px on an image. The only kite is beside a bus.
    """
    rng = np.random.default_rng(0)
    annotations: list[dict[str, Any]] = []
    for image in range(1, 201):
        pair = ("cup", "fork") if image % 2 else ("bus", "tree")
        for name in [*pair, *rng.choice(pair, rng.integers(0, 4)), *(["kite"] if image == 2 else [])]:
            left, top = int(rng.integers(0, 80)), 0 if name == "kite" else 80
            box = [left, top, 20, 20]
            annotations.append({"image_id": image, "category_id": NAMES.index(name), "bbox": box})
    rows = [{"id": k, **row} for k, row in enumerate(annotations)]
    images = [{"id": k, "width": 100, "height": 100} for k in range(1, 201)]
    categories = [{"id": k, "name": name} for k, name in enumerate(NAMES)]
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    return str(path)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_set(tmp_path_factory.mktemp("real") / "real.json")


def like(file: str, *names: str, **values: Any) -> RunConfig:
    settings = dict.fromkeys(names or FROM_FILE, f"like:{file}")
    return make_config("mini", {"layout": {"kind": "scene", **settings, **values}})


def plan(config: RunConfig, selection: Selection = SELECTION) -> Plan:
    found = with_real_set(config, selection)
    found.layout.check(8)
    return Plan(found, list(selection.main), list(selection.partners), 8)


def specs(plan: Plan, count: int = 300) -> list[CanvasSpec]:
    return [plan.spec(index) for index in range(count)]


def test_numbers_of_objects_are_those_of_the_set(file: str) -> None:
    counts = [len(spec.categories) for spec in specs(plan(like(file, "objects")))]
    images = Counter(row["image_id"] for row in json.loads(Path(file).read_text())["annotations"])
    real = Counter(images.values())
    for number in range(2, 6):
        assert counts.count(number) / 300 == pytest.approx(real[number] / 200, abs=0.06)
    limited = [len(spec.categories) for spec in specs(plan(like(file, "objects", objects_between=(3, 4))), 60)]
    assert set(limited) == {3, 4}


def test_objects_lie_where_they_lie_in_the_set(file: str) -> None:
    """Kites are too few for positions of their own, and have those of all."""
    shown = [
        (category.name, region)
        for spec in specs(plan(like(file, "positions", objects=(2, 2), max_overlap=1)))
        for category, region in zip(spec.categories, spec.canvas.regions, strict=True)
    ]
    assert {region.bottom for name, region in shown if name != "kite"} == {512}
    kites = [region.bottom for name, region in shown if name == "kite"]
    assert np.mean([bottom == 512 for bottom in kites]) > 0.9
    across = [region.left / (512 - region.hw[1]) for _, region in shown]
    assert np.quantile(across, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.05)


def test_companions_are_those_of_the_set(file: str) -> None:
    beside: dict[int, Counter[str]] = {k: Counter() for k in range(3)}
    for spec in specs(plan(like(file, "companions", objects=(2, 2))), 600):
        main = spec.index % 3
        beside[main].update(category.name for category in spec.categories if category.name != NAMES[main])
    assert beside[0]["tree"] > 0.9 * beside[0].total(), "buses"
    assert beside[1]["fork"] > 0.9 * beside[1].total(), "cups"
    assert beside[2].keys() == {"bus", "cup", "tree", "fork"}, "kites are on one image, so all that is frequent counts"
    assert beside[2]["bus"] > beside[2]["cup"]


def test_no_companion_repeats_before_all_were_shown(file: str) -> None:
    for spec in specs(plan(like(file, "companions", objects=(6, 6))), 12):
        counts = Counter(category.name for category in spec.categories)
        assert set(counts) == set(NAMES) and sum(counts.values()) == 6


def test_a_category_without_others_stands_beside_itself(file: str) -> None:
    alone = Selection(Vocabulary(CATEGORIES[:1]), Vocabulary(CATEGORIES[:1]))
    assert {category.name for spec in specs(plan(like(file), alone), 9) for category in spec.categories} == {"bus"}


def test_the_expected_objects_are_those_that_are_planned(file: str) -> None:
    made = plan(like(file, "companions", objects=(3, 3)))
    counts = (20, 40, 60)
    aims = Instances(dict.fromkeys(NAMES[:3], 1)).aims(made, counts, counts, None)
    indices = [turn * 3 + k for k, count in enumerate(counts) for turn in range(count)]
    shown = Counter(category.name for index in indices for category in made.spec(index).categories)
    assert [aims[name].after for name in NAMES[:3]] == pytest.approx([shown[name] for name in NAMES[:3]], rel=0.15)


def test_plans_need_no_file_once_it_was_read(file: str, tmp_path: Path) -> None:
    path = tmp_path / "gone.json"
    path.write_text(Path(file).read_text())
    config = with_real_set(like(str(path)), SELECTION)
    path.unlink()
    assert isinstance(config.layout, SceneLayout)
    assert {getattr(config.layout, name) for name in FROM_FILE} == {"like"}
    stored = RunConfig.parse(json.loads(json.dumps(config.model_dump(mode="json"))))
    assert stored == config
    assert with_real_set(stored, SELECTION) is stored
    one, other = plan(config), plan(stored)
    assert [one.spec(index) for index in range(20)] == [other.spec(index) for index in reversed(range(20))][::-1]


def test_single_settings_may_come_from_other_files(file: str) -> None:
    config = with_real_set(like(file, "sizes", "companions"), SELECTION)
    assert isinstance(config.layout, SceneLayout)
    assert (config.layout.objects, config.layout.positions) == ((6, 12), "anywhere")
    assert config.layout.like is not None and config.layout.like.objects is None
    more = config.layout.model_dump() | {"objects": f"like:{file}"}
    layout = with_real_set(config.model_copy(update={"layout": SceneLayout(**more)}), SELECTION).layout
    assert isinstance(layout, SceneLayout) and layout.like is not None
    assert (layout.objects, layout.like.sizes) == ("like", config.layout.like.sizes)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match=r"none\.json"):
        with_real_set(like(str(tmp_path / "none.json")), SELECTION)
