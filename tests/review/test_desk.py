"""What a reviewer sees and says, without the web."""

from __future__ import annotations

from typing import Any

import pytest
from support.hand_made_runs import disc, region

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.review.desk import Desk
from mosaicfusion.review.objects import Query
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord
from mosaicfusion.run.reviews import Reviews


def places(found: dict[str, Any]) -> list[tuple[int, int]]:
    return [(row["canvas"], row["region"]) for row in found["rows"]]


def test_objects_come_in_the_order_that_was_asked_for(desk: Desk) -> None:
    assert desk.find(Query())["total"] == 9
    lowest = desk.find(Query(sort="quality"), limit=3)
    assert places(lowest) == [(0, 1), (1, 1), (2, 1)]
    assert lowest["rows"][0]["quality"] == 0.5
    assert places(desk.find(Query(sort="quality", descending=True), offset=1, limit=2)) == [(3, 0), (2, 0)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(sort="quality", least=0.925), [(3, 0), (4, 0)]),
        (Query(sort="quality", most=0.505), [(0, 1)]),
        (Query(show="rejected"), [(4, 1)]),
        (Query(show="too_small"), [(4, 1)]),
        (Query(show="too_large"), []),
        (Query(category="no such name"), []),
        (Query(verdict="reject"), []),
    ],
)
def test_filters(desk: Desk, query: Query, expected: list[tuple[int, int]]) -> None:
    assert places(desk.find(query)) == expected


def test_verdicts_are_on_disk_at_once(desk: Desk, run: RunFolder) -> None:
    assert desk.decide([(0, 0), (1, None)], "reject", why="blurred") == 2
    said = Reviews.read(run.path).on(0, 0)
    assert said is not None and (said.who, said.why) == ("anna", "blurred")
    assert places(desk.find(Query(verdict="reject"))) == [(0, 0), (1, 0), (1, 1)]
    assert desk.state()["verdicts"] == {"none": 7, "reject": 3}
    assert desk.about(0)["objects"][0]["said"][0]["verdict"] == "reject"


def test_undo_goes_back_decision_by_decision(desk: Desk) -> None:
    desk.decide([(0, 0)], "accept")
    desk.decide([(0, 0), (0, 1)], "reject")
    assert desk.undo() == 2
    assert [row["verdict"] for row in desk.find(Query(), limit=2)["rows"]] == ["accept", "none"]
    assert desk.undo() == 1
    assert desk.undo() == 0
    assert not desk.reviews


def test_a_verdict_on_all_that_is_shown_is_one_decision(desk: Desk) -> None:
    assert desk.decide_all(Query(sort="quality", most=0.6), "reject") == 4
    assert desk.find(Query(verdict="reject"))["total"] == 4
    assert desk.undo() == 4
    assert desk.find(Query(verdict="reject"))["total"] == 0


def test_relabelling_takes_a_category_of_the_run(desk: Desk) -> None:
    other = desk.objects.names[1]
    desk.decide([(0, 0)], "relabel", other)
    assert desk.find(Query(), limit=1)["rows"][0]["relabelled"] == other
    with pytest.raises(MosaicFusionError, match="'zebra' is no category of this run"):
        desk.decide([(0, 0)], "relabel", "zebra")


@pytest.mark.parametrize(
    ("place", "word"), [((9, 0), "reject"), ((0, 7), "reject"), ((0, -1), "reject"), ((0, 0), "perhaps")]
)
def test_what_does_not_exist_is_refused(desk: Desk, place: tuple[int, int], word: str) -> None:
    with pytest.raises(MosaicFusionError, match=r"there is no object|is no verdict"):
        desk.decide([place], word)
    assert not desk.reviews


def test_two_reviewers_see_each_other_and_disagree(desk: Desk, run: RunFolder) -> None:
    ben = Desk(run, "ben")
    ben.refresh()
    desk.decide([(0, 0), (0, 1)], "reject")
    ben.decide([(0, 0)], "accept")
    desk.refresh()
    assert desk.state()["conflicts"] == 1
    assert places(desk.find(Query(verdict="conflict"))) == [(0, 0)]
    ben.undo()
    desk.refresh()
    assert desk.state()["conflicts"] == 0


def test_canvases_that_are_generated_meanwhile_appear(desk: Desk, run: RunFolder) -> None:
    desk.decide([(4, 0)], "accept")
    old = desk.objects.record(4)
    run.write_part([CanvasRecord(7, old.hw_px, 7, run.image_name(7), (region(0, disc(0)), region(1, disc(1))))])
    desk.refresh()
    assert desk.state()["objects"] == 12
    assert places(desk.find(Query(verdict="accept"))) == [(4, 0)]
