"""Merging keeps the real part, adds runs under new ids and names, and refuses sets that do not fit."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from support.lvis_sets import (
    BOW,
    KITE,
    REAL_COCO,
    REAL_LVIS,
    RIBBON,
    category,
    jpeg,
    make_run,
    read,
    write_json,
    write_lvis,
)

from mosaicfusion.config import OutputSettings
from mosaicfusion.dataset.merge import merge
from mosaicfusion.dataset.validate import validate
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.folder import RunFolder

SYNTHETIC = [category(1, "box kite"), category(2, "longbow"), category(3, "zebra", "zebra.n.01", ["zebra"])]
BOXKITE, LONGBOW, ZEBRA = 1, 2, 3
REAL = json.loads(REAL_LVIS)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return write_lvis(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    canvases = [[(BOXKITE, True), (LONGBOW, True)], [(ZEBRA, True), (LONGBOW, False)], [(ZEBRA, True), (ZEBRA, True)]]
    return make_run(tmp_path / "runs" / "rare", SYNTHETIC, canvases)


class TestRealPart:
    def test_merging_nothing_gives_the_same_content(self, real: Path, tmp_path: Path) -> None:
        merge(real, [], tmp_path / "out.json")
        assert read(tmp_path / "out.json") == REAL
        assert list(read(tmp_path / "out.json")) == list(REAL)

    def test_every_digit_and_unknown_field_stays(self, real: Path, run: Path, tmp_path: Path) -> None:
        merge(real, [run], tmp_path / "out.json")
        text, data = (tmp_path / "out.json").read_text(), read(tmp_path / "out.json")
        for written in ('[1.10, {"deep": null}]', r"a\u0301 \u00e9", "8.000000000000001", "3.00", '"mood": "good"'):
            assert written in text
        assert data["images"][:2] == REAL["images"]
        assert data["annotations"][:3] == REAL["annotations"]
        counts = ("image_count", "instance_count")
        for before, after in zip(REAL["categories"], data["categories"], strict=False):
            assert {k: v for k, v in before.items() if k not in counts} == {
                k: v for k, v in after.items() if k not in counts
            }

    def test_open_vocabulary_removes_annotations_of_rare_categories_only(
        self, real: Path, run: Path, tmp_path: Path
    ) -> None:
        summary = merge(real, [run], tmp_path / "out.json", open_vocabulary=True)
        data = read(tmp_path / "out.json")
        assert (summary.removed, summary.annotations) == (1, 2)
        assert [a["id"] for a in data["annotations"][:2]] == [3, 9]
        assert data["images"][:2] == REAL["images"]
        (bow,) = (c for c in data["categories"] if c["id"] == BOW)
        assert (bow["frequency"], bow["instance_count"]) == ("r", 1)  # the synthetic one
        assert data["annotations"][2]["id"] == 10  # after the highest, also of the removed

    def test_open_vocabulary_alone_makes_the_baseline(self, real: Path, tmp_path: Path) -> None:
        merge(real, [], tmp_path / "out.json", open_vocabulary=True)
        data = read(tmp_path / "out.json")
        assert [a["category_id"] for a in data["annotations"]] == [KITE, KITE]
        assert [c["instance_count"] for c in data["categories"]] == [2, 0, 0]

    def test_byte_order_mark_is_accepted(self, tmp_path: Path) -> None:
        (tmp_path / "real.json").write_text(REAL_LVIS, encoding="utf-8-sig")
        merge(tmp_path / "real.json", [], tmp_path / "out.json")
        assert read(tmp_path / "out.json") == REAL


class TestSyntheticPart:
    def test_every_value_of_the_synthetic_part(self, real: Path, run: Path, tmp_path: Path) -> None:
        summary = merge(real, [run], tmp_path / "out.json")
        data = read(tmp_path / "out.json")
        assert data["images"][2] == {
            "id": 52,
            "file_name": "synthetic-rare-000/000000000000.jpg",
            "coco_url": "synthetic-rare-000/000000000000.jpg",
            "synthetic": True,
            "width": 48,
            "height": 32,
            "neg_category_ids": [],
            "not_exhaustive_category_ids": [],
        }
        synthetic = [(a["id"], a["image_id"], a["category_id"]) for a in data["annotations"][3:]]
        assert synthetic == [(10, 52, KITE), (11, 52, BOW), (12, 53, 10), (13, 53, 10)]  # canvas 1 was rejected
        zebra = data["categories"][3]
        assert (zebra["id"], zebra["name"], zebra["synset"], zebra["frequency"]) == (10, "zebra", "zebra.n.01", "r")
        (added,) = summary.added
        assert (added.images, added.annotations, added.matched, added.new_categories) == (2, 4, 2, ["zebra"])
        assert added.folders == {"synthetic-rare-000": run / "images" / "000"}
        assert added.run_lengths

    def test_counts_are_of_images_and_instances(self, real: Path, run: Path, tmp_path: Path) -> None:
        merge(real, [run], tmp_path / "out.json")
        counts = {c["id"]: (c["image_count"], c["instance_count"]) for c in read(tmp_path / "out.json")["categories"]}
        assert counts == {KITE: (3, 3), BOW: (2, 2), RIBBON: (0, 0), 10: (1, 2)}

    def test_policy_and_mask_format_can_be_chosen(self, real: Path, run: Path, tmp_path: Path) -> None:
        before = (run / "run.json").read_bytes()
        summary = merge(real, [run], tmp_path / "out.json", policy="not_exhaustive", masks="polygon")
        data = read(tmp_path / "out.json")
        assert [image["not_exhaustive_category_ids"] for image in data["images"][2:]] == [[], [BOW], []]
        assert all(isinstance(a["segmentation"], list) for a in data["annotations"])
        assert not summary.added[0].run_lengths
        assert (run / "run.json").read_bytes() == before  # the run is only read
        assert not (run / "lvis.json").exists()

    def test_the_output_settings_of_the_run_are_used(self, real: Path, run: Path, tmp_path: Path) -> None:
        RunFolder.open(run).remember_output(OutputSettings(policy="not_exhaustive", masks="polygon", min_quality=0.8))
        merge(real, [run], tmp_path / "out.json")
        data = read(tmp_path / "out.json")
        assert [image["not_exhaustive_category_ids"] for image in data["images"][2:]] == [[BOW], [BOW], [10]]
        assert all(isinstance(a["segmentation"], list) for a in data["annotations"])

    @pytest.mark.parametrize("masks", ["rle", "polygon"])
    def test_pycocotools_reads_the_same_masks(self, real: Path, run: Path, tmp_path: Path, masks: Any) -> None:
        merge(real, [run], tmp_path / "out.json", masks=masks)
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(tmp_path / "out.json"))
        assert coco.getImgIds(catIds=[10]) == [53]
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[52, 53])):
            assert coco.annToMask(annotation).sum() == annotation["area"]

    def test_categories_without_an_instance_are_not_added(self, real: Path, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", [*SYNTHETIC, category(9, "bow")], [[(BOXKITE, True)]])  # bow is ambiguous
        merge(real, [run], tmp_path / "out.json")
        assert [c["id"] for c in read(tmp_path / "out.json")["categories"]] == [KITE, BOW, RIBBON]

    def test_several_runs_of_one_name_have_folders_of_their_own(self, real: Path, tmp_path: Path) -> None:
        runs = [make_run(tmp_path / where / "set", SYNTHETIC, [[(ZEBRA, True)]]) for where in ("a", "b")]
        merge(real, runs, tmp_path / "out.json")
        data = read(tmp_path / "out.json")
        names = ["synthetic-set-000/000000000000.jpg", "synthetic-set-2-000/000000000000.jpg"]
        assert [image["file_name"] for image in data["images"][2:]] == names
        assert [a["category_id"] for a in data["annotations"][3:]] == [10, 10]

    def test_a_run_is_merged_into_a_merged_set(self, real: Path, tmp_path: Path) -> None:
        runs = [make_run(tmp_path / where / "set", SYNTHETIC, [[(ZEBRA, True)]]) for where in ("a", "b")]
        merge(real, runs[:1], tmp_path / "one.json")
        merge(tmp_path / "one.json", runs[1:], tmp_path / "two.json")
        merge(real, runs, tmp_path / "both.json")
        assert read(tmp_path / "two.json") == read(tmp_path / "both.json")

    def test_coco_gets_no_fields_of_lvis(self, run: Path, tmp_path: Path) -> None:
        merge(write_json(tmp_path / "coco.json", REAL_COCO), [run], tmp_path / "out.json")
        data = read(tmp_path / "out.json")
        assert data["images"][0] == REAL_COCO["images"][0]
        assert data["annotations"][0] == REAL_COCO["annotations"][0]
        assert data["categories"][0] == REAL_COCO["categories"][0]
        assert {"coco_url", "neg_category_ids", "not_exhaustive_category_ids"} <= data["images"][1].keys()

    def test_a_json_with_its_images_is_merged(self, real: Path, tmp_path: Path) -> None:
        other = {**REAL_COCO, "images": [{**REAL_COCO["images"][0], "license": 5, "file_name": "a/b/x.jpg"}]}
        (tmp_path / "other" / "a" / "b").mkdir(parents=True)
        (tmp_path / "other" / "a" / "b" / "x.jpg").write_bytes(jpeg())
        source = write_json(tmp_path / "other" / "my set.json", other)
        merge(real, [source], tmp_path / "out.json", image_mode="copy")
        image = read(tmp_path / "out.json")["images"][2]
        assert image["file_name"] == "synthetic-my_set-a-b/x.jpg"
        assert image["neg_category_ids"] == []
        assert "license" not in image  # 5 is no licence of the real set
        assert (tmp_path / image["file_name"]).read_bytes() == jpeg()

    def test_two_synthetic_categories_may_match_one(self, real: Path, tmp_path: Path) -> None:
        other = {**REAL_COCO, "categories": [{"id": 2, "name": "kite"}, {"id": 3, "name": "box kite"}]}
        other["images"] = [{"id": 1, "file_name": "x.jpg", "neg_category_ids": [3]}]
        merge(real, [write_json(tmp_path / "other.json", other)], tmp_path / "out.json")
        assert read(tmp_path / "out.json")["images"][2]["neg_category_ids"] == []


class TestCap:
    def test_images_are_taken_whole_in_order(self, real: Path, tmp_path: Path) -> None:
        both, zebra = [(BOXKITE, True), (ZEBRA, True)], [(ZEBRA, True)]
        run = make_run(tmp_path / "run", SYNTHETIC, [both, zebra, both, [*zebra, *zebra], zebra])
        summary = merge(real, [run], tmp_path / "out.json", max_per_category=3)
        data = read(tmp_path / "out.json")
        assert [image["file_name"][-6:] for image in data["images"][2:]] == ["00.jpg", "01.jpg", "02.jpg"]
        assert Counter(a["category_id"] for a in data["annotations"][3:]) == {KITE: 2, 10: 3}
        assert summary.added[0].over_cap == 2

    def test_cap_counts_all_sources_but_not_the_real_set(self, real: Path, tmp_path: Path) -> None:
        runs = [make_run(tmp_path / name, SYNTHETIC, [[(BOXKITE, True)]] * 2) for name in ("a", "b")]
        summary = merge(real, runs, tmp_path / "out.json", max_per_category=3)
        assert [added.annotations for added in summary.added] == [2, 1]
        assert len(read(tmp_path / "out.json")["annotations"]) == 3 + 3


class TestTransfer:
    @pytest.mark.parametrize("how", ["copy", "link"])
    def test_loaders_find_the_images(self, real: Path, run: Path, tmp_path: Path, how: Any) -> None:
        calls: list[tuple[int, int]] = []
        out = tmp_path / "data" / "out.json"
        merge(real, [run], out, image_mode=how, on_image=lambda *done: calls.append(done))
        for number, image in zip((0, 2), read(out)["images"][2:], strict=True):
            folder, name = image["coco_url"].split("/")[-2:]  # detectron2
            assert f"{folder}/{name}" == image["file_name"]  # Detic
            assert (out.parent / image["file_name"]).read_bytes() == jpeg(number)
            assert (out.parent / image["file_name"]).is_symlink() == (how == "link")
        assert calls == [(1, 2), (2, 2)]
        merge(real, [run], out, image_mode=how)  # again

    def test_an_existing_image_is_not_overwritten(self, real: Path, run: Path, tmp_path: Path) -> None:
        (tmp_path / "synthetic-rare-000").mkdir()
        there = tmp_path / "synthetic-rare-000" / "000000000000.jpg"
        there.write_bytes(b"precious")
        with pytest.raises(MosaicFusionError, match="holds another image"):
            merge(real, [run], tmp_path / "out.json", image_mode="copy")
        assert there.read_bytes() == b"precious"
        assert not (tmp_path / "out.json").exists()

    def test_a_missing_image_is_refused(self, real: Path, run: Path, tmp_path: Path) -> None:
        (run / "images" / "000" / "000000000002.jpg").unlink()
        with pytest.raises(MosaicFusionError, match=r"image 3 does not exist: .*000000000002.jpg"):
            merge(real, [run], tmp_path / "out" / "out.json", image_mode="link")
        assert not (tmp_path / "out").exists()
        merge(real, [run], tmp_path / "out.json")  # without an image_mode, images may be anywhere


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is not whole JSON"),
            ('{"images": [', "is not whole JSON"),
            ("\xff\xfe", "is not whole JSON"),
            ("[" * 100_000, "is not"),
            ("[]", "is not an object"),
            ('{"images": [], "annotations": []}', "has no list of 'categories'"),
            ('{"images": [], "annotations": {}, "categories": []}', "has no list of 'annotations'"),
            ('{"images": [{"id": "x"}], "annotations": [], "categories": []}', "`images[0].id`"),
            ('{"images": [], "annotations": [{"id": 1}], "categories": []}', "missing required field `image_id`"),
            (
                '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
                "have the id 1",
            ),
        ],
    )
    def test_invalid_real_files_are_refused(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "real.json").write_text(text, encoding="latin-1")
        with pytest.raises(MosaicFusionError) as caught:
            merge(tmp_path / "real.json", [], tmp_path / "out.json")
        assert message in str(caught.value)
        assert not (tmp_path / "out.json").exists()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"images": [{"id": 1, "file_name": "../../x.jpg"}]}, "leaves its folder"),
            ({"images": [{"id": 1, "file_name": "/etc/passwd"}]}, "is absolute"),
            ({"images": [{"id": 1, "file_name": "a\\b.jpg"}]}, "is absolute or of another system"),
            ({"images": [{"id": 1, "file_name": "a\n.jpg"}]}, "cannot be printed"),
            ({"images": [{"id": 1}]}, "is empty"),
            (
                {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]},
                "2 images have the id 1",
            ),
            (
                {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.jpg"}]},
                "several images would get the name",
            ),
            (
                {"images": [{"id": 1, "file_name": "a.jpg", "neg_category_ids": [8]}]},
                "neg_category_ids of image 1 holds 8, which is not among the categories",
            ),
            ({"images": [{"id": 1, "file_name": "a.jpg", "neg_category_ids": "x"}]}, "Expected `array | null`"),
            ({"images": []}, "annotation 5 is of image 1 and category 2; there is no such image or category"),
            ({"categories": []}, "annotation 5 is of image 1 and category 2; there is no such image or category"),
            ({"categories": [{"id": 2, "name": "\u0000"}]}, "must be printable"),
        ],
    )
    def test_invalid_synthetic_jsons_are_refused(
        self, real: Path, tmp_path: Path, change: dict[str, Any], message: str
    ) -> None:
        source = write_json(tmp_path / "other.json", {**REAL_COCO, **change})
        with pytest.raises(MosaicFusionError) as caught:
            merge(real, [source], tmp_path / "data" / "out.json")
        assert message in str(caught.value)
        assert not (tmp_path / "data").exists()

    def test_invalid_inputs_and_choices_are_refused(self, real: Path, run: Path, tmp_path: Path) -> None:
        coco = write_json(tmp_path / "coco.json", REAL_COCO)
        ambiguous = make_run(tmp_path / "bows", [category(1, "bow")], [[(1, True)]])
        calls: list[tuple[dict[str, Any], str]] = [
            ({"real": real, "sources": [run], "out": real}, "is an input and would be overwritten"),
            ({"real": real, "sources": [run, tmp_path / "runs" / "." / "rare"]}, "is given more than once"),
            ({"real": real, "sources": [run], "out": run / "lvis.json"}, "is in the run folder"),
            ({"real": real, "sources": [tmp_path / "runs"]}, "holds no run"),
            ({"real": tmp_path / "none.json", "sources": []}, "cannot read"),
            ({"real": coco, "sources": [], "open_vocabulary": True}, "no category of frequency r"),
            ({"real": real, "sources": [run], "choices": {"bow": "kite"}}, "--match names bow, which no source has"),
            ({"real": real, "sources": [ambiguous]}, "'bow=bow_(weapon)'"),
        ]
        for arguments, message in calls:
            with pytest.raises(MosaicFusionError) as caught:
                merge(**{"out": tmp_path / "out.json", **arguments})
            assert message in str(caught.value)
        assert not (tmp_path / "out.json").exists()
        assert real.read_text(encoding="utf-8") == REAL_LVIS


Canvases = st.lists(st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=4), max_size=5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=st.lists(Canvases, max_size=2), open_vocabulary=st.booleans(), cap=st.none() | st.integers(0, 4))
def test_merged_sets_are_consistent(
    tmp_path_factory: pytest.TempPathFactory, runs: list[Any], open_vocabulary: bool, cap: int | None
) -> None:
    """For any runs: the real part stays, ids are unique and known, counts are right, no image lost a mask."""
    folder = tmp_path_factory.mktemp("merge")
    paths = [make_run(folder / f"run{k}", SYNTHETIC, canvases) for k, canvases in enumerate(runs)]
    out = folder / "out.json"
    merge(
        write_lvis(folder), paths, out, open_vocabulary=open_vocabulary, max_per_category=cap, policy="not_exhaustive"
    )
    data = read(out)
    real = [a for a in REAL["annotations"] if not (open_vocabulary and a["category_id"] == BOW)]
    assert data["annotations"][: len(real)] == real
    assert data["images"][:2] == REAL["images"]
    assert {key: data[key] for key in ("info", "extra", "licenses")} == {
        key: REAL[key] for key in ("info", "extra", "licenses")
    }
    for key in ("images", "annotations", "categories"):
        ids = [row["id"] for row in data[key]]
        assert len(set(ids)) == len(ids)
    assert len({image.get("file_name", image["coco_url"]) for image in data["images"]}) == len(data["images"])
    images, categories = ({row["id"] for row in data[key]} for key in ("images", "categories"))
    assert {a["image_id"] for a in data["annotations"]} <= images
    assert {a["category_id"] for a in data["annotations"]} <= categories
    for record in data["categories"]:
        own = [a["image_id"] for a in data["annotations"] if a["category_id"] == record["id"]]
        assert (record["instance_count"], record["image_count"]) == (len(own), len(set(own)))
    synthetic = Counter(a["category_id"] for a in data["annotations"][len(real) :])
    assert cap is None or max(synthetic.values(), default=0) <= cap
    masks = Counter(a["image_id"] for a in data["annotations"])
    canvases = {
        f"synthetic-run{k}-000/{i:012d}.jpg": regions for k, run in enumerate(runs) for i, regions in enumerate(run)
    }
    for image in data["images"][2:]:
        assert masks[image["id"]] == sum(kept for _, kept in canvases[image["file_name"]])


class TestRealImages:
    """Two real images of a json in Roboflow's layout, beside the json or in several folders."""

    @pytest.fixture
    def coco(self, tmp_path: Path) -> Path:
        images = [
            {"id": k, "file_name": name, "height": 32, "width": 48} for k, name in enumerate(("a.jpg", "b/c.jpg"))
        ]
        (tmp_path / "train/b").mkdir(parents=True)
        for k, image in enumerate(images):
            (tmp_path / "train" / str(image["file_name"])).write_bytes(jpeg(k))
        return write_json(tmp_path / "train/_annotations.coco.json", {**REAL_COCO, "images": images})

    @pytest.mark.parametrize("mode", ["copy", "link"])
    def test_images_beside_the_json_are_placed_too(self, coco: Path, run: Path, tmp_path: Path, mode: Any) -> None:
        summary = merge(coco, [run], tmp_path / "out/plus.json", image_mode=mode)
        assert (summary.placed, summary.notes) == (2, [])
        assert validate(tmp_path / "out/plus.json", tmp_path / "out").issues.number("error") == 0
        assert (tmp_path / "out/b/c.jpg").is_symlink() == (mode == "link")
        again = merge(coco, [run], tmp_path / "out/plus.json", image_mode=mode)
        assert again.placed == 0

    def test_the_folder_stands_for_its_json(self, coco: Path, run: Path, tmp_path: Path) -> None:
        assert merge(coco.parent, [run], tmp_path / "out/plus.json", image_mode="link").placed == 2

    def test_images_in_several_folders_are_placed(self, coco: Path, run: Path, tmp_path: Path) -> None:
        (tmp_path / "train/a.jpg").rename(tmp_path / "a.jpg")
        folders = [tmp_path / "train", str(tmp_path)]
        assert merge(coco, [run], tmp_path / "out/plus.json", image_mode="link", images=folders).placed == 2
        assert (tmp_path / "out/a.jpg").read_bytes() == jpeg(0)

    def test_all_are_placed_or_none(self, coco: Path, run: Path, tmp_path: Path) -> None:
        (tmp_path / "train/a.jpg").unlink()
        summary = merge(coco, [run], tmp_path / "out/plus.json", image_mode="copy")
        assert "1 of 2 real images are not under" in summary.unplaced
        assert "'a.jpg'; no real image was placed" in summary.unplaced
        assert not (tmp_path / "out/b").exists()
        with pytest.raises(MosaicFusionError, match=r"'a.jpg'; repeat --images for each folder"):
            merge(coco, [run], tmp_path / "new/plus.json", image_mode="copy", images=tmp_path / "train")
        assert not (tmp_path / "new").exists()

    def test_images_of_a_source_may_be_elsewhere(self, coco: Path, tmp_path: Path) -> None:
        (tmp_path / "more").mkdir()
        source = write_json(tmp_path / "more/set.json", read(coco))
        with pytest.raises(MosaicFusionError, match=r"image 0 does not exist: .*a.jpg; give its folder with --images"):
            merge(coco, [source], tmp_path / "out/plus.json", image_mode="copy")
        merge(coco, [source], tmp_path / "out/plus.json", image_mode="copy", images=[tmp_path / "train"])
        assert validate(tmp_path / "out/plus.json", tmp_path / "out").issues.number("error") == 0


class TestReport:
    def test_matches_are_listed_with_both_spellings(self, run: Path, tmp_path: Path) -> None:
        real = write_json(tmp_path / "real.json", {**REAL_COCO, "categories": [{"id": 2, "name": "Box_Kite"}]})
        (added,) = merge(real, [run], tmp_path / "out.json").added
        assert added.matches == {"box kite": "Box_Kite"}
        assert added.new_categories == ["longbow", "zebra"]

    def test_what_was_read_as_something_else_is_noted(self, run: Path, tmp_path: Path) -> None:
        data = json.loads(json.dumps(REAL_COCO))
        data["annotations"][0] |= {"segmentation": [], "bbox": [float("inf")] * 4}
        notes = merge(write_json(tmp_path / "real.json", data), [run], tmp_path / "out.json").notes
        assert notes[0].startswith("4 numbers are Infinity or NaN")
        assert notes[1].startswith("1 of 1 real annotations have a box and no mask")
        assert read(tmp_path / "out.json")["annotations"][0]["bbox"] == [None] * 4

    def test_a_set_of_crowds_alone_is_noted(self, run: Path, tmp_path: Path) -> None:
        data = json.loads(json.dumps(REAL_COCO))
        data["annotations"][0]["iscrowd"] = 1
        (note,) = merge(write_json(tmp_path / "real.json", data), [run], tmp_path / "out.json").notes
        assert note.startswith("all real annotations have iscrowd 1")

    def test_the_advice_for_categories_of_one_name_works(self, run: Path, tmp_path: Path) -> None:
        for names, choice in ((("box kite", "box kite"), "5"), (("Box Kite", "box kite"), "box kite")):
            categories = [{"id": 2, "name": names[0]}, {"id": 5, "name": names[1]}]
            real = write_json(tmp_path / "real.json", {**REAL_COCO, "categories": categories})
            with pytest.raises(MosaicFusionError, match=f"--match 'box kite={choice}'"):
                merge(real, [run], tmp_path / "out.json")
            merge(real, [run], tmp_path / "out.json", choices={"box kite": choice})
            assert read(tmp_path / "out.json")["annotations"][1]["category_id"] == 5


class TestRenumber:
    def test_ids_have_no_gaps_and_other_bytes_stay(self, real: Path, run: Path, tmp_path: Path) -> None:
        merge(real, [run], tmp_path / "plain.json")
        merge(real, [run], tmp_path / "out.json", renumber=True)
        plain, data = read(tmp_path / "plain.json"), read(tmp_path / "out.json")
        new = {KITE: 1, BOW: 2, RIBBON: 3, 10: 4}
        assert [c["id"] for c in data["categories"]] == [new[c["id"]] for c in plain["categories"]] == [1, 2, 3, 4]
        assert [a["category_id"] for a in data["annotations"]] == [new[a["category_id"]] for a in plain["annotations"]]
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            assert [i[key] for i in data["images"]] == [[new[id_] for id_ in i[key]] for i in plain["images"]]
        text = (tmp_path / "out.json").read_text()
        assert all(written in text for written in ("8.000000000000001", "3.00", r"a\u0301 \u00e9"))

    def test_unknown_ids_are_refused(self, real: Path, tmp_path: Path) -> None:
        real.write_text(REAL_LVIS.replace('"neg_category_ids": [9]', '"neg_category_ids": [99]'))
        with pytest.raises(MosaicFusionError, match="the category id 99 is used and no category has it"):
            merge(real, [], tmp_path / "out.json", renumber=True)
        assert not (tmp_path / "out.json").exists()


def test_a_compressed_json_is_read_and_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "real.json.gz").write_bytes(gzip.compress(REAL_LVIS.encode()))
    merge(str(tmp_path / "real.json.gz"), [str(run)], str(tmp_path / "out.json.gz"))
    data = json.loads(gzip.decompress((tmp_path / "out.json.gz").read_bytes()))
    assert data["images"][:2] == REAL["images"]
