from pathlib import Path

import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.semantics import (
    BACKGROUND,
    SEMANTICS,
    BackgroundSemantics,
    Finding,
    RegionSemantics,
    read_background,
    read_semantics,
    write_semantics,
)


def test_semantics_round_trip(tmp_path: Path) -> None:
    lines = [
        RegionSemantics(0, 0, "<b>", "mini", 0.3, 0.9, 1, "<b>"),
        RegionSemantics(0, 1, "é\u2028", "mini", 0.2, 0.1, 4, "<b>"),
    ]
    assert read_semantics(tmp_path) is None
    write_semantics(tmp_path, lines)
    assert (tmp_path / SEMANTICS).read_bytes().count(b"\n") == 2
    assert read_semantics(tmp_path) == {(0, 0): lines[0], (0, 1): lines[1]}


def test_what_was_found_on_backgrounds_comes_back(tmp_path: Path) -> None:
    lines = [
        BackgroundSemantics(0, "mini", 7, (Finding(3, "é\u2028", 0.9, (1, 2, 3, 4)),)),
        BackgroundSemantics(1, "mini", 0),
    ]
    assert read_background(tmp_path) is None
    write_semantics(tmp_path, [], lines)
    assert read_background(tmp_path) == dict(enumerate(lines))
    (tmp_path / BACKGROUND).write_text("{")
    with pytest.raises(MosaicFusionError, match=r"background.jsonl is damaged .*run `mosaicfusion semantics` again"):
        read_background(tmp_path)


@pytest.mark.parametrize("damaged", ["{", "{}\n", "[]\n", '{"canvas": 1}\n', "\x00\xff"])
def test_a_damaged_file_is_refused(tmp_path: Path, damaged: str) -> None:
    (tmp_path / SEMANTICS).write_bytes(damaged.encode("latin-1"))
    with pytest.raises(MosaicFusionError, match=r"is damaged .*run `mosaicfusion semantics` again"):
        read_semantics(tmp_path)
