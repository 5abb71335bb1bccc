"""Lists of prompts: what a file may hold, what the rules write, and what is taken of a language model's lines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mosaicfusion.categories import Category, Selection, Vocabulary
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.prompt_lists import as_template, read_prompts, with_prompts, write_prompts
from mosaicfusion.mosaic.plan import Plan
from mosaicfusion.mosaic.prompts import render, render_background

BALLOON = Category(1, "hot-air_balloon", synonyms=("balloon",))
CUP = Category(2, "cup_(drink)")


def write(path: Path, lists: Any) -> Path:
    path.write_text(json.dumps(lists))
    return path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("an old {name} at dawn", "an old {name} at dawn"),
        ("A Hot-Air  balloon over a cup", "A {name} over a cup"),
        ("hot-air balloons", None),
        ("a balloon", None),
        ("one hot-air balloon beside a hot-air balloon", "one {name} beside a hot-air balloon"),
    ],
)
def test_the_name_becomes_a_field(line: str, expected: str | None) -> None:
    assert as_template(line, BALLOON) == expected


def test_a_file_may_use_any_name_of_a_category_and_hold_others(tmp_path: Path) -> None:
    path = write(tmp_path / "p.json", {"balloon": ["a {name} at dawn"], "cup": ["a white cup"], "zebra": ["a zebra"]})
    assert read_prompts(path, [BALLOON, CUP]) == {
        "hot-air_balloon": ("a {name} at dawn",),
        "cup_(drink)": ("a white {name}",),
    }


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"cup": "a cup"}, "the prompts of 'cup' are \"a cup\"; give a list of lines"),
        ({"cup": []}, "give a list of lines"),
        ({"cup": [3]}, "give a list of lines"),
        ({"cup": ["a mug"]}, "'cup': the line \"a mug\" has neither {name} nor 'cup'"),
        ({"cup": ["{name} and {name}"]}, "exactly once"),
        ({"cup": ["{name} of {colour}"]}, "unknown field {colour}"),
        ({"zebra": ["a zebra"]}, 'has prompts of ["zebra"], none of which'),
        ([], "instead of settings"),
    ],
)
def test_lines_without_a_subject_are_refused(tmp_path: Path, lists: Any, message: str) -> None:
    with pytest.raises(MosaicFusionError) as caught:
        read_prompts(write(tmp_path / "p.json", lists), [BALLOON, CUP])
    assert message in str(caught.value)


def test_each_region_gets_one_of_its_category_at_random(tmp_path: Path) -> None:
    path = write(tmp_path / "p.json", {"cup": ["a red {name}", "a blue {name}"]})
    categories = Vocabulary([BALLOON, CUP])
    base = make_config("paper", {"model": "some/model"})
    config = with_prompts(base, Selection(categories, categories), path)
    plan, plain = (Plan(one, categories, categories, 8) for one in (config, base))
    seen = {"hot-air_balloon": set[str](), "cup_(drink)": set[str]()}
    for index in range(30):
        spec, without = plan.spec(index), plain.spec(index)
        assert (spec.categories, spec.noise_seed) == (without.categories, without.noise_seed)
        for category, template in zip(spec.categories, spec.templates, strict=True):
            seen[category.name].add(template)
    assert seen == {"hot-air_balloon": {base.prompt.template}, "cup_(drink)": {"a red {name}", "a blue {name}"}}


def test_rules_give_different_lines_and_the_same_for_a_seed(tmp_path: Path) -> None:
    found = write_prompts([BALLOON, CUP], 100, seed=3)
    assert found == write_prompts([CUP, BALLOON], 100, seed=3)
    assert found.lists["cup_(drink)"] != write_prompts([CUP], 100, seed=4).lists["cup_(drink)"]
    assert all(len(set(lines)) == 100 for lines in found.lists.values())
    (tmp_path / "p.json").write_bytes(found.to_json())
    assert read_prompts(tmp_path / "p.json", [CUP]) == {"cup_(drink)": tuple(found.lists["cup_(drink)"])}
    with pytest.raises(MosaicFusionError, match="5000 prompts per category are more than the rules have"):
        write_prompts([CUP], 5000)


def test_lines_of_a_model_count_only_if_they_name_the_category_once_and_differ() -> None:
    asked: list[int] = []

    def model(category: Category, count: int) -> list[str]:
        asked.append(count)
        return [
            '1. "A chipped cup on a shelf."',
            "- a mug",
            "2) a chipped cup",
            "cup {x}",
            "cup " * 50,
            "A chipped cup on a shelf",
        ]

    found = write_prompts([CUP], 4, write=model)
    lines = found.lists["cup_(drink)"]
    assert lines[:2] == ["A chipped {name} on a shelf", "a chipped {name}"]
    assert (len(set(lines)), found.by_model) == (4, 2)
    assert asked == [4, 2, 2]


def test_the_relations_of_the_docs_are_prompts_on_a_scene_with_its_background(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "generating.md").read_text(encoding="utf-8")
    path = tmp_path / "prompts.json"
    path.write_text(re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)[0])
    mug, kettle = Category(1, "mug"), Category(2, "kettle")
    rooms = ("a bright kitchen", "an old cellar")
    config = make_config("paper", {"layout": {"kind": "scene"}, "prompt": {"backgrounds": rooms}})
    plan = Plan(
        with_prompts(config, Selection(Vocabulary([mug, kettle]), Vocabulary([mug, kettle])), path),
        [mug],
        [mug, kettle],
        8,
    )
    for index in range(9):
        spec = plan.spec(index)
        (room,) = set(spec.backgrounds)
        texts = {
            render(template, category.name, background=room)[0]
            for template, category in zip(spec.templates, spec.categories, strict=True)
        }
        assert texts <= {
            f"a photo of a single mug on a wooden table, in {room}",
            f"a mug in a person's hand, in {room}",
            f"a photo of a single kettle on a stove, in {room}",
        }
        assert f"a photo of a single kettle on a stove, in {room}" in texts
        assert render_background(plan.config.prompt.scene, room) == f"a photo of {room}"
