"""Links, anchors, commands and Python calls on the pages are valid."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import mosaicfusion as mf
from mosaicfusion.cli import app

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path for path in [*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"]}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def calls() -> list[tuple[str, ast.Call]]:
    """Name and call of each ``mf.NAME(...)`` in a Python block."""
    blocks = [block for text in TEXTS.values() for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)]
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block))]
    return [
        (node.func.attr, node)
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "mf"
    ]


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each command, such as ``experiment minilvis``, and its options."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (PAGES[name].parent / path).resolve() if path else PAGES[name]
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", PAGES)
def test_commands_have_their_options(name: str) -> None:
    text = TEXTS[name].replace("\\\n", " ")
    for command, options in commands(typer.main.get_command(app)):
        for line in re.findall(rf"mosaicfusion {command} (.*?)(?:$|`|#)", text, flags=re.MULTILINE):
            used = {word for word in line.split() if re.match(r"--?[a-z]", word)}
            assert used - options - {"--help"} == set(), f"{command} {line}"


def test_the_index_lists_every_page() -> None:
    listed = {target.split("/")[-1] for target in re.findall(r"\]\(([^)]+)\)", TEXTS["index.md"])}
    assert listed - {"README.md"} == PAGES.keys() - {"index.md"}


def test_calls_fit_the_signatures() -> None:
    assert len(calls()) > 5
    for name, call in calls():
        keywords = {keyword.arg or "": None for keyword in call.keywords}
        inspect.signature(getattr(mf, name)).bind(*call.args, **keywords)
