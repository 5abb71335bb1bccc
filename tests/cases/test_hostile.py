"""Inputs that were damaged or made to do harm, in every command that reads them: status, words, files, no control characters.

``pytest -s tests/cases/test_hostile.py`` prints the table.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cases.table import Table
from cases.test_cases import DATA, TINY
from support.command_line import call

from mosaicfusion.errors import is_printable

HOSTILE = DATA / "hostile"
SHORT = {
    "validate": "validate {} --images img",
    "fix": "validate {} --images img --fix -o fixed.json",
    "stats": "stats {}",
    "yolo": "export {} --images img --to yolo -o out",
    "coco": "export {} --images img --to coco -o out",
    "merge": "merge {} run -o merged/all.json",
    "train": f"train --train {{}} --images img {TINY} -o exp",
    "generate": "generate --vocabulary {} --dry-run --out new",
    "config": "generate -c banana --config {} --dry-run --out new",
    "recipe": "train --train ok.json --images img -r {} -o exp",
    "again": f"train --train ok.json --images img {TINY} -o {{}}",
    "settings": "settings --recipe {}",
    "status": "status {}",
    "report": "report {}",
    "retry": "retry {}",
    "add": "merge ok.json {} -o merged/all.json",
    "polygon": "merge ok.json {} -o merged/all.json --masks polygon",
    "hf": "export {} --to hf -o out",
    "judge": "judge {}",
    "write": "export {} --to coco -o out",
    "refine": "refine {} -o refined",
    "semantics": "semantics {}",
    "diversity": "diversity {}",
}
CASES = """
1e400.json               | validate  | 1 | error [mask] annotations[0] (id 1)
1e400.json               | fix       | 1 | error [mask] annotations[0] (id 1)
1e400.json               | stats     | 0 | Infinity or NaN, or too large for a float
1e400.json               | yolo      | 2 | annotation 1: the segmentation holds a polygon that is not a list of numbers
1e400.json               | train     | 2 | annotation 1: the segmentation holds a polygon that is not a list of numbers
1e400.json               | merge     | 0 | Infinity or NaN, or too large for a float
latin1_annotation.json   | validate  | 2 | byte 0xe9 near position 286), perhaps Latin-1; convert it: iconv
latin1_annotation.json   | fix       | 2 | perhaps Latin-1; convert it: iconv
latin1_annotation.json   | stats     | 2 | perhaps Latin-1; convert it: iconv
latin1_annotation.json   | coco      | 2 | perhaps Latin-1; convert it: iconv
latin1_annotation.json   | merge     | 2 | perhaps Latin-1; convert it: iconv
latin1_annotation.json   | train     | 2 | perhaps Latin-1; convert it: iconv
latin1_annotation.json   | generate  | 2 | perhaps Latin-1; convert it: iconv
classes_digits.json      | validate  | 2 | is not an object with images, annotations, categories
classes_digits.json      | generate  | 2 | lacks an integer id or a name
classes_digits.json      | config    | 2 | value has 5000 digits
config_deep.json         | validate  | 2 | nested too deeply
config_deep.json         | merge     | 2 | nested too deeply
config_deep.json         | generate  | 2 | nested too deeply
config_deep.json         | config    | 2 | nested too deeply
recipe_aliases.yaml      | config    | 2 | aliases such as *a are not supported
recipe_aliases.yaml      | recipe    | 2 | aliases such as *a are not supported
recipe_aliases.yaml      | settings  | 2 | aliases such as *a are not supported
recipe_date.yaml         | config    | 2 | there is no setting detector
recipe_date.yaml         | recipe    | 2 | seed: '2001-02-30' is not a whole number
recipe_date.yaml         | settings  | 2 | seed: '2001-02-30' is not a whole number
escape_in_names.json     | validate  | 1 | name "red\\u001b[2J" holds characters that cannot be printed
escape_in_names.json     | stats     | 0 | ?[2J
escape_in_names.json     | coco      | 0 | data set: out
escape_in_names.json     | train     | 2 | must be printable
escape_in_names.json     | merge     | 0 | merged: merged/all.json
escape_in_names.json     | generate  | 2 | must be printable
escape_in_files.json     | validate  | 1 | holds characters that cannot be printed
escape_in_files.json     | coco      | 2 | holds characters that cannot be printed
escape_in_files.json     | train     | 2 | holds characters that cannot be printed
id_of_63_bits.json       | train     | 2 | 9223372036854775807
train_begun              | again     | 0 | detector: train_begun
run_category_newer_field | status    | 0 | not yet written
run_category_newer_field | report    | 0 | 2 instances in
run_category_newer_field | add       | 0 | merged: merged/all.json
run_category_newer_field | write     | 0 | data set: out
run_category_newer_field | judge     | 0 | report:
run_category_newer_field | refine    | 0 | instances in refined/lvis.json
run_category_newer_field | retry     | 0 | 2 instances in
run_reason_markup        | status    | 0 | not yet written
run_reason_markup        | report    | 0 | regions rejected: 1 [/red]
run_reason_markup        | stats     | 0 | categories without an image: teapot
run_reason_markup        | judge     | 0 | report:
run_reason_markup        | semantics | 0 | 2 regions
run_reason_escape        | report    | 0 | regions rejected: 1 ?[2J
run_reason_escape        | status    | 0 | not yet written
run_name_escape          | report    | 0 | 2 instances in
run_name_escape          | stats     | 0 | red?[2J
run_file_escape          | report    | 2 | holds characters that cannot be printed
run_file_escape          | write     | 2 | holds characters that cannot be printed
run_file_outside         | report    | 2 | leads out of the run folder
run_file_outside         | hf        | 2 | leads out of the run folder
run_file_outside         | refine    | 2 | leads out of the run folder
run_canvases_null        | report    | 2 | canvases_per_category
run_threshold_text       | report    | 2 | min_quality
run_threshold_text       | add       | 2 | min_quality
run_policy_unknown       | report    | 2 | policy
run_policy_unknown       | status    | 2 | policy
run_synonyms_missing     | report    | 0 | 2 instances in
run_synset_list          | report    | 2 | synset
run_nested_deeply        | report    | 2 | nested too deeply
run_nested_deeply        | stats     | 2 | nested too deeply
run_size_null            | report    | 2 | hw_px
run_size_null            | write     | 2 | hw_px
run_kept_without_mask    | report    | 2 | region 0 of canvas 0 is kept, but its mask or box does not fit
run_kept_without_mask    | judge     | 2 | region 0 of canvas 0 is kept, but its mask or box does not fit
run_counts_damaged       | report    | 2 | the mask of region 0 of canvas 0: counts cover 42 pixels of 64 x 128
run_counts_damaged       | polygon   | 2 | the mask of region 0 of canvas 0: counts cover 42 pixels of 64 x 128
run_counts_damaged       | judge     | 2 | the mask of region 0 of canvas 0: counts cover 42 pixels of 64 x 128
"""
DAMAGED = {
    "run_region_width0": "region 0 of canvas 0, (0, 0, 0, 64), is not on the canvas",
    "run_rle_bomb": "region 0 of canvas 0 is kept, but its mask or box does not fit the canvas",
    "run_unknown_category": "canvas 0 shows category 999, which is not one of the run",
}
READERS = ("report", "retry", "stats", "add", "polygon", "write", "hf", "judge", "refine", "semantics", "diversity")
ROWS = [
    *(tuple(part.strip() for part in line.split(" | ")) for line in CASES.strip().splitlines()),
    *((name, command, "2", words) for name, words in DAMAGED.items() for command in READERS),
]


def _change(run: Path, name: str, change: Callable[[Any], Any], folder: Path) -> None:
    """Copy a run with the json of its manifest, or of its only part, changed."""
    copied = shutil.copytree(run, folder)
    file = copied / name
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value) + "\n")


def _write_brothers(folder: Path) -> None:
    """Write inputs that are one change away from sound ones."""
    sound = json.loads((folder / "ok.json").read_text())
    for name, part, key, value in (
        ("escape_in_names", "categories", "name", "red\x1b[2J"),
        ("escape_in_files", "images", "file_name", "a\x1b[2J.jpg"),
        ("id_of_63_bits", "categories", "id", 2**63),
    ):
        rows = [{**row, key: value} if k == 0 else row for k, row in enumerate(sound[part])]
        (folder / f"{name}.json").write_text(json.dumps({**sound, part: rows}))
    run, part = folder / "run_category_newer_field", "parts/part-00000000.jsonl"
    manifests: dict[str, Callable[[Any], Any]] = {
        "run_name_escape": lambda data: data["categories"]["partners"][1].update(name="red\x1b[2J"),
        "run_canvases_null": lambda data: data.update(canvases_per_category=None),
        "run_threshold_text": lambda data: data["output"].update(min_quality="high"),
        "run_policy_unknown": lambda data: data["output"].update(policy="keep"),
        "run_synonyms_missing": lambda data: data["categories"]["main"][0].pop("synonyms"),
        "run_synset_list": lambda data: data["categories"]["main"][0].update(synset=["banana.n.02"]),
    }
    records: dict[str, Callable[[Any], Any]] = {
        "run_reason_escape": lambda data: data["regions"][0].update(reason="\x1b[2J", segmentation=None, area=0),
        "run_file_escape": lambda data: data.update(file_name="images/\x1b[2J.jpg"),
        "run_file_outside": lambda data: data.update(file_name="../img/a.jpg"),
        "run_size_null": lambda data: data.update(hw_px=None),
        "run_kept_without_mask": lambda data: data["regions"][0].update(segmentation=None),
        "run_counts_damaged": lambda data: data["regions"][0]["segmentation"].update(counts="~~~"),
    }
    for changes, file in ((manifests, "run.json"), (records, part)):
        for name, change in changes.items():
            _change(run, file, change, folder / name)
    nested = shutil.copytree(run, folder / "run_nested_deeply") / "run.json"
    nested.write_bytes((folder / "config_deep.json").read_bytes())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "inputs"
    shutil.copytree(DATA, folder, ignore=shutil.ignore_patterns("hostile"))
    shutil.copytree(HOSTILE, folder, dirs_exist_ok=True)
    _write_brothers(folder)
    shutil.copytree(folder / "run_category_newer_field", folder / "run")
    return folder


def _copy(inputs: Path, here: Path, *names: str) -> None:
    """Copy the sound inputs, and those of ``names``."""
    here.mkdir()
    for name in ("img", "ok.json", "run", *names):
        source = inputs / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, here / name)


def _files(folder: Path) -> dict[Path, bytes]:
    """Every file but the locks, which hold nothing."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize(("name", "command", "status", "words"), ROWS, ids=[" ".join(row[:2]) for row in ROWS])
def test_outcome(
    name: str, command: str, status: str, words: str, inputs: Path, tmp_path: Path, table: Table, monkeypatch: Any
) -> None:
    here = tmp_path / "here"
    _copy(inputs, here, name)
    monkeypatch.chdir(here)
    before = _files(tmp_path)
    result = call(*SHORT[command].format(name).split(), columns=400)
    table.add(name, command, result, words)
    assert (result.exit_code, words in " ".join(result.output.split())) == (int(status), True), result.output
    assert all(is_printable(line) for line in result.output.splitlines())
    after = _files(tmp_path)
    changed = {path.relative_to(here) for path in after if after[path] != before.get(path)}
    assert before.keys() <= after.keys()
    assert {path.parts[0] for path in changed} <= {name, "fixed.json", "out", "merged", "exp", "refined"}
    assert not [path for path in changed if path.suffix == ".tmp"]
    if result.exit_code == 2:
        assert changed == set()
        assert result.stderr.count("error: ") == 1
        assert len(result.stderr) < 500, "one short message"


def test_numbers_too_large_are_null_in_what_is_merged(inputs: Path, tmp_path: Path, monkeypatch: Any) -> None:
    here = tmp_path / "here"
    _copy(inputs, here, "1e400.json")
    monkeypatch.chdir(here)
    assert call(*SHORT["merge"].format("1e400.json").split()).exit_code == 0
    assert "1e400" not in (here / "merged/all.json").read_text()
    assert json.loads((here / "merged/all.json").read_text())["annotations"][0]["segmentation"][0][0] is None


def test_a_report_that_is_refused_leaves_the_old_one(inputs: Path, tmp_path: Path, monkeypatch: Any) -> None:
    here = tmp_path / "here"
    _copy(inputs, here, "run_region_width0")
    monkeypatch.chdir(here)
    assert call("report", "run").exit_code == 0
    old = {name: (here / "run" / name).read_bytes() for name in ("lvis.json", "report.html")}
    shutil.copy(here / "run_region_width0/parts/part-00000000.jsonl", here / "run/parts")
    assert call("report", "run").exit_code == 2
    assert {name: (here / "run" / name).read_bytes() for name in old} == old
