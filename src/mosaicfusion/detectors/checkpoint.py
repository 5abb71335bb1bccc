"""A trained detector on disk.

exp/mf/
  recipe.yaml          settings of the detector and its training
  classes.json         categories by label
  model.safetensors    weights for inference; averaged weights if the recipe has an EMA
  last.ckpt            state to resume training from: weights, optimizer, step
  log.jsonl            losses, learning rate and times of the training
  train.lock           empty; locked by a running training

Evaluation and prediction read weights from ``model.safetensors`` only, so folders from unknown sources are safe to use.
``last.ckpt`` is read by training only, with ``weights_only=True``: tensors and plain values, no code.
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

from mosaicfusion.detectors.config import Recipe, ScheduleConfig, load_recipe
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.files.atomic import remove_leftovers, write_atomic
from mosaicfusion.files.writable import check_writable
from mosaicfusion.identity import differences
from mosaicfusion.models.device import DeviceOptions

if TYPE_CHECKING:
    from torch import nn

RECIPE, CLASSES, WEIGHTS, STATE, LOG = "recipe.yaml", "classes.json", "model.safetensors", "last.ckpt", "log.jsonl"
LOCK = "train.lock"


@dataclass(frozen=True)
class Detector:
    """A detector ready for inference: ``model`` in evaluation mode on its device."""

    model: nn.Module
    recipe: Recipe
    classes: ClassList


@contextmanager
def training_folder(folder: Path, recipe: Recipe, classes: ClassList) -> Iterator[None]:
    """Make or reopen the folder of a training, and lock it until the end of the block.

    A folder without any checkpoint may be taken over by another training, and one with a checkpoint by a longer training whose
    learning rates are the same so far. Raises :class:`MosaicFusionError` for a folder with
    another training or with other files; nothing is deleted.
    """
    check_writable(folder)
    existing = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    if existing - {LOCK} and not existing & {RECIPE, STATE, WEIGHTS}:
        raise MosaicFusionError(f"{folder} holds files but no training; give an empty or a new folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise MosaicFusionError(
            f"another process trains into {folder}; wait until it ends, or give another --out"
        ) from None
    try:
        _prepare(folder, recipe, classes)
        yield
    finally:
        lock.release()


def _prepare(folder: Path, recipe: Recipe, classes: ClassList) -> None:
    remove_leftovers(folder.glob(".*.tmp"))
    if (folder / STATE).exists() or (folder / WEIGHTS).exists():
        existing = load_recipe(folder / RECIPE)
        changed = differences(existing.model_dump(mode="json"), recipe.model_dump(mode="json"))
        if _is_longer(existing, recipe):
            if not _same_rates(existing.schedule, recipe.schedule):
                raise MosaicFusionError(
                    f"{folder} holds a training of {existing.schedule.iterations} steps, whose learning rates would differ in "
                    f"one of {recipe.schedule.iterations}; give another --out, with --init {folder} to start from its weights"
                )
        elif changed:
            raise MosaicFusionError(
                f"{folder} holds another training; give another --out, or undo these changes:\n  "
                + "\n  ".join(changed[:12])
            )
        read_classes(folder).require_same(classes)
        if changed:
            write_atomic(folder / RECIPE, recipe.to_yaml().encode())
        return
    write_atomic(folder / CLASSES, json.dumps(classes.to_json(), indent=1, ensure_ascii=False).encode())
    write_atomic(folder / RECIPE, recipe.to_yaml().encode())


def _is_longer(existing: Recipe, recipe: Recipe) -> bool:
    """True if the recipe only has more steps, or other steps of decay too."""
    old, new = existing.schedule, recipe.schedule
    schedule = new.model_copy(update={"iterations": old.iterations, "steps": old.steps})
    return new.iterations > old.iterations and recipe.model_copy(update={"schedule": schedule}) == existing


def _same_rates(old: ScheduleConfig, new: ScheduleConfig) -> bool:
    """True if the learning rates of all steps of ``old`` are also those of ``new``: continuing gives the weights of ``new``."""
    from mosaicfusion.detectors.training.schedule import learning_rate

    return all(learning_rate(old, step) == learning_rate(new, step) for step in range(old.iterations))


def read_classes(folder: Path) -> ClassList:
    """Read the classes of a checkpoint."""
    path = folder / CLASSES
    try:
        return ClassList.from_json(json.loads(path.read_text(encoding="utf-8")), str(folder))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MosaicFusionError(f"cannot read {path}: {error}") from None


def save_weights(folder: Path, model: nn.Module) -> None:
    """Write ``model.safetensors`` atomically."""
    from safetensors.torch import save

    write_atomic(folder / WEIGHTS, save({name: value.contiguous() for name, value in model.state_dict().items()}))


def load_detector(folder: Path, device: DeviceOptions | str = "auto") -> Detector:
    """Load the detector trained into ``folder``; ``device``: a name, or options of which only the device counts.

    Raises :class:`MosaicFusionError` if it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from mosaicfusion.detectors.registry import build_detector
    from mosaicfusion.models.device import resolve_device

    target = resolve_device(DeviceOptions.of(device).device)
    if not (folder / RECIPE).exists():
        raise MosaicFusionError(f"{folder} holds no detector (no {RECIPE}); `mosaicfusion train` makes one")
    if not (folder / WEIGHTS).exists():
        raise MosaicFusionError(
            f"{folder} has no weights yet; wait until `mosaicfusion train` reaches its first checkpoint"
        )
    recipe, classes = load_recipe(folder / RECIPE), read_classes(folder)
    try:
        state = load_file(folder / WEIGHTS)
        embeddings = next((value for name, value in state.items() if name.endswith(".embeddings")), None)
        # The counts of the federated loss are among the weights.
        model = build_detector(recipe, classes, embeddings, [1] * len(classes), load_weights=False)
        model.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise MosaicFusionError(
            f"{folder / WEIGHTS} is damaged or belongs to another recipe ({first_line(error, 160)}); train it again"
        ) from None
    return Detector(model.to(target).eval(), recipe, classes)


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write ``last.ckpt`` atomically. ``state``: tensors and plain values."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(folder / STATE, buffer.getvalue())


def load_state(folder: Path) -> dict[str, Any] | None:
    """Read ``last.ckpt`` onto the CPU; None if there is none yet."""
    import torch

    path = folder / STATE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError, TypeError) as error:
        raise damaged_state(folder, first_line(error, 120)) from None
    if not isinstance(state, dict) or "data" not in state or type(state.get("step")) is not int:
        raise damaged_state(folder, "it is not the checkpoint of a training")
    return state


def damaged_state(folder: Path, reason: str) -> MosaicFusionError:
    """The error for a ``last.ckpt`` that cannot be resumed."""
    return MosaicFusionError(f"{folder / STATE} cannot be resumed ({reason}); delete it to start again from step 0")
