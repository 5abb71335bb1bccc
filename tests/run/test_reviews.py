"""Verdicts of people on the canvases of a run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.reviews import REVIEWS, Reviews, Verdict, append, now


def verdict(canvas: int, region: int | None, word: str, who: str = "anna", category_id: int | None = None) -> Verdict:
    return Verdict(canvas, region, word, who, now(), category_id=category_id)  # type: ignore[arg-type]


def test_the_last_word_counts(tmp_path: Path) -> None:
    assert not Reviews.read(tmp_path)
    append(tmp_path, [verdict(3, 0, "accept"), verdict(3, 0, "reject"), verdict(4, None, "reject")])
    reviews = Reviews.read(tmp_path)
    on_region, on_canvas = reviews.on(3, 0), reviews.on(4, None)
    assert on_region is not None and on_region.verdict == "reject"
    assert on_canvas is not None and on_canvas.who == "anna"
    assert reviews.on(3, 1) is None
    assert reviews.counts() == {"reject": 2}


def test_none_takes_a_verdict_back(tmp_path: Path) -> None:
    append(tmp_path, [verdict(3, 0, "reject", "ben"), verdict(3, 0, "accept"), verdict(3, 0, "none")])
    reviews = Reviews.read(tmp_path)
    left = reviews.on(3, 0)
    assert left is not None and (left.who, left.verdict) == ("ben", "reject")
    append(tmp_path, [verdict(3, 0, "none", "ben")])
    assert not Reviews.read(tmp_path)


def test_people_who_disagree_are_shown(tmp_path: Path) -> None:
    append(tmp_path, [verdict(0, 0, "reject"), verdict(0, 0, "relabel", "ben", 7), verdict(0, 1, "accept")])
    append(tmp_path, [verdict(0, 1, "accept", "ben"), verdict(0, 0, "relabel", "eve", 7)])
    conflicts = Reviews.read(tmp_path).conflicts()
    assert {place: [one.who for one in said] for place, said in conflicts.items()} == {(0, 0): ["anna", "ben", "eve"]}


def test_a_torn_line_does_not_count_and_others_go_on(tmp_path: Path) -> None:
    append(tmp_path, [verdict(0, 0, "reject"), verdict(1, 0, "reject")])
    path = tmp_path / REVIEWS
    path.write_bytes(path.read_bytes()[:-20])
    assert Reviews.read(tmp_path).counts() == {"reject": 1}
    append(tmp_path, [verdict(2, 0, "accept")])
    assert Reviews.read(tmp_path).counts() == {"reject": 1, "accept": 1}


@pytest.mark.parametrize("line", [b"no json", b'{"canvas":1,"region":0,"verdict":"perhaps"}', b"[]", b"\xff"])
def test_other_damage_is_named(tmp_path: Path, line: bytes) -> None:
    append(tmp_path, [verdict(0, 0, "reject")])
    with (tmp_path / REVIEWS).open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(MosaicFusionError, match=r"line 2 of .*reviews\.jsonl is damaged"):
        Reviews.read(tmp_path)


def test_several_writers_lose_nothing(tmp_path: Path) -> None:
    def write(who: str) -> None:
        for canvas in range(50):
            append(tmp_path, [verdict(canvas, 0, "reject", who), verdict(canvas, 1, "accept", who)])

    threads = [threading.Thread(target=write, args=(name,)) for name in ("anna", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len((tmp_path / REVIEWS).read_bytes().splitlines()) == 200
    assert Reviews.read(tmp_path).counts() == {"reject": 50, "accept": 50}
