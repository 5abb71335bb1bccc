"""What all trainings share: checkpoints that are whole, a log, an end that loses nothing."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

LOG_EVERY_S = 60
STOPPED = "stopped; the same command goes on from here"


def run_steps(
    first: int,
    last: int,
    take: Callable[[int], float],
    save: Callable[[int], None],
    log: Path,
    measure: Callable[[], dict[str, float]] = dict,
) -> bool:
    """Steps first + 1 to last, unless SIGTERM asks for an end; whether all were taken.

    take: one step, by its number; gives its loss. save: a checkpoint after so many steps, every minute or so and at the end.
    measure: more figures for the log.
    """
    losses, logged, step = [], time.time(), first
    with polite_end() as asked_to_end:
        for step in range(first + 1, last + 1):
            losses.append(take(step))
            if time.time() - logged > LOG_EVERY_S:
                record = {"step": step, "loss": round(float(np.mean(losses)), 4)}
                record["steps_per_s"] = round(len(losses) / (time.time() - logged), 3)
                append_json_line(log, record | measure())
                save(step)
                losses, logged = [], time.time()
            if asked_to_end():
                break
    save(step)
    return step == last


@contextmanager
def polite_end() -> Iterator[Callable[[], bool]]:
    """Turns SIGTERM, as `kill` sends it, into a question that the loop asks between two steps."""
    received: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, previous)


def save_state(path: Path, state: dict) -> None:
    """Atomic: the file is whole or the one before it is still there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load_checkpoint(path: Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=True)


def append_json_line(path: Path, record: dict) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
