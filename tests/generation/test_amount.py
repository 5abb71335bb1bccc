"""A run grows until its data set holds the wanted instances, whatever stopped it on its way."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.lvis_sets import write_json
from support.tiny_runs import NAMES, content, generate_tiny, nothing_is_sampled, small_config, watched_engine

from mosaicfusion.categories import Selection
from mosaicfusion.config import OutputSettings, RunConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.amount import Canvases, Instances, make_amount
from mosaicfusion.generation.build_dataset import Aim, Summary, build_dataset
from mosaicfusion.generation.events import Event, Note
from mosaicfusion.generation.generate import generate
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.scale import Scale
from mosaicfusion.generation.selection import select
from mosaicfusion.mosaic.plan import Plan
from mosaicfusion.report.stats import CategoryTally
from mosaicfusion.run.folder import RunFolder

WANTED = Instances({"kite": 9, "drum": 4})
TWO = ("kite", "drum")


def partly_rejecting(model: Path) -> RunConfig:
    """About half of the masks of the random model fall into several parts."""
    return small_config(model, masks={"min_area": 0, "max_area": 1, "refine": False, "threshold": 0.3})


def instances(run: Path) -> Counter[str]:
    data = json.loads((run / "lvis.json").read_text())
    names = {category["id"]: category["name"] for category in data["categories"]}
    return Counter(names[annotation["category_id"]] for annotation in data["annotations"])


def make_plan(names: tuple[str, ...] = TWO, partners: tuple[str, ...] = TWO, grid: str = "2x2") -> Plan:
    everything = select([*dict.fromkeys((*names, *partners))], "a model")
    config = make_config("paper", {"model": "a model", "layout": {"grids": (grid,)}})
    return Plan(config, everything.main.select(names), everything.main.select(partners), 8)


def summary_of(**tallies: tuple[int, int]) -> Summary:
    """A summary of (requested, used) regions."""
    counts = {name: CategoryTally(name, requested, used, used) for name, (requested, used) in tallies.items()}
    return Summary(Path(), 0, 0, 0, 0, 0, {}, counts)


class TestCounts:
    def test_partners_count_as_well(self) -> None:
        """A 2 x 2 mosaic of two categories shows two objects of each."""
        counts = Instances({"kite": 20, "drum": 20}).counts(make_plan(), (0, 0), None)
        assert sum(counts) == pytest.approx(10, abs=2)

    def test_without_other_objects_a_canvas_is_an_instance(self) -> None:
        assert Instances({"kite": 7, "drum": 3}).counts(make_plan(grid="1x1"), (0, 0), None) == (7, 3)

    def test_a_category_that_is_rejected_more_often_gets_more(self) -> None:
        seen = summary_of(kite=(10, 5), drum=(10, 10))
        counts = Instances({"kite": 10, "drum": 10}).counts(make_plan(grid="1x1"), (10, 10), seen)
        assert counts[1] == 10
        assert 19 <= counts[0] <= 22

    def test_a_category_that_always_fails_is_given_up(self) -> None:
        wanted, counts = Instances({"kite": 5, "drum": 5}), (5, 5)
        for _ in range(10):
            seen = summary_of(kite=(counts[0], 0), drum=(counts[1], 5))
            counts = wanted.counts(make_plan(grid="1x1"), counts, seen)
        assert counts == (20, 5)
        aims = wanted.aims(make_plan(grid="1x1"), counts, (0, 0), seen)
        assert aims == {"kite": Aim(0, 0, 5, 0, 20), "drum": Aim(0, 5, 5, 5, 5)}
        assert [name for name, aim in aims.items() if aim.lacking] == ["kite"]

    def test_the_most_canvases_can_be_given(self) -> None:
        assert Instances({"kite": 50, "drum": 2}, 10).counts(make_plan(grid="1x1"), (0, 0), None) == (10, 2)

    def test_nothing_is_added_once_there_are_enough(self) -> None:
        assert WANTED.counts(make_plan(), (3, 3), summary_of(kite=(9, 9), drum=(9, 4))) == (3, 3)

    def test_planned_canvases_are_completed_first(self) -> None:
        assert WANTED.counts(make_plan(), (3, 1), None) == (3, 1)


@pytest.fixture(scope="module")
def run(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("amount") / "run"
    summary = generate_tiny(out, tiny_sd, config=partly_rejecting(tiny_sd), amount=WANTED)
    assert summary.rejections
    assert summary.short == {}
    assert summary.generated == summary.canvases
    return out


class TestRuns:
    def test_the_data_set_holds_the_instances(self, run: Path) -> None:
        counts = instances(run)
        assert counts["kite"] >= 9
        assert counts["drum"] >= 4
        assert len(RunFolder.open(run).manifest.rounds) > 0

    def test_the_same_again_generates_nothing(self, tiny_sd: Path, run: Path) -> None:
        engine = watched_engine(nothing_is_sampled)
        summary = generate_tiny(run, tiny_sd, config=partly_rejecting(tiny_sd), amount=WANTED, engine=engine)
        assert (summary.generated, summary.missing) == (0, 0)

    @pytest.mark.parametrize("survived", [1, 3, 5])
    def test_an_interrupted_run_comes_to_the_same_bytes(
        self, tiny_sd: Path, run: Path, tmp_path: Path, survived: int
    ) -> None:
        sampled: list[Any] = []

        def interrupt(indices: list[int]) -> None:
            if len(sampled) == survived:
                raise KeyboardInterrupt
            sampled.append(indices)

        config = partly_rejecting(tiny_sd)
        with pytest.raises(KeyboardInterrupt):
            generate_tiny(tmp_path, tiny_sd, config=config, amount=WANTED, engine=watched_engine(interrupt))
        generate_tiny(tmp_path, tiny_sd, config=config, amount=WANTED)
        assert content(tmp_path) == content(run)

    def test_it_can_grow_by_canvases_and_by_instances(self, tiny_sd: Path, run: Path, tmp_path: Path) -> None:
        config = partly_rejecting(tiny_sd)
        generate_tiny(tmp_path, tiny_sd, config=config, canvases_per_category=2)
        generate_tiny(tmp_path, tiny_sd, config=config, amount=WANTED)
        before = list(RunFolder.open(tmp_path).records())
        most = max(RunFolder.open(tmp_path).manifest.counts) + 1
        generate_tiny(tmp_path, tiny_sd, config=config, canvases_per_category=most)
        grown = RunFolder.open(tmp_path)
        assert grown.manifest.counts == (most, most)
        assert list(grown.records())[: len(before)] == before
        with pytest.raises(MosaicFusionError, match=f"made with {most} canvases per category; a run can grow"):
            generate_tiny(tmp_path, tiny_sd, config=config, canvases_per_category=2)

    def test_what_is_not_reached_is_said(self, tiny_sd: Path, tmp_path: Path) -> None:
        config = small_config(tiny_sd, masks={"min_area": 0.99, "max_area": 1.0, "refine": False})
        summary = generate_tiny(tmp_path, tiny_sd, config=config, amount=Instances({"kite": 2, "drum": 1}))
        assert summary.short == {"kite": (0, 2), "drum": (0, 1)}
        assert RunFolder.open(tmp_path).manifest.counts == (8, 4)

    def test_a_run_that_grows_says_why(self, tiny_sd: Path, tmp_path: Path) -> None:
        """As after `report --min-quality`."""
        config, amount = small_config(tiny_sd), Instances({"kite": 2, "drum": 1}, 3)
        generate_tiny(tmp_path, tiny_sd, config=config, amount=amount)
        build_dataset(RunFolder.open(tmp_path), OutputSettings(min_quality=1.0))
        events: list[Event] = []
        generate_tiny(tmp_path, tiny_sd, config=config, output=OutputSettings(), amount=amount, on_event=events.append)
        notes = [event.text for event in events if isinstance(event, Note)]
        thresholds = "under --min-quality 1, as the data set was last compiled"
        assert notes[0].startswith(f"kite has 0 of 2, drum has 0 of 1 {thresholds}; ")
        assert notes[0].endswith(" more canvases")
        assert events.index(Note(notes[0])) == 0, "before anything is generated"

    def test_shards_are_refused(self, tiny_sd: Path, tmp_path: Path) -> None:
        with pytest.raises(MosaicFusionError, match="a shard cannot know how many instances the others keep"):
            generate_tiny(tmp_path / "run", tiny_sd, amount=WANTED, shard="1/2")
        assert not (tmp_path / "run").exists()

    @pytest.mark.slow
    def test_workers_come_to_the_same_bytes(self, tiny_sd: Path, run: Path, tmp_path: Path) -> None:
        generate_tiny(
            tmp_path / "run", tiny_sd, config=partly_rejecting(tiny_sd), amount=WANTED, scale=Scale(workers=2)
        )
        assert content(tmp_path / "run") == content(run)


class TestBalance:
    SELECTION: Selection = select(NAMES, "a model")

    def own_data(self, folder: Path) -> Path:
        """A plain COCO json with three kites on two images; drums are none of its categories."""
        boxes = [
            {"id": k, "image_id": 1 + k // 2, "category_id": 8, "bbox": [0, 0, 4, 4], "area": 16} for k in range(3)
        ]
        images = [{"id": k, "file_name": f"{k}.jpg", "width": 8, "height": 8} for k in (1, 2)]
        data = {"images": images, "annotations": boxes, "categories": [{"id": 8, "name": "Kite"}]}
        return write_json(folder / "own.json", data)

    def test_instances_of_the_own_data_count(self, tmp_path: Path) -> None:
        amount = make_amount(self.SELECTION, None, 5, self.own_data(tmp_path))
        assert amount.counts(make_plan(grid="1x1"), (0, 0), None) == (2, 5)
        aims = amount.aims(make_plan(grid="1x1"), (2, 5), (2, 5), None)
        assert aims == {"kite": Aim(3, 0, 5, 5, 2), "drum": Aim(0, 0, 5, 5, 5)}

    def test_nothing_is_generated_for_a_category_with_enough(self, tmp_path: Path) -> None:
        amount = make_amount(self.SELECTION, 7, 3, self.own_data(tmp_path))
        assert amount.counts(make_plan(grid="1x1"), (0, 0), None) == (0, 3)

    def test_a_category_that_the_own_data_lacks_is_named_with_the_nearest(self, tmp_path: Path) -> None:
        selection = select(["kites", "drum"], "a model")
        (note,) = make_amount(selection, None, 5, self.own_data(tmp_path)).notes
        assert note.endswith("own.json lacks 2 categories, of which 0 instances count: kites (nearest: kite), drum")

    def test_the_number_of_instances_is_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(MosaicFusionError, match="needs --instances-per-category"):
            make_amount(self.SELECTION, None, None, self.own_data(tmp_path))

    def test_a_balanced_set_is_told_so(self, tmp_path: Path) -> None:
        kites = select(["kite"], "a model")
        with pytest.raises(MosaicFusionError, match=r"every category has 3 instances in .*own.json already"):
            make_amount(kites, None, 3, self.own_data(tmp_path))

    @pytest.mark.parametrize("number", [0, -1])
    def test_numbers_below_one_are_refused(self, number: int) -> None:
        with pytest.raises(MosaicFusionError, match="at least 1"):
            make_amount(self.SELECTION, number)
        with pytest.raises(MosaicFusionError, match="at least 1"):
            make_amount(self.SELECTION, None, number)

    def test_25_canvases_are_the_default(self) -> None:
        assert make_amount(self.SELECTION) == Canvases(25)

    def test_python_takes_both(self, tiny_sd: Path, tmp_path: Path) -> None:
        data, config = self.own_data(tmp_path), small_config(tiny_sd)
        summary = generate(NAMES, tmp_path / "run", instances_per_category=4, balance=data, config=config)
        assert summary.short == {}
        assert instances(tmp_path / "run")["drum"] >= 4
