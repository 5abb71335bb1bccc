from pathlib import Path

import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.semantics import SEMANTICS, RegionSemantics, read_semantics, write_semantics


def test_semantics_round_trip(tmp_path: Path) -> None:
    lines = [
        RegionSemantics(0, 0, "<b>", "mini", 0.3, 0.9, 1, "<b>"),
        RegionSemantics(0, 1, "é\u2028", "mini", 0.2, 0.1, 4, "<b>"),
    ]
    assert read_semantics(tmp_path) is None
    path = write_semantics(tmp_path, lines)
    assert path.read_bytes().count(b"\n") == 2
    assert read_semantics(tmp_path) == {(0, 0): lines[0], (0, 1): lines[1]}


@pytest.mark.parametrize("damaged", ["{", "{}\n", "[]\n", '{"canvas": 1}\n', "\x00\xff"])
def test_a_damaged_file_is_refused(tmp_path: Path, damaged: str) -> None:
    (tmp_path / SEMANTICS).write_bytes(damaged.encode("latin-1"))
    with pytest.raises(MosaicFusionError, match=r"is damaged .*run `mosaicfusion semantics` again"):
        read_semantics(tmp_path)
