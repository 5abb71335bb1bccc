"""The training loop, on Lightning Fabric: one or more devices on one or more nodes.

Step k has the same images, augmentation and random numbers with and without an earlier interruption: samples depend on
(seed, position), the global generator is seeded from (seed, step, rank, part) before each part of a step, and all other state
(weights, averaged weights, optimizer, loss scale) is in ``last.ckpt``. So on a CPU a resumed training ends in bit-identical
weights; on a GPU they differ by the order of its atomic sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mosaicfusion.arguments import check_fields, checked, options_of
from mosaicfusion.dataset.image_files import Folders
from mosaicfusion.detectors.checkpoint import (
    STATE,
    WEIGHTS,
    damaged_state,
    load_state,
    save_state,
    save_weights,
)
from mosaicfusion.detectors.config import Recipe, ScheduleConfig, as_recipe
from mosaicfusion.detectors.data.samples import make_loader
from mosaicfusion.detectors.data.sampling import RepeatFactorSampler
from mosaicfusion.detectors.data.training_set import TrainingSet, open_training_set
from mosaicfusion.detectors.registry import build_detector
from mosaicfusion.detectors.training.folder import training_folder, write_recipe
from mosaicfusion.detectors.training.init import StartWeights, TakenWeights, take_weights
from mosaicfusion.detectors.training.launch import make_fabric
from mosaicfusion.detectors.training.log import TrainLog
from mosaicfusion.detectors.training.schedule import learning_rate, make_optimizer, set_learning_rate
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.files.remote import as_path
from mosaicfusion.identity import fingerprint
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.models.weights import require_finite

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress

Batch = tuple[list[Tensor], list[dict[str, Any]]]


@dataclass(frozen=True)
class TrainOptions:
    """Execution settings, which do not change the result. ``device``: a name, or options of which only the device counts.

    ``workers``: loading processes per device. ``checkpoint_every``: in steps; None: a tenth of all steps, at most 1000.
    ``log_every``: in steps. Raises :class:`MosaicFusionError` for a count that is too low.
    """

    device: DeviceOptions | Mapping[str, Any] | str = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int = 2
    checkpoint_every: int | None = None
    log_every: int = 20

    def __post_init__(self) -> None:
        check_fields(self)
        least = {"devices": 1, "nodes": 1, "workers": 0, "checkpoint_every": 1, "log_every": 1}
        for name, count in least.items():
            if (value := getattr(self, name)) is not None and value < count:
                raise MosaicFusionError(f"{name}={value} must be at least {count}")


@dataclass(frozen=True)
class TrainSummary:
    """``steps``: taken by this call, of ``iterations`` in total; ``data_share``: share of ``seconds`` spent waiting for images.

    ``loss``: mean loss of the last line of the log, None without one.
    """

    path: Path
    steps: int
    iterations: int
    seconds: float
    data_share: float
    loss: float | None


@checked
def train(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    data: TrainingSet | str | Path,
    out: str | Path,
    options: TrainOptions | Mapping[str, Any] | None = None,
    text_embeddings: Tensor | None = None,
    on_progress: OnProgress = lambda done, total: None,
    on_loss: Callable[[float], None] = lambda loss: None,
    init: str | Path | None = None,
    on_init: Callable[[TakenWeights], None] = lambda taken: None,
    images: Folders | None = None,
) -> TrainSummary:
    """Train into the folder ``out``, or resume the training there; a finished one is left unchanged.

    ``recipe``: also its name, a YAML file, or nested settings. ``data``: also a run folder, or a json whose images are in the
    folders ``images``, by default beside it; see :func:`open_training_set`.
    ``init``: folder of another detector whose weights a new training starts from; ``on_init`` gets what was taken.
    ``text_embeddings``: float (C, D) by label, for a classifier of kind text. With several devices every process runs this
    function; the first one writes and reports. ``on_progress`` is called with the steps done and the total, and before it
    ``on_loss`` with the mean loss of the last steps. Raises :class:`MosaicFusionError` for errors that the user can correct;
    checkpoints are kept.
    """
    recipe, options, out = as_recipe(recipe), options_of(TrainOptions, options), as_path(out)
    data = data if isinstance(data, TrainingSet) else open_training_set(recipe.data, data, images)
    schedule = recipe.schedule
    fabric = make_fabric(DeviceOptions.of(options.device).device, options.devices, options.nodes, schedule.precision)
    parts = count_parts(schedule, fabric.world_size)
    start_weights = None if init is None else _open_start(as_path(init), out)
    checkpoint_every = options.checkpoint_every or min(1000, max(1, schedule.iterations // 10))
    with training_folder(out, recipe, data.classes) if fabric.is_global_zero else nullcontext():
        fabric.barrier()
        training = _Training(fabric, recipe, data, out, text_embeddings, start_weights)
        if training.taken is not None and fabric.is_global_zero:
            on_init(training.taken)
        start = training.resume()
        if fabric.is_global_zero and start < schedule.iterations:
            write_recipe(out, recipe)
        batches = _batches(fabric, recipe, data, start, schedule.batch_size // parts, options.workers)
        log = TrainLog(out, start, options.log_every, schedule.batch_size, fabric.is_global_zero)
        report = on_progress if fabric.is_global_zero else lambda done, total: None
        report(start, schedule.iterations)
        for step in range(start, schedule.iterations):
            with _memory_advice(schedule, step):
                training.take_step(step, batches, log)
            done = step + 1
            log.end_step(done, learning_rate(schedule, step))
            if done % checkpoint_every == 0 or done == schedule.iterations:
                training.save(done)
            if fabric.is_global_zero:
                on_loss(log.recent_loss)
            report(done, schedule.iterations)
        log.close()
    return TrainSummary(
        out, schedule.iterations - start, schedule.iterations, log.seconds, log.data_share, log.last_loss
    )


class _Training:
    """The state of a training: weights, averaged weights, optimizer and loss scale."""

    def __init__(
        self,
        fabric: Any,
        recipe: Recipe,
        data: TrainingSet,
        out: Path,
        text_embeddings: Tensor | None,
        start: StartWeights | None,
    ) -> None:
        self.fabric, self.recipe, self.out = fabric, recipe, out
        digest = data.digest if text_embeddings is None else fingerprint(data.digest, text_embeddings.tolist())
        self.digest = digest if start is None else fingerprint(digest, start.digest)
        self.state = load_state(out)
        _seed(recipe.seed, 0)
        fresh = self.state is None  # otherwise the weights come from the checkpoint
        raw = build_detector(recipe, data.classes, text_embeddings, data.image_counts, load_weights=fresh).train()
        self.taken: TakenWeights | None = None
        if fresh and start is not None:
            self.taken = take_weights(start, raw, recipe, data.classes, text_embeddings)
        self.model, self.optimizer = fabric.setup(raw, make_optimizer(recipe.schedule, raw))
        # The parts of last.ckpt by name; the model is without Fabric's wrapper.
        self.parts: dict[str, Any] = {"model": raw, "optimizer": self.optimizer, "precision": fabric.strategy.precision}
        if recipe.schedule.ema is not None:
            average = get_ema_multi_avg_fn(recipe.schedule.ema)  # type: ignore[no-untyped-call]
            self.parts["averaged"] = AveragedModel(raw, multi_avg_fn=average, use_buffers=True)

    def resume(self) -> int:
        """Restore the state of the checkpoint; return the step to continue with."""
        state, self.state = self.state, None
        if state is None:
            return 0
        if state["data"] != self.digest:
            raise MosaicFusionError(
                f"the training set or the text embeddings have changed since the last checkpoint of {self.out}, or the weights "
                "of --init; give another --out, or the original ones"
            )
        if not 0 <= state["step"] <= self.recipe.schedule.iterations:
            raise damaged_state(self.out, f"step {state['step']} of {self.recipe.schedule.iterations}")
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise damaged_state(self.out, first_line(error, 120)) from None
        require_finite(self.model.state_dict(), self.out / STATE, "delete it to start again from step 0")
        if self.fabric.is_global_zero and not (self.out / WEIGHTS).exists():
            self._save_weights()
        return int(state["step"])

    def save(self, done: int) -> None:
        """Write a checkpoint after ``done`` steps."""
        if self.fabric.is_global_zero:
            self._save_weights()  # first: a training interrupted between the two repeats the last steps
            state = {name: part.state_dict() for name, part in self.parts.items()}
            save_state(self.out, {"step": done, "data": self.digest, **state})
        self.fabric.barrier()

    def _save_weights(self) -> None:
        save_weights(self.out, self.parts["averaged"].module if "averaged" in self.parts else self.parts["model"])

    def take_step(self, step: int, batches: Iterator[Batch], log: TrainLog) -> None:
        """Take one optimizer step over all parts of the batch."""
        fabric, model, schedule = self.fabric, self.model, self.recipe.schedule
        set_learning_rate(self.optimizer, learning_rate(schedule, step))
        for part in range(schedule.accumulate):
            with log.waiting():
                images, targets = next(batches)
            # Seed after loading: the first batch of a loader takes a number from the generator, later ones do not.
            _seed(self.recipe.seed, 1 + step, fabric.global_rank, part)
            with fabric.no_backward_sync(model, enabled=part + 1 < schedule.accumulate):
                losses = model(*_to_device(fabric, images, targets))
                log.add(losses, schedule.accumulate)
                _require_finite(log.latest, step)
                fabric.backward(sum(losses.values()) / schedule.accumulate)
        if schedule.clip_norm is not None:
            # Non-finite gradients are handled by the loss scale of 16-mixed.
            fabric.clip_gradients(model, self.optimizer, max_norm=schedule.clip_norm, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if "averaged" in self.parts:
            self.parts["averaged"].update_parameters(self.parts["model"])


def _open_start(init: Path, out: Path) -> StartWeights:
    if init.resolve() == out.resolve():
        raise MosaicFusionError(
            f"--init {init} is the folder of this training itself; leave it out, or give another --out"
        )
    return StartWeights.open(init)


def count_parts(schedule: ScheduleConfig, devices: int) -> int:
    """Number of parts that a batch is split into; raises :class:`MosaicFusionError` unless they are equal."""
    parts = devices * schedule.accumulate
    if schedule.batch_size % parts:
        raise MosaicFusionError(
            f"schedule.batch_size={schedule.batch_size} cannot be split over {devices} devices and "
            f"accumulate={schedule.accumulate}; give a multiple of {parts}"
        )
    return parts


def _batches(
    fabric: Any, recipe: Recipe, data: TrainingSet, start: int, batch_size: int, workers: int
) -> Iterator[Batch]:
    """Endless stream of this process' parts of the batches, from step ``start`` on."""
    consumed = start * recipe.schedule.batch_size
    sampler = RepeatFactorSampler(data.factors, recipe.seed, consumed, fabric.global_rank, fabric.world_size)
    return iter(make_loader(data.samples, sampler, batch_size, workers, fabric.device.type == "cuda"))


def _to_device(fabric: Any, images: list[Tensor], targets: list[dict[str, Any]]) -> Batch:
    """Move a batch to the device: images uint8 -> float32 in [0, 1], targets reduced to their tensors."""
    tensors = [{k: v for k, v in target.items() if isinstance(v, Tensor)} for target in targets]
    pixels = [fabric.to_device(image).float() / 255 for image in images]
    return pixels, fabric.to_device(tensors)


def _seed(*parts: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence(parts).generate_state(1)[0]))


def _require_finite(losses: Mapping[str, float], step: int) -> None:
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    if wrong:
        raise MosaicFusionError(
            f"{', '.join(wrong)} is not finite at step {step}; lower schedule.learning_rate, set schedule.clip_norm=1, or "
            "replace schedule.precision=16-mixed by bf16-mixed. The last checkpoint is kept"
        )


@contextmanager
def _memory_advice(schedule: ScheduleConfig, step: int) -> Iterator[None]:
    """Turn out-of-memory errors into advice on the settings to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # CUDA's own error is a RuntimeError
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "allocate memory" not in str(error):
            raise
        raise MosaicFusionError(
            f"out of memory at step {step}; try --set schedule.accumulate={2 * schedule.accumulate} (the same batch in "
            f"smaller parts), a lower schedule.batch_size (now {schedule.batch_size}), or smaller images by "
            "data.train_sides_px, data.max_side_px or data.jitter_side_px. The last checkpoint is kept"
        ) from None
