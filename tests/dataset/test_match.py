"""Categories of two sets are matched by synset, name and synonym, in this order; ambiguous names are refused."""

from __future__ import annotations

import pytest

from mosaicfusion.dataset.coco import CategoryRef
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.errors import MosaicFusionError

KNOWN = [
    CategoryRef(4, "aerosol_can", ["aerosol_can", "spray_can"], "aerosol.n.02"),
    CategoryRef(7, "bow_(weapon)", ["bow_(weapon)", "longbow"], "bow.n.04"),
    CategoryRef(9, "bow_(decorative_ribbons)", ["bow_(decorative_ribbons)"], "bow.n.08"),
    CategoryRef(20, "Hot_Dog"),
]


@pytest.mark.parametrize(
    ("category", "ids"),
    [
        (CategoryRef(1, "tin", None, "aerosol.n.02"), [4]),  # the synset goes before any name
        (CategoryRef(1, "hot_dog", None, "aerosol.n.02"), [4]),
        (CategoryRef(1, "Aerosol  can"), [4]),
        (CategoryRef(1, "HOT DOG"), [20]),
        (CategoryRef(1, "aerosol_can", None, "another.n.01"), [4]),  # a full name is enough
        (CategoryRef(1, "spray can"), [4]),
        (CategoryRef(1, "tin", ["Spray_Can"]), [4]),
        (CategoryRef(1, "longbow"), [7]),
        (CategoryRef(1, "longbow", None, "longbow.n.01"), []),  # a synonym is not enough if the synsets differ
        (CategoryRef(1, "bow"), [7, 9]),
        (CategoryRef(1, "bow_(weapon)"), [7]),
        (CategoryRef(1, "bow_(of_a_ship)"), []),
        (CategoryRef(1, "bow", None, "bow.n.08"), [9]),
        (CategoryRef(1, "zebra", ["zebra"], "zebra.n.01"), []),
        (CategoryRef(4, "dog"), []),  # ids are not compared
    ],
)
def test_category_is_found_by_synset_name_or_synonym(category: CategoryRef, ids: list[int]) -> None:
    assert sorted(found.id for found in Matcher(KNOWN).find(category)) == ids


def test_new_categories_get_the_next_ids_and_are_found_then() -> None:
    matcher = Matcher(KNOWN)
    first = [CategoryRef(1, "zebra"), CategoryRef(2, "hot dog"), CategoryRef(3, "zebra_(crossing)")]
    ids, new = matcher.ids(first, "one")
    assert ids == {1: 21, 2: 20, 3: 22}
    assert [category.name for category in new] == ["zebra", "zebra_(crossing)"]
    assert matcher.ids([CategoryRef(8, "Zebra")], "two") == ({8: 21}, [])


def test_ambiguous_names_are_listed_with_the_choices() -> None:
    with pytest.raises(MosaicFusionError) as caught:
        Matcher(KNOWN).ids([CategoryRef(1, "bow"), CategoryRef(2, "zebra")], "runs/rare")
    assert "categories of runs/rare are ambiguous" in str(caught.value)
    assert "--match 'bow=bow_(weapon)' or --match 'bow=bow_(decorative_ribbons)' or --match 'bow='" in str(caught.value)
    assert "zebra" not in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "ids"), [("bow_(weapon)", {1: 7}), ("Bow (Decorative ribbons)", {1: 9}), ("", {1: 21})]
)
def test_a_choice_settles_an_ambiguous_name(choice: str, ids: dict[int, int]) -> None:
    assert Matcher(KNOWN, {"BOW": choice}).ids([CategoryRef(1, "bow")], "")[0] == ids


def test_a_choice_must_name_existing_categories() -> None:
    with pytest.raises(MosaicFusionError, match="no category is called 'arc'"):
        Matcher(KNOWN, {"bow": "arc"}).ids([CategoryRef(1, "bow")], "")
    matcher = Matcher(KNOWN, {"boww": "longbow"})
    matcher.ids([CategoryRef(1, "zebra")], "")
    with pytest.raises(MosaicFusionError, match="--match names boww, which no source has"):
        matcher.require_all_used()
