"""Links and examples of the README and the docs work."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_of_the_readme_exist() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("http")]
    assert len(targets) > 3
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_readme_has_no_placeholder() -> None:
    assert re.findall(r"\b[A-Z0-9]+_[A-Z0-9_]+\b", README) == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_links_of_the_docs_exist(page: Path) -> None:
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))]
    local = [target for target in targets if target and not target.startswith("http")]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.slow
def test_example_with_events_runs(tmp_path: Path) -> None:
    code = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "generating.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+ instances", done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_python_example_runs(tmp_path: Path) -> None:
    """It prints the number of instances, and a line for each canvas."""
    code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert re.fullmatch(r"\d+ instances on \d of 6 canvases", first)
    assert len(lines) == 6
    assert lines[0].startswith("images/000/000000000000.jpg [('")
