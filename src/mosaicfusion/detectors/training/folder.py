"""The folder of a training: made, locked, and refused if it holds something else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mosaicfusion.detectors.checkpoint import CLASSES, RECIPE, STATE, WEIGHTS, read_classes
from mosaicfusion.detectors.config import Recipe, ScheduleConfig, load_recipe
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.training.schedule import learning_rate
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import remove_leftovers, write_atomic
from mosaicfusion.files.writable import check_writable
from mosaicfusion.identity import differences

LOCK = "train.lock"


@contextmanager
def training_folder(folder: Path, recipe: Recipe, classes: ClassList) -> Iterator[None]:
    """Make or reopen the folder of a training, and lock it until the end of the block.

    A folder without any checkpoint may be taken over by another training, and one with a checkpoint by a longer training whose
    learning rates are the same so far. Raises :class:`MosaicFusionError` for a folder with another training or with other
    files; nothing is deleted.
    """
    check_writable(folder)
    names = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    existing = {name for name in names if not (name.startswith(".") and name.endswith(".tmp"))}
    # Earlier versions wrote the classes first, so a killed one may have left nothing else.
    if existing - {LOCK} and existing != {LOCK, CLASSES} and not existing & {RECIPE, STATE, WEIGHTS}:
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
                f"{folder} holds another training; give another --out (with --init {folder} to start from its weights), or undo "
                "these changes:\n  " + "\n  ".join(changed[:12])
            )
        read_classes(folder).require_same(classes)
        return
    write_recipe(folder, recipe)  # first: it tells the folder of a training from any other
    write_atomic(folder / CLASSES, json.dumps(classes.to_json(), indent=1, ensure_ascii=False).encode())


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write ``recipe.yaml``; a longer training replaces it once its checkpoint and data have been checked."""
    write_atomic(folder / RECIPE, recipe.to_yaml().encode())


def _is_longer(existing: Recipe, recipe: Recipe) -> bool:
    """True if the recipe only has more steps, or other steps of decay too."""
    old, new = existing.schedule, recipe.schedule
    schedule = new.model_copy(update={"iterations": old.iterations, "steps": old.steps})
    return new.iterations > old.iterations and recipe.model_copy(update={"schedule": schedule}) == existing


def _same_rates(old: ScheduleConfig, new: ScheduleConfig) -> bool:
    """True if the learning rates of all steps of ``old`` are also those of ``new``: continuing gives the weights of ``new``."""
    return all(learning_rate(old, step) == learning_rate(new, step) for step in range(old.iterations))
