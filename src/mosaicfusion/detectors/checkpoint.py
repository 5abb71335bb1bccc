"""A trained detector on disk.

exp/mf/
  recipe.yaml          what it is and how it is trained
  classes.json         categories by label
  model.safetensors    weights for use; averaged ones if the recipe has an EMA
  last.ckpt            all that training goes on from: weights, optimizer, step
  log.jsonl            losses, learning rate and times while it trained
  train.lock           empty; a training that runs holds a lock on it

Only ``model.safetensors`` is read for use, so a folder from anywhere is safe to evaluate. ``last.ckpt`` is read by training
alone, with ``weights_only=True``: tensors and plain values, no code.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from mosaicfusion.detectors.config import Recipe, load_recipe, recipe_to_yaml
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.files.atomic import remove_leftovers, write_atomic
from mosaicfusion.files.writable import check_writable
from mosaicfusion.identity import differences

if TYPE_CHECKING:
    from torch import nn

RECIPE, CLASSES, WEIGHTS, STATE, LOG = "recipe.yaml", "classes.json", "model.safetensors", "last.ckpt", "log.jsonl"
LOCK = "train.lock"


@dataclass(frozen=True)
class Detector:
    """A detector ready for use: ``model`` in evaluation mode on its device."""

    model: nn.Module
    recipe: Recipe
    classes: ClassList


@contextmanager
def begun(folder: Path, recipe: Recipe, classes: ClassList) -> Iterator[None]:
    """Make a folder for a training, or check that it holds the same one; anything else is refused, nothing is deleted.

    Until the end of the block no other training takes the folder. One that came to no checkpoint holds nothing to lose:
    another may take its place.
    """
    check_writable(folder)
    held = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    if held - {LOCK} and not held & {RECIPE, STATE, WEIGHTS}:
        raise MosaicFusionError(f"{folder} holds files but no training; give an empty or a new folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise MosaicFusionError(
            f"another process trains into {folder}; wait for its end, or give another --out"
        ) from None
    try:
        _begin(folder, recipe, classes)
        yield
    finally:
        lock.release()


def _begin(folder: Path, recipe: Recipe, classes: ClassList) -> None:
    remove_leftovers(folder.glob(".*.tmp"))
    if (folder / STATE).exists() or (folder / WEIGHTS).exists():
        held = load_recipe(folder / RECIPE)
        changed = differences(held.model_dump(mode="json"), recipe.model_dump(mode="json"))
        if changed:
            raise MosaicFusionError(
                f"{folder} holds another training; give another --out, or undo:\n  " + "\n  ".join(changed[:12])
            )
        read_classes(folder).require_same(classes)
        return
    write_atomic(folder / CLASSES, json.dumps(classes.to_json(), indent=1, ensure_ascii=False).encode())
    write_atomic(folder / RECIPE, recipe_to_yaml(recipe).encode())


def read_classes(folder: Path) -> ClassList:
    """The classes of a checkpoint."""
    path = folder / CLASSES
    try:
        return ClassList.from_json(json.loads(path.read_text(encoding="utf-8")), str(folder))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MosaicFusionError(f"cannot read {path}: {error}") from None


def save_weights(folder: Path, model: nn.Module) -> None:
    """Write ``model.safetensors``, whole or not at all."""
    from safetensors.torch import save

    write_atomic(folder / WEIGHTS, save({name: value.contiguous() for name, value in model.state_dict().items()}))


def load_detector(folder: Path, device: str = "auto") -> Detector:
    """A detector that was trained into ``folder``; raises :class:`MosaicFusionError` if there is none, or a damaged one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from mosaicfusion.detectors.models.registry import build_detector
    from mosaicfusion.models.device import resolve_device

    target = resolve_device(device)
    if not (folder / RECIPE).exists():
        raise MosaicFusionError(f"{folder} holds no detector (no {RECIPE}); `mosaicfusion train` makes one")
    if not (folder / WEIGHTS).exists():
        raise MosaicFusionError(f"{folder} has no weights yet; let `mosaicfusion train` reach its first checkpoint")
    recipe, classes = load_recipe(folder / RECIPE), read_classes(folder)
    try:
        state = load_file(folder / WEIGHTS)
        embeddings = next((value for name, value in state.items() if name.endswith(".embeddings")), None)
        # The counts of the federated loss come with the weights.
        model = build_detector(recipe, classes, embeddings, [1] * len(classes), load_weights=False)
        model.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise MosaicFusionError(
            f"{folder / WEIGHTS} is damaged or of another recipe ({first_line(error, 160)}); train it again"
        ) from None
    return Detector(model.to(target).eval(), recipe, classes)


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write ``last.ckpt``, whole or not at all. ``state``: tensors and plain values."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(folder / STATE, buffer.getvalue())


def load_state(folder: Path) -> dict[str, Any] | None:
    """What :func:`save_state` wrote, on the CPU, or None at the beginning."""
    import torch

    path = folder / STATE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError, TypeError) as error:
        raise damaged_state(folder, first_line(error, 120)) from None
    if not isinstance(state, dict) or "data" not in state or type(state.get("step")) is not int:
        raise damaged_state(folder, "it is no checkpoint of a training")
    return state


def damaged_state(folder: Path, reason: str) -> MosaicFusionError:
    """What to raise for a ``last.ckpt`` from which nothing can go on."""
    return MosaicFusionError(f"{folder / STATE} cannot be resumed ({reason}); delete it to begin again from step 0")
