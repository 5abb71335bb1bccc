"""The map in docs/architecture.md is true to the code."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "mosaicfusion"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))
PACKAGES = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}


def rows(section: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = re.findall(r"^\| (.*) \|$", SECTIONS[section], flags=re.MULTILINE)
    return [[cell.strip() for cell in line.split(" |")] for line in lines[1:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def layers() -> list[list[str]]:
    """The packages of each row of the picture, from top to bottom."""
    picture = SECTIONS["The packages"].split("```")[1]
    found = [[word for word in re.findall(r"\w+", line[14:]) if word in PACKAGES] for line in picture.splitlines()]
    return [layer for layer in found if layer]


def imports(package: str) -> set[str]:
    """The packages that a package imports, lazily too, but not for annotations alone."""
    path = PACKAGE / package
    files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    found = {name for file in files for name in _imported(ast.parse(file.read_text(encoding="utf-8")))}
    return (found & PACKAGES) - {package}


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return
    modules: list[str] = []
    if isinstance(node, ast.ImportFrom) and node.module:
        modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    elif isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    for module in modules:
        root, _, rest = module.partition(".")
        if root == "mosaicfusion" and rest:
            yield rest.split(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from _imported(child)


ALLOWED = {names(package)[0]: set(names(allowed)) for package, _, allowed, _ in rows("The packages")}


def test_every_package_is_in_the_table_and_in_the_picture() -> None:
    assert set(ALLOWED) == PACKAGES - {"__init__", "__main__"}
    assert sorted(name for layer in layers() for name in layer) == sorted(ALLOWED)


def test_the_picture_is_the_contract_of_make_lint() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (contract for contract in contracts if contract["type"] == "layers")
    assert layers() == [re.findall(r"\w+", layer) for layer in contract["layers"]]


@pytest.mark.parametrize("package", ALLOWED)
def test_no_import_is_missing_in_the_table(package: str) -> None:
    assert imports(package) - ALLOWED[package] == set()


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_down(package: str) -> None:
    level = {name: depth for depth, layer in enumerate(layers()) for name in layer}
    assert [name for name in ALLOWED[package] if level[name] <= level[package]] == []


def test_every_name_is_defined_in_its_file() -> None:
    pairs = re.findall(r"`([\w.]+)`\s+\(`([\w/.]+\.py)`\)", PAGE)
    assert len(pairs) > 50
    for name, path in pairs:
        text = (PACKAGE / path).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"^ *(?:def|class) {part}\b", text, flags=re.MULTILINE), f"{name} is not in {path}"


def test_every_path_of_the_last_table_exists() -> None:
    table = rows("Where do I change ...?")
    assert 12 <= len(table) <= 15
    assert [path for _, paths in table for path in names(paths) if not (PACKAGE / path).exists()] == []
