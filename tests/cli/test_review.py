"""What follows a review: `report --exclude` and `retry --rejected`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from support.command_line import call

from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.reviews import Reviews

GENERATE = (
    *("--categories", "banana, teapot", "--grid", "1x2", "--steps", "2", "-n", "2"),
    *("--set", "masks.min_area=0", "--set", "masks.max_area=1", "--set", "layout.group_size=2"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("review") / "run"
    assert call("generate", *GENERATE, "--out", path).exit_code == 0
    return path


def images(path: Path) -> set[int]:
    return {image["id"] - 1 for image in json.loads((path / "lvis.json").read_text())["images"]}


def test_excluded_canvases_are_left_out_and_replaced_once(finished: Path, tmp_path: Path) -> None:
    listed = tmp_path / "blurred.txt"
    listed.write_text("\ufeff1  # blurred\n\n2:0\n")
    before = images(finished)
    result = call("report", finished, "--exclude", listed)
    assert result.exit_code == 0, result.output
    assert images(finished) == before - {1}
    assert 1 in before
    said = Reviews.read(finished).on(2, 0)
    assert said is not None and (said.who, said.why) == ("blurred", "excluded")

    again = call("retry", finished, "--rejected")
    assert again.exit_code == 0, again.output
    records = list(RunFolder.open(finished).records())
    assert len(records) == 5
    run = RunFolder.open(finished)
    assert run.manifest.counts == (2, 3), "canvas 1 was led by the second category"
    assert images(finished) - {4} == before - {1}
    assert "nothing to retry: no canvas of" in call("retry", finished, "--rejected").stdout
    assert len(list(run.records())) == 5


@pytest.mark.parametrize("line", ["kite", "1:x", "99", "-1", "1;2"])
def test_other_lines_are_refused(finished: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(f"0\n{line}\n")
    said = Counter(Reviews.read(finished).counts())
    result = call("report", finished, "--exclude", tmp_path / "list.txt")
    assert result.exit_code == 2
    assert "line 2 of" in result.stderr
    assert Counter(Reviews.read(finished).counts()) == said
