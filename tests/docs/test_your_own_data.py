"""The tutorial: every command runs and prints what the page says, every Python block parses, every cell of the notebook runs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/your-own-data.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((ROOT / "docs/your-own-data.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the shipped data, where the results are written."""
    (tmp_path / "datasets").symlink_to(ROOT / "datasets", target_is_directory=True)
    return tmp_path


def blocks(*languages: str) -> list[tuple[str, str]]:
    """Language and text of the code blocks of the page, in order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [(language, text) for language, text in found if language in languages]


def shape(line: str) -> str:
    """A line without its numbers and repeated spaces: the last bits of a mask depend on the machine."""
    return " ".join(re.sub(r"[\d.]+", "#", line).split())


def test_python_blocks_and_cells_parse() -> None:
    snippets = [text for _, text in blocks("python")]
    assert len(snippets) == 5
    for code in [*snippets, *CELLS]:
        ast.parse(code)


@pytest.mark.slow
def test_every_command_runs_and_prints_what_the_page_says(here: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "100"}
    printed: set[str] = set()
    for language, text in blocks("bash", "text"):
        if language == "bash":
            done = subprocess.run(
                ["bash", "-euc", text], cwd=here, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, text + done.stdout + done.stderr
            printed = {shape(line) for line in (done.stdout + done.stderr).splitlines()}
        else:
            assert {shape(line) for line in text.splitlines() if line != "..."} - printed == set()
    assert len(list((here / "found").rglob("*.jpg"))) == 36
    assert {path.name for path in (here / "plus-yolo/images").iterdir()} == {"train", "val"}
    rows = dict(re.findall(r"^\| `(exp/\w+)` \| (.*) \|$", PAGE, flags=re.MULTILINE))
    for folder, row in rows.items():
        assert (here / folder / "scores-val.json").exists()
        assert len(row.split("|")) == 5


@pytest.mark.slow
def test_every_cell_of_the_notebook_runs(here: Path) -> None:
    """In one process without Jupyter; a cell's last expression is evaluated, as a notebook would show it."""
    code = "\n".join(CELLS)
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in ("no issue in 24 images", "instances left", "24 real images", "instances in plus-yolo"):
        assert words in done.stdout
