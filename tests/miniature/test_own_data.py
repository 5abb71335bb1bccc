"""The set of the tutorial is the one that the script writes, small, and without a fault."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.folders import read_files

from miniature import own_data
from mosaicfusion.dataset.validate import validate

OWN = Path(__file__).parents[2] / "datasets/own"


def test_the_script_writes_the_shipped_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["own_data", "--out", str(tmp_path / "own")])
    own_data.main()
    shipped = read_files(OWN)
    readme = shipped.pop("README.md").decode()
    assert read_files(tmp_path / "own") == shipped
    assert sum(map(len, shipped.values())) < 1_000_000
    for split in ("train", "val"):
        data = json.loads(shipped[f"{split}.json"])
        counts = Counter(row["category_id"] for row in data["annotations"])
        numbers = [int(number) for number in re.findall(r"\d+", readme.split(f"`{split}.json` |")[1].split("\n")[0])]
        assert numbers == [counts[category["id"]] for category in data["categories"]]


@pytest.mark.parametrize("split", ["train", "val"])
def test_it_is_valid(split: str) -> None:
    assert validate(OWN / f"{split}.json", OWN / "photos").issues.lines() == []
