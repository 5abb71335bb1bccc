"""Run an experiment, run by run: make its data, train, evaluate, write the result.

exp/runs/mask_rcnn-synthetic-seed0/
  recipe.yaml, ...          the folder of `mosaicfusion train`
  detections-val.json       detections on the validation images
  scores-val.json           their AP
  result.json               the result, written last

Each step is resumed after an interruption: existing canvases, merged sets and results are kept, and a training continues from
its last checkpoint to the same weights. Several processes may work on one folder: each takes the next run that is free.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from mosaicfusion.detectors.config import Recipe, load_recipe
from mosaicfusion.detectors.data.training_set import open_training_set
from mosaicfusion.detectors.evaluation.folder import evaluate_folder
from mosaicfusion.detectors.models.text_embeddings import embed_text
from mosaicfusion.detectors.training.train import TrainOptions, train
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.experiment.counts import count_instances
from mosaicfusion.experiment.data import Bar, TrainingData
from mosaicfusion.experiment.plan import FULL, RECIPES, ExperimentScale, Run
from mosaicfusion.experiment.result import RESULT, Metrics, Result, read_result, write_result
from mosaicfusion.experiment.styles import score_styles
from mosaicfusion.files.writable import check_writable
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.identity import fingerprint
from mosaicfusion.models.clip import find_clip
from mosaicfusion.models.hub import digest

if TYPE_CHECKING:
    from mosaicfusion.detectors.data.training_set import TrainingSet
    from mosaicfusion.detectors.evaluation.evaluate import IouType, Scores

_CHECKPOINT_EVERY = 100
_BATCH = 8


@dataclass(frozen=True)
class Experiment:
    """Settings of an experiment. ``data``: folder of MiniLVIS; ``out``: of the experiment; ``workers``: to load images."""

    data: Path
    out: Path
    scale: ExperimentScale = FULL
    device: str = "auto"
    workers: int = 1

    @property
    def training_data(self) -> TrainingData:
        """The training sets; raises :class:`MosaicFusionError` if MiniLVIS is missing."""
        return TrainingData(self.data, self.out, self.scale.canvases, self.device)

    def folder(self, run: Run) -> Path:
        """Folder of a run."""
        return self.out / "runs" / run.name

    def recipe(self, run: Run) -> Recipe:
        """Recipe of a run, with its seed and the settings of its variant."""
        recipe = load_recipe(RECIPES[run.detector])
        iterations = max(1, round(recipe.schedule.iterations * run.variant.steps * self.scale.iterations))
        changes = {
            "seed": run.seed,
            "data": {"copy_paste": run.variant.copy_paste, "synthetic_share": run.variant.share},
            "schedule": {"iterations": iterations},
        }
        return load_recipe(RECIPES[run.detector], changes)

    def identity(self, run: Run, data: TrainingData) -> str:
        """16 hex digits over everything that determines a run's result."""
        recipe = self.recipe(run)
        clip = [] if recipe.backbone.clip is None else [digest(find_clip(recipe.backbone.clip))]
        return fingerprint([recipe.model_dump(mode="json"), data.identity(run), data.digests["val.json"], *clip])

    def finished(self, run: Run, data: TrainingData) -> Result | None:
        """The result of a run, None if it is not done; raises :class:`MosaicFusionError` if it is damaged or of another plan."""
        path = self.folder(run) / RESULT
        if not path.exists():
            return None
        result = read_result(path)
        if result.identity != self.identity(run, data):
            raise MosaicFusionError(
                f"{path} is of another recipe, scale, model or data set; give another --out, or move that folder away"
            )
        return result


def run_all(
    experiment: Experiment, runs: Sequence[Run], bar: Bar, on_result: Callable[[Result, bool], None]
) -> Iterator[Run]:
    """Run the ``runs`` that have no result yet, in order, and yield those that another process works on.

    ``on_result`` is called with each result and True if it is new. Raises :class:`MosaicFusionError`; finished work is kept.
    """
    check_writable(experiment.out)
    data = experiment.training_data
    existing = [experiment.finished(run, data) for run in runs]  # all are checked before hours are spent
    for result in existing:
        if result is not None:
            on_result(result, False)
    for number, run in enumerate(runs, start=1):
        if existing[number - 1] is not None:
            continue
        with _lock(experiment, run) as free:
            if not free:
                yield run
                continue
            result = experiment.finished(run, data)
            fresh = result is None
            on_result(result or _run(experiment, run, data, _numbered(bar, run, number, len(runs))), fresh)


def _run(experiment: Experiment, run: Run, data: TrainingData, bar: Bar) -> Result:
    folder, recipe, identity = experiment.folder(run), experiment.recipe(run), experiment.identity(run, data)
    train_json = data.make(run, bar)
    training_set = open_training_set(recipe.data, train_json, data.root)
    cost = _train(experiment, run, recipe, training_set, bar)
    start = time.process_time()
    scores, styles = _evaluate(experiment, run, bar)
    cost["evaluate_cpu_s"] = round(time.process_time() - start, 1)
    data_counts = count_instances(train_json)
    result = Result(
        run=run.name,
        detector=run.detector,
        variant=run.variant.name,
        title=run.variant.title,
        seed=run.seed,
        identity=identity,
        metrics={kind: one.metrics for kind, one in scores.items()},
        styles=styles,
        per_category=scores["mask"].per_category,
        data=data_counts,
        cost=cost,
        recipe=recipe.model_dump(mode="json"),
        scale=asdict(experiment.scale),
        date=date.today().isoformat(),
        versions={name: version(name) for name in ("mosaicfusion", "torch", "torchvision", "timm")},
        looks=_looks(recipe, training_set, data_counts["real_images"]),
    )
    write_result(folder / RESULT, result)
    return result


def _looks(recipe: Recipe, data: TrainingSet, real_images: int) -> float | None:
    """The number of times that a training sees a real image on average; None without real images."""
    samples = recipe.schedule.iterations * recipe.schedule.batch_size * (1 - data.synthetic_share)
    return round(samples / real_images, 2) if real_images else None


def _train(experiment: Experiment, run: Run, recipe: Recipe, data: TrainingSet, bar: Bar) -> dict[str, float]:
    """Train, and return the cost; for an interrupted training, that of its last part."""
    embeddings, clip = None, recipe.backbone.clip
    if clip is not None:
        vocabulary = vocabulary_for(clip, None, experiment.data / "train.json")
        path = experiment.out / "data" / f"text-{digest(find_clip(clip))}.safetensors"
        embeddings = embed_text(path, list(vocabulary), clip, device=experiment.device).by_label(data.classes)
    options = TrainOptions(experiment.device, workers=experiment.workers, checkpoint_every=_CHECKPOINT_EVERY)
    start = time.process_time()
    with bar("training", "step") as show:
        summary = train(recipe, data, experiment.folder(run), options, embeddings, show)
    cpu = time.process_time() - start
    return {
        "steps": summary.steps,
        "train_s": round(summary.seconds, 1),
        "train_cpu_s": round(cpu, 1),  # without worker processes
        "data_share": round(summary.data_share, 4),
    }


def _evaluate(experiment: Experiment, run: Run, bar: Bar) -> tuple[dict[IouType, Scores], dict[str, Metrics]]:
    """Scores by kind, and mask AP by style."""
    val = experiment.data / "val.json"
    with bar("detecting", "image") as show:
        result = evaluate_folder(
            experiment.folder(run),
            val,
            experiment.data,
            open_vocabulary=run.open_vocabulary,
            device=experiment.device,
            workers=experiment.workers,
            batch_size=_BATCH,
            on_image=show,
        )
    return result.scores, score_styles(val, result.detections_path)


@contextmanager
def _lock(experiment: Experiment, run: Run) -> Iterator[bool]:
    """Lock the run until the end of the block or of the process; False if another process works on it."""
    path = experiment.out / "runs" / f".{run.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _numbered(bar: Bar, run: Run, number: int, total: int) -> Bar:
    """A bar whose text names the run."""
    return lambda doing, unit: bar(f"run {number} of {total}, {run.name}: {doing}", unit)
