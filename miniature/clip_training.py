"""Training loop of the CLIP stages: resumable, with batches composed in a second thread."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP
from torch import Tensor, nn

from miniature.loop import load_checkpoint, run_steps, save_state

PEAK_LR = 5e-4


@dataclass(frozen=True)
class TrainingTask:
    """Data and loss of a CLIP stage.

    ``name``: of the checkpoint and the log; ``names``: of the categories. ``batch``: a pure function of the step's number, so
    that a resumed run equals an uninterrupted one. ``measure``: metrics for the log.
    """

    name: str
    names: list[str]
    batch: Callable[[int], Any]
    loss: Callable[[CLIP, Any], Tensor]
    measure: Callable[[CLIP], dict[str, float]]


def batches(task: TrainingTask, first: int, last: int) -> Generator[Any, None, None]:
    """Batches of the steps [first, last); the next two are composed during a training step."""
    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(task.batch, step) for step in range(first, min(first + 2, last))]
        for step in range(first, last):
            yield ahead.pop(0).result()
            if step + 2 < last:
                ahead.append(pool.submit(task.batch, step + 2))


def make_optimizer(model: CLIP) -> torch.optim.AdamW:
    """Make AdamW for the parameters that are not frozen, with a higher rate for word embeddings and temperature.

    A word occurs in one batch of five only, and images can be separated only once the words are.
    """
    words = [model.token_embedding.weight, model.logit_scale]
    rest = [p for p in model.parameters() if p.requires_grad and not any(p is word for word in words)]
    groups = [
        {"params": [parameter for parameter in rest if parameter.ndim >= 2], "lr": PEAK_LR, "weight_decay": 0.05},
        {"params": [parameter for parameter in rest if parameter.ndim < 2], "lr": PEAK_LR},
        {"params": [word for word in words if word.requires_grad], "lr": 4 * PEAK_LR},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)


def train(model: CLIP, task: TrainingTask, work: Path, steps: int) -> bool:
    """Train up to step `steps`, from the checkpoint if there is one; return True if finished.

    The learning rate rises and falls once. A finished training can be continued to a greater number of steps, with another
    rise and fall.
    """
    checkpoint = work / f"{task.name}.pt"
    state = load_checkpoint(checkpoint) if checkpoint.exists() else None
    first = state["step"] if state else 0
    finished = state is not None and first == state["steps"] < steps
    if state and (state["names"] != task.names or not (finished or state["steps"] == steps)):
        raise SystemExit(f"{checkpoint} belongs to a run of {state['steps']} steps; finish it or remove the file")
    optimizer = make_optimizer(model)
    peaks = [group["lr"] for group in optimizer.param_groups]
    cycle = steps - first if finished else steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=cycle, pct_start=0.1)
    if state:
        model.load_state_dict(state["model"])
    if state and not finished:
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])

    def save(step: int) -> None:
        parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}
        states = {name: part.state_dict() for name, part in parts.items()}
        save_state(checkpoint, states | {"step": step, "steps": steps, "names": task.names})

    model.train()
    with closing(batches(task, first, steps)) as composed:

        def take_step(_step: int) -> float:
            loss = task.loss(model, next(composed))
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            return loss.item()

        return run_steps(first, steps, take_step, save, work / f"{task.name}.jsonl", lambda: task.measure(model))
