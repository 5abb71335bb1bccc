"""Shared parts of all training loops: atomic checkpoints, a log, and a clean stop."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

LOG_EVERY_S = 60
STOPPED = "stopped; run the same command to resume"


def run_steps(
    first: int,
    last: int,
    take_step: Callable[[int], float],
    save: Callable[[int], None],
    log: Path,
    measure: Callable[[], dict[str, float]] = dict,
) -> bool:
    """Take the steps first + 1 to last, or stop at SIGTERM; return True if all were taken.

    ``take_step``: takes the step with this number and returns its loss. ``save``: saves a checkpoint after this number of steps,
    about every minute and at the end. ``measure``: further metrics for the log.
    """
    losses, logged, step = [], time.time(), first
    with catch_sigterm() as stop_requested:
        for step in range(first + 1, last + 1):
            losses.append(take_step(step))
            if time.time() - logged > LOG_EVERY_S:
                record = {"step": step, "loss": round(float(np.mean(losses)), 4)}
                record["steps_per_s"] = round(len(losses) / (time.time() - logged), 3)
                append_json_line(log, record | measure())
                save(step)
                losses, logged = [], time.time()
            if stop_requested():
                break
    save(step)
    return step == last


@contextmanager
def catch_sigterm() -> Iterator[Callable[[], bool]]:
    """Catch SIGTERM, the signal of `kill`; the value of the block returns True once it was received."""
    received: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, previous)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Save a checkpoint atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def append_json_line(path: Path, record: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
