"""The run folder: creating, continuing and opening a run, and the parts in it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.folders import read_files
from support.manifests import DRUM, KITE, make_manifest

from mosaicfusion.categories import Category
from mosaicfusion.config import OutputSettings
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.manifest import ModelIdentity
from mosaicfusion.run.records import CanvasRecord, RegionRecord


def canvas(index: int, *regions: RegionRecord) -> CanvasRecord:
    return CanvasRecord(index, (64, 128), noise_seed=2**62 + index, file_name=None, regions=regions)


KEPT = RegionRecord(
    category_id=1,
    category="kite",
    prompt="a kite",
    region_xywh=(0, 0, 64, 64),
    score=0.5,
    area=6,
    box_xywh=(1.0, 2.0, 3.0, 2.0),
    segmentation={"size": [64, 128], "counts": "R22n1000ng7"},
)
REJECTED = RegionRecord(2, "drum", "a drum", (64, 0, 64, 64), reason="several_components", values={"components": 3})


class TestCreate:
    def test_a_new_or_empty_folder_or_the_same_run_is_accepted(self, tmp_path: Path) -> None:
        for _ in range(2):
            run = RunFolder.open_or_create(tmp_path / "new" / "run", make_manifest())
        assert sorted(read_files(run.path)) == ["run.json"]
        assert run.total == 4
        assert RunFolder.open(run.path).manifest == run.manifest == make_manifest()

    def test_categories_that_are_main_and_partners_are_named_once(self, tmp_path: Path) -> None:
        RunFolder.open_or_create(tmp_path, make_manifest(partners=[KITE, DRUM]))
        boat = [KITE, Category(3, "<boat>")]
        with pytest.raises(MosaicFusionError, match=r"undo:\n  categories: only in the run: drum; only now: <boat>$"):
            RunFolder.open_or_create(tmp_path, make_manifest(main=boat, partners=boat))

    def test_foreign_files_stay(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("precious")
        with pytest.raises(MosaicFusionError, match="holds files but no run; give an empty or a new folder"):
            RunFolder.open_or_create(tmp_path, make_manifest())
        assert sorted(read_files(tmp_path)) == ["thesis.tex"]

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        with pytest.raises(MosaicFusionError, match="out is a file"):
            RunFolder.open_or_create(tmp_path / "out", make_manifest())

    def test_an_impossible_path_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(MosaicFusionError, match="File name too long; give another --out"):
            RunFolder.find(tmp_path / ("x" * 300))

    def test_another_run_is_refused_with_the_differences(self, tmp_path: Path) -> None:
        RunFolder.open_or_create(tmp_path, make_manifest())
        with pytest.raises(MosaicFusionError, match=r"holds another run.*\n  config\.sampling\.steps: 10 -> 25"):
            RunFolder.open_or_create(tmp_path, make_manifest(sampling={"steps": 25}))
        changed = make_manifest().model_copy(update={"model": ModelIdentity(digest="f" * 16)})
        with pytest.raises(MosaicFusionError, match=r"model\.digest: '0123456789abcdef' -> 'ffff"):
            RunFolder.open_or_create(tmp_path, changed)
        assert RunFolder.open(tmp_path).manifest.config.sampling.steps == 10

    def test_other_categories_are_named(self, tmp_path: Path) -> None:
        RunFolder.open_or_create(tmp_path, make_manifest())
        with pytest.raises(MosaicFusionError, match=r"categories\.main: only in the run: drum; only now: <boat>$"):
            RunFolder.open_or_create(tmp_path, make_manifest(main=[KITE, Category(3, "<boat>")]))

    def test_foreign_files_are_not_mistaken_for_leftovers(self, tmp_path: Path) -> None:
        (tmp_path / ".mine.tmp").write_text("precious")
        with pytest.raises(MosaicFusionError, match="holds files but no run"):
            RunFolder.open_or_create(tmp_path, make_manifest())
        assert (tmp_path / ".mine.tmp").read_text() == "precious"

    def test_output_settings_are_stored(self, tmp_path: Path) -> None:
        run = RunFolder.open_or_create(tmp_path, make_manifest())
        assert run.manifest.output == OutputSettings(policy="drop")
        later = OutputSettings(policy="not_exhaustive", min_quality=0.5)
        assert RunFolder.open_or_create(tmp_path, make_manifest(output=later)).manifest.output == later
        assert RunFolder.open(tmp_path).manifest.output == later
        RunFolder.open(tmp_path).remember_output(later.updated(OutputSettings(min_quality=0)))
        assert RunFolder.open(tmp_path).manifest.output == OutputSettings(policy="not_exhaustive")

    def test_a_run_of_an_earlier_version_without_thresholds_is_read(self, tmp_path: Path) -> None:
        values = json.loads(make_manifest().to_bytes())
        del values["config"]["layout"]["kind"], values["model"]["refined_by"]
        (tmp_path / "run.json").write_text(
            json.dumps({**values, "output": {"policy": "not_exhaustive", "masks": "rle"}})
        )
        manifest = RunFolder.open(tmp_path).manifest
        assert manifest.output == OutputSettings(policy="not_exhaustive")
        assert manifest.differences(make_manifest()) == []

    def test_fields_of_a_newer_version_are_ignored(self, tmp_path: Path) -> None:
        values = json.loads(make_manifest().to_bytes())
        values["categories"]["main"][0]["colour"] = values["new"] = "red"
        (tmp_path / "run.json").write_text(json.dumps(values))
        assert RunFolder.open(tmp_path).manifest == make_manifest()

    def test_grows_but_does_not_shrink(self, tmp_path: Path) -> None:
        RunFolder.open_or_create(tmp_path, make_manifest(2))
        assert RunFolder.open_or_create(tmp_path, make_manifest(3)).total == 6
        with pytest.raises(MosaicFusionError, match=r"made with 3 canvases per category; .* not shrink to 2"):
            RunFolder.open_or_create(tmp_path, make_manifest(2))
        assert RunFolder.open(tmp_path).total == 6

    def test_other_versions_may_continue(self, tmp_path: Path) -> None:
        RunFolder.open_or_create(tmp_path, make_manifest())
        newer = make_manifest().model_copy(update={"versions": {"torch": "3"}})
        assert RunFolder.open_or_create(tmp_path, newer).manifest.versions == {"torch": "3"}
        assert RunFolder.open(tmp_path).manifest.versions == {"torch": "3"}

    def test_leftovers_of_a_killed_process_are_removed(self, tmp_path: Path) -> None:
        run = RunFolder.open_or_create(tmp_path, make_manifest())
        run.write_part([canvas(0)])
        for name in (".run.json.x1.tmp", "parts/.part-00000002.jsonl.x2.tmp", "images/000/.000000000002.jpg.x3.tmp"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("half")
        RunFolder.open_or_create(tmp_path, make_manifest())
        assert sorted(read_files(tmp_path)) == ["parts/part-00000000.jsonl", "run.json"]

    def test_a_run_killed_before_its_first_file_was_complete_is_continued(self, tmp_path: Path) -> None:
        (tmp_path / ".run.json.x1.tmp").write_text("half")
        RunFolder.open_or_create(tmp_path, make_manifest())
        assert sorted(read_files(tmp_path)) == ["run.json"]

    def test_full_disk_at_the_start_leaves_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(MosaicFusionError, match="No space left"):
                RunFolder.open_or_create(tmp_path / "run", make_manifest())
        assert sorted(read_files(tmp_path)) == []
        RunFolder.open_or_create(tmp_path / "run", make_manifest())


def _changed(**fields: Any) -> str:
    return json.dumps({**json.loads(make_manifest().to_bytes()), **fields})


class TestOpen:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, "holds no run"),
            ("{", "cannot read"),
            ("[]", "not a run of this version"),
            ('{"format": 0}', "not a run of this version"),
            ('{"format": 1}', r"run\.json is damaged, or of another version.*\n  config: a value is missing"),
            (_changed(output="drop"), "output: 'drop' is not a group of settings"),
            (_changed(output={"policy": "keep"}), r"output\.policy: 'keep' is not 'drop' or 'not_exhaustive'"),
            (_changed(canvases_per_category=None), "canvases_per_category: None is not a whole number"),
            (_changed(categories={"main": [], "partners": []}), r"categories\.main: \[\] is not a list of at least 1"),
            (_changed(categories={"main": [{"id": 1, "name": None}], "partners": []}), r"categories\.main\.0\.name"),
            ("[" * 100_000, "cannot read"),
        ],
    )
    def test_invalid_run_json_is_refused(self, tmp_path: Path, text: str | None, message: str) -> None:
        if text is not None:
            (tmp_path / "run.json").write_text(text)
        with pytest.raises(MosaicFusionError, match=message):
            RunFolder.open(tmp_path)


class TestParts:
    def test_records_come_in_order_of_their_index(self, tmp_path: Path) -> None:
        run = RunFolder.open_or_create(tmp_path, make_manifest())
        assert not run.done().any()
        run.write_part([canvas(2, KEPT), canvas(3, REJECTED)])
        run.write_part([canvas(0), canvas(1)])
        assert [record.index for record in run.records()] == [0, 1, 2, 3]
        assert run.done().tolist() == [True] * 4
        assert [file.name for file in run.part_files()] == ["part-00000000.jsonl", "part-00000002.jsonl"]

    @pytest.mark.parametrize("text", ['{"index": 0, "hw', '{"index": 0}\n', "[]\n", "\x00\x00"])
    def test_damaged_part_is_named(self, tmp_path: Path, text: str) -> None:
        run = RunFolder.open_or_create(tmp_path, make_manifest())
        run.write_part([canvas(0)])
        run.part_files()[0].write_text(text)
        with pytest.raises(MosaicFusionError, match=r"part-00000000\.jsonl is damaged .*; delete it"):
            run.done()

    def test_image_folders_have_a_thousand_files(self, tmp_path: Path) -> None:
        run = RunFolder.open_or_create(tmp_path, make_manifest())
        assert run.image_name(123) == "images/000/000000000123.jpg"
        assert run.image_name(1_234_567) == "images/1234/000001234567.jpg"
        assert (tmp_path / run.write_image(5, b"jpeg")).read_bytes() == b"jpeg"
