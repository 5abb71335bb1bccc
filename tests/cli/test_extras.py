"""Commands of an installation without the packages of the train extra."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = {
    "train": "--train absent.json --images . -o exp",
    "evaluate": "exp --val absent.json --images .",
    "predict": "exp absent.jpg -o overlay.png",
    "embed-text": "-c banana -o text.safetensors",
    "experiment minilvis": "--list --data absent",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "hidden", [["torchvision"], ["torchvision", "lightning", "faster_coco_eval", "open_clip", "timm"]]
)
def test_one_line_names_the_extra_to_install(command: str, hidden: list[str], tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden})); from mosaicfusion.cli import app; app(sys.argv[1:])"
    )
    arguments = [*command.split(), *COMMANDS[command].split()]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: torchvision")
    assert result.stderr.endswith('; pip install "mosaicfusion[train]"\n')
    assert result.stderr.count("\n") == 1 and not result.stdout
    assert not list(tmp_path.iterdir())


def test_evaluation_needs_no_lightning_and_training_names_it(tmp_path: Path) -> None:
    code = "import sys; sys.modules['lightning'] = None; from mosaicfusion.cli import app; app(sys.argv[1:])"
    for command, words in (("evaluate", "absent.json"), ("train", "lightning cannot be found")):
        arguments = [command, *COMMANDS[command].split()]
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert result.returncode == 2
        assert words in result.stderr and "Traceback" not in result.stderr
