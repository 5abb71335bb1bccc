"""merge, validate and stats as a user calls them: what is printed, exit codes, and the files that remain."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.command_line import call
from support.lvis_sets import REAL_LVIS, category, jpeg, make_run, read, write_json, write_lvis


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return write_lvis(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    categories = [category(1, "kite"), category(2, "[red]zebra[/red]"), category(3, "bow")]
    return make_run(tmp_path / "run", categories, [[(1, True), (2, True)], [(1, True), (3, False)]])


class TestMerge:
    def test_prints_a_table_and_where_images_must_be(self, real: Path, run: Path, tmp_path: Path) -> None:
        result = call("merge", real, run, "-o", tmp_path / "out.json")
        assert result.exit_code == 0, result.output
        assert "the real set" in result.stdout
        assert "new categories, for which the classifier needs outputs: [red]zebra[/red]" in result.stdout
        assert "--masks polygon" in result.stdout
        assert "they must be put there, as --link-images does, with --images FOLDER the real ones too:" in result.stdout
        assert f"synthetic-run-000/  now in {run / 'images' / '000'}" in result.stdout
        assert f"merged: {tmp_path / 'out.json'}" in result.stdout
        assert len(read(tmp_path / "out.json")["images"]) == 3
        (tmp_path / "empty").mkdir()
        checked = call("validate", tmp_path / "out.json", "--images", tmp_path / "empty")
        (synthetic,) = (line for line in checked.stdout.splitlines() if "no file" in line and "synthetic" in line)
        assert synthetic.endswith("put it there, as `merge` does with --link-images and --images FOLDER")
        assert checked.stdout.count("--link-images") == 1, "real images are the user's to place"

    def test_a_new_category_with_a_similar_real_one_is_noted(self, real: Path, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", [category(1, "kites")], [[(1, True)]])
        result = call("merge", real, run, "-o", tmp_path / "out.json")
        assert "note: 'kites' is new; if it is the real 'kite', add --match kites=kite" in result.stderr
        chosen = call("merge", real, run, "-o", tmp_path / "out.json", "--match", "kites=")
        assert "is new; if" not in chosen.stderr

    def test_real_images_that_are_not_placed_are_a_warning(self, real: Path, run: Path, tmp_path: Path) -> None:
        result = call("--quiet", "merge", real, run, "-o", tmp_path / "out/out.json", "--link-images")
        assert result.exit_code == 0, result.output
        assert result.stderr.startswith("warning: 2 of 2 real images are not under")
        assert "no real image was placed, give their folders with --images" in result.stderr

    def test_merge_takes_all_flags(self, real: Path, run: Path, tmp_path: Path) -> None:
        flags = ("--open-vocabulary", "--max-per-category", "1", "--link-images", "--policy", "not_exhaustive")
        out = tmp_path / "data" / "out.json"
        result = call("merge", real, run, "-o", out, *flags, "--masks", "polygon", "--match", "bow=bow_(weapon)")
        assert result.exit_code == 0, result.output
        assert "1 annotation" in result.stdout
        assert "1 image" in result.stdout
        assert "--masks polygon" not in result.stdout
        assert f"they are in {out.parent}" in result.stdout
        (synthetic,) = read(out)["images"][2:]
        assert (out.parent / synthetic["file_name"]).is_symlink()

    def test_real_images_are_placed_and_matches_listed(self, tmp_path: Path) -> None:
        """A folder as Roboflow exports it: images beside the json, and a root category."""
        names = [(0, "balls-x7", "none"), (1, "sports ball", "balls-x7"), (2, "gnu\x1b[31m", "balls-x7")]
        categories = [{"id": id_, "name": name, "supercategory": parent} for id_, name, parent in names]
        image = {"id": 1, "file_name": "a.jpg", "height": 32, "width": 48}
        square = {"bbox": [4, 4, 8, 8], "area": 64, "iscrowd": 0, "segmentation": [[4, 4, 12, 4, 12, 12, 4, 12]]}
        objects = [{"id": k, "image_id": 1, "category_id": k, **square} for k in (1, 2)]
        (tmp_path / "train").mkdir()
        (tmp_path / "train/a.jpg").write_bytes(jpeg())
        data = {"images": [image], "annotations": objects, "categories": categories}
        write_json(tmp_path / "train/_annotations.coco.json", data)
        run = make_run(
            tmp_path / "run", [category(1, "sports_ball"), category(2, "GNU\x1b[31m")], [[(1, True), (2, True)]]
        )
        result = call("merge", tmp_path / "train", run, "-o", tmp_path / "out/plus.json", "--copy-images", "--renumber")
        assert result.exit_code == 0, result.output
        assert "matched categories: GNU?[31m = gnu?[31m, sports_ball = sports ball" in result.stdout
        assert "note: the category 'balls-x7' is only the parent of the others" in result.stderr
        assert f"1 real image is in {tmp_path / 'out'} too" in result.stdout
        assert [c["id"] for c in read(tmp_path / "out/plus.json")["categories"]] == [1, 2]
        checked = call("validate", tmp_path / "out/plus.json", "--images", tmp_path / "out")
        assert "1 error and 0 warnings" in checked.stdout, "the name is merged as it was, and train would refuse it"

    def test_merging_nothing_copies_the_real_set(self, real: Path, tmp_path: Path) -> None:
        assert call("merge", real, "-o", tmp_path / "out.json").exit_code == 0
        assert read(tmp_path / "out.json") == json.loads(REAL_LVIS)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--copy-images", "--link-images"], "give --copy-images or --link-images, not both"),
            (["--match", "bow"], "--match 'bow' is not SYNTHETIC=REAL"),
            (["--match", "=kite"], "is not SYNTHETIC=REAL"),
            (["--match", "kite=gnu"], "no category is called 'gnu'"),
            (["--match", "kite=kites"], "no category is called 'kites'; give its full name; nearest: kite"),
            (["--policy", "not_exhaustive"], "'bow=bow_(weapon)' or --match 'bow=bow_(decorative_ribbons)'"),
            (["no_such_run"], "cannot read no_such_run"),
            (["--max-per-category", "-1"], "Invalid value"),
            (["--images", "."], "--images is for images to be placed; add --link-images or --copy-images"),
            (["--link-images", "--images", "nowhere"], "there is no folder nowhere; give --images"),
        ],
    )
    def test_invalid_arguments_are_refused(
        self, real: Path, run: Path, tmp_path: Path, arguments: list[str], message: str
    ) -> None:
        result = call("merge", real, run, "-o", tmp_path / "out" / "out.json", *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert not (tmp_path / "out").exists()


class TestValidate:
    def test_a_run_folder_is_checked_with_its_images(self, run: Path) -> None:
        result = call("validate", run)
        assert f"0 errors and 1 warning in 1 image, 2 annotations, 3 categories of {run}" in result.stdout
        for image in run.glob("images/*/*"):
            image.unlink()
        assert "no file" in call("validate", run).stdout

    def test_exit_status_depends_on_the_errors(self, real: Path, tmp_path: Path) -> None:
        result = call("validate", real)
        assert result.exit_code == 0  # warnings only
        assert "warning [category-ids]" in result.stdout
        assert "0 errors and 1 warning in 2 images, 3 annotations, 3 categories" in result.stdout
        result = call("validate", real, "--images", tmp_path)
        assert (result.exit_code, "2 errors" in result.stdout) == (1, True)
        (tmp_path / "cut.json").write_text(REAL_LVIS[:500], encoding="utf-8")
        result = call("validate", tmp_path / "cut.json")
        assert (result.exit_code, "is not whole JSON" in result.stderr) == (2, True)

    def test_fix_repairs_the_file_or_a_copy(self, real: Path, tmp_path: Path) -> None:
        broken = write_json(tmp_path / "broken.json", json.loads(REAL_LVIS.replace('"area": 64.0', '"area": 1')))
        assert call("validate", broken).exit_code == 1
        result = call("validate", broken, "--fix", "-o", tmp_path / "fixed.json")
        assert (result.exit_code, f"fixed in {tmp_path / 'fixed.json'}: area 1" in result.stdout) == (0, True)
        assert call("validate", broken).exit_code == 1
        assert call("validate", broken, "--fix").exit_code == 0
        assert "nothing" in call("validate", broken, "--fix").stdout

    def test_invalid_arguments_are_refused(self, real: Path, tmp_path: Path) -> None:
        result = call("validate", real, "-o", tmp_path / "out.json")
        assert (result.exit_code, "-o is for what --fix writes" in result.stderr) == (2, True)


class TestStats:
    def test_stats_prints_a_table_and_json(self, real: Path, run: Path, tmp_path: Path) -> None:
        call("merge", real, run, "-o", tmp_path / "out.json")
        output = call("stats", tmp_path / "out.json").stdout
        for word in (
            "synthetic",
            "masks per image",
            "frequency",
            "categories without an image: bow_(decorative_ribbons)",
        ):
            assert word in output
        counted = json.loads(call("stats", tmp_path / "out.json", "--json").stdout)
        assert counted["parts"]["synthetic"]["annotations"] == 2
        assert counted["frequencies"]["r"]["instances"] == 2

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        assert call("stats", tmp_path / "none.json").exit_code == 2


@pytest.mark.parametrize("command", ["merge", "validate", "stats"])
def test_help_has_examples(command: str) -> None:
    output = call(command, "--help").stdout
    assert "Example" in output
    assert f"mosaicfusion {command}" in output


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (REAL_LVIS.encode("latin-1", "replace").replace(b"kite", b"\xe9", 1), "is not UTF-8 (byte 0xe9 near position"),
        (gzip.compress(REAL_LVIS.encode())[:99], "is compressed with gzip and cannot be unpacked"),
        (REAL_LVIS.encode()[:99], "is not whole JSON"),
        (b"<html>", "is HTML or XML, not JSON"),
        (b"[]", "is not an object with images, annotations, categories"),
    ],
    ids=["latin-1", "half gzip", "half", "html", "list"],
)
def test_files_that_cannot_be_read_give_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "set.json"
    path.write_bytes(data)
    out = tmp_path / "out"
    for arguments in (
        ["merge", path, "-o", out / "a.json"],
        ["validate", path, "--fix", "-o", out / "b.json"],
        ["stats", path],
        ["export", path, "--to", "coco", "--images", tmp_path, "-o", out / "c"],
    ):
        result = call(*arguments)
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].startswith(f"error: {path} {message}")
        assert not out.exists()
    assert path.read_bytes() == data
