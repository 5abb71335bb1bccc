"""How the stages of the CLIP are trained: from a checkpoint where there is one, batches composed beside the model."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from miniature.loop import load_checkpoint, run_steps, save_state

PEAK_LR = 5e-4


@dataclass(frozen=True)
class Lesson:
    """What is learned. ``name``: of the checkpoint and the log. ``batch``: a pure function of the step's number, so that a run
    that was stopped goes on as if nothing had happened. ``measure``: figures for the log. ``names``: of the categories.
    """

    name: str
    names: list[str]
    batch: Callable[[int], Any]
    loss: Callable[[nn.Module, Any], Tensor]
    measure: Callable[[nn.Module], dict[str, float]]


def batches(lesson: Lesson, first: int, last: int) -> Generator[Any, None, None]:
    """Batches of the steps [first, last), the next ones composed while the model learns."""
    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(lesson.batch, step) for step in range(first, min(first + 2, last))]
        for step in range(first, last):
            yield ahead.pop(0).result()
            if step + 2 < last:
                ahead.append(pool.submit(lesson.batch, step + 2))


def make_optimizer(model: nn.Module) -> torch.optim.AdamW:
    """AdamW on what is not frozen. Words and temperature learn faster than the rest: a word is seen in one batch of five,
    and pictures that are told apart wait for words that still mean the same."""
    words = [model.token_embedding.weight, model.logit_scale]
    rest = [p for p in model.parameters() if p.requires_grad and not any(p is word for word in words)]
    groups = [
        {"params": [parameter for parameter in rest if parameter.ndim >= 2], "lr": PEAK_LR, "weight_decay": 0.05},
        {"params": [parameter for parameter in rest if parameter.ndim < 2], "lr": PEAK_LR},
        {"params": [word for word in words if word.requires_grad], "lr": 4 * PEAK_LR},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)


def train(model: nn.Module, lesson: Lesson, work: Path, steps: int) -> bool:
    """Up to step number `steps`, from the checkpoint where there is one; whether it came there.

    The learning rate rises and falls once on the way there. A training that had come to its end goes on to a greater
    number with a rise and fall of its own.
    """
    checkpoint = work / f"{lesson.name}.pt"
    state = load_checkpoint(checkpoint) if checkpoint.exists() else None
    first = state["step"] if state else 0
    finished = state is not None and first == state["steps"] < steps
    if state and (state["names"] != lesson.names or not (finished or state["steps"] == steps)):
        raise SystemExit(f"{checkpoint} is of another run, to {state['steps']} steps; end that or remove it")
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
        parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
        states = {name: part.state_dict() for name, part in parts.items()}
        save_state(checkpoint, states | {"step": step, "steps": steps, "names": lesson.names})

    model.train()
    with closing(batches(lesson, first, steps)) as composed:

        def take(_step: int) -> float:
            loss = lesson.loss(model, next(composed))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            return loss.item()

        return run_steps(first, steps, take, save, work / f"{lesson.name}.jsonl", lambda: lesson.measure(model))
