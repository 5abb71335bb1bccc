"""Training: learning, exact resuming, and errors that keep the last checkpoint."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mosaicfusion.detectors.checkpoint import load_detector
from mosaicfusion.detectors.config import Recipe, load_recipe
from mosaicfusion.detectors.data.samples import DetectionSample, SampleSet
from mosaicfusion.detectors.data.training_set import TrainingSet, open_training_set
from mosaicfusion.detectors.training import train as module
from mosaicfusion.detectors.training.folder import training_folder
from mosaicfusion.detectors.training.train import TrainOptions, train
from mosaicfusion.errors import MosaicFusionError

OPTIONS = TrainOptions(device="cpu", workers=0, checkpoint_every=2, log_every=2)


def recipe(**schedule: Any) -> Recipe:
    return load_recipe(
        "mini_lite0",
        {
            "heads": {"proposals_train": [40, 20], "rois_per_image": 16},
            "data": {"train_sides_px": [32, 48], "test_side_px": 48, "max_side_px": 64},
            "schedule": {"iterations": 4, "batch_size": 2, "warmup_iterations": 2, **schedule},
        },
    )


@pytest.fixture(scope="module")
def data(request: pytest.FixtureRequest) -> TrainingSet:
    folder: Path = request.getfixturevalue("tiny_lvis")
    return open_training_set(recipe().data, folder / "train.json", folder / "images")


class InterruptedByTestError(Exception):
    pass


def interrupt_at(step: int) -> Any:
    def show(done: int, total: int) -> None:
        if done == step:
            raise InterruptedByTestError

    return show


def same(a: Path, b: Path) -> bool:
    one, other = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_interrupted_training_ends_in_the_same_weights(data: TrainingSet, tmp_path: Path) -> None:
    chosen = recipe(ema=0.5, clip_norm=1.0)
    whole = train(chosen, data, tmp_path / "whole", OPTIONS)
    with pytest.raises(InterruptedByTestError):
        train(chosen, data, tmp_path / "halves", OPTIONS, on_progress=interrupt_at(3))  # a step after a checkpoint
    rest = train(chosen, data, tmp_path / "halves", OPTIONS)
    assert (whole.steps, rest.steps) == (4, 2)
    assert same(tmp_path / "whole", tmp_path / "halves")
    lines = [json.loads(line) for line in (tmp_path / "halves" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert lines[1]["loss"] == json.loads((tmp_path / "whole" / "log.jsonl").read_text().splitlines()[1])["loss"]
    assert {"loss_mask", "learning_rate", "step_s", "data_s", "images_per_s"} <= lines[0].keys()
    # A finished one is left as it is.
    before = (tmp_path / "halves" / "last.ckpt").read_bytes()
    assert train(chosen, data, tmp_path / "halves", OPTIONS).steps == 0
    assert (tmp_path / "halves" / "last.ckpt").read_bytes() == before


def test_a_training_with_a_pool_resumes_exactly(tiny_lvis: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_lvis / "images", tmp_path / "pool")
    shutil.copy(tiny_lvis / "val.json", tmp_path / "pool/val.json")
    settings = {"pool": str(tmp_path / "pool/val.json"), "paste_probability": 1, "ignore_edge": 0.05}
    chosen = Recipe.of({**recipe().model_dump(), "data": {**recipe().data.model_dump(), **settings}})
    data = open_training_set(chosen, tiny_lvis / "train.json", tiny_lvis / "images")
    train(chosen, data, tmp_path / "whole", OPTIONS)
    with pytest.raises(InterruptedByTestError):
        train(chosen, data, tmp_path / "halves", OPTIONS, on_progress=interrupt_at(3))
    train(chosen, data, tmp_path / "halves", OPTIONS)
    assert same(tmp_path / "whole", tmp_path / "halves")


@pytest.mark.slow
def test_workers_and_the_seed(data: TrainingSet, tmp_path: Path) -> None:
    chosen = recipe(iterations=1)
    train(chosen, data, tmp_path / "a", OPTIONS)
    train(chosen, data, tmp_path / "b", TrainOptions(device="cpu", workers=1))
    train(chosen.model_copy(update={"seed": 1}), data, tmp_path / "c", OPTIONS)
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


def test_parts_of_a_batch_and_averaged_weights(data: TrainingSet, tmp_path: Path) -> None:
    summary = train(recipe(iterations=2, accumulate=2, ema=0.9, optimizer="sgd"), data, tmp_path / "a", OPTIONS)
    assert summary.loss is not None
    state = torch.load(tmp_path / "a" / "last.ckpt", weights_only=True)
    used = load_file(tmp_path / "a" / "model.safetensors")
    name = "rpn.head.cls_logits.weight"
    assert not torch.equal(state["model"][name], used[name])
    assert torch.equal(state["averaged"][f"module.{name}"], used[name])


def test_the_checkpoint_is_the_detector(data: TrainingSet, tmp_path: Path) -> None:
    train(recipe(iterations=1), data, tmp_path / "a", OPTIONS)
    detector = load_detector(tmp_path / "a", "cpu")
    assert detector.recipe == recipe(iterations=1)
    assert detector.classes.names == ["disc", "square", "bar"]
    saved = load_file(tmp_path / "a" / "model.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in detector.model.state_dict().items())
    assert not detector.model.training


def test_another_training_is_refused(data: TrainingSet, tmp_path: Path) -> None:
    train(recipe(iterations=1), data, tmp_path, OPTIONS)
    with pytest.raises(MosaicFusionError, match=r"schedule\.learning_rate: 0\.001 -> 0\.5"):
        train(recipe(iterations=1, learning_rate=0.5), data, tmp_path, OPTIONS)
    with pytest.raises(MosaicFusionError, match="the training set or the text embeddings have changed"):
        train(recipe(iterations=1), TrainingSet(**{**vars(data), "digest": "0"}), tmp_path, OPTIONS)


def test_a_longer_training_ends_in_the_weights_of_one_in_one_go(data: TrainingSet, tmp_path: Path) -> None:
    """A step of decay inside of the longer part, and averaged weights."""
    common: dict[str, Any] = {"decay": "step", "ema": 0.5}
    train(recipe(iterations=2, steps=[2], **common), data, tmp_path / "parts", OPTIONS)
    with pytest.raises(MosaicFusionError, match="learning rates would differ"):
        train(recipe(iterations=4, steps=[1, 3], **common), data, tmp_path / "parts", OPTIONS)
    longer = recipe(iterations=4, steps=[3], **common)
    with pytest.raises(MosaicFusionError, match="the training set or the text embeddings have changed"):
        train(longer, TrainingSet(**{**vars(data), "digest": "0"}), tmp_path / "parts", OPTIONS)
    assert load_recipe(tmp_path / "parts/recipe.yaml").schedule.iterations == 2  # as long as nothing continued
    assert train(longer, data, tmp_path / "parts", OPTIONS).steps == 2
    train(longer, data, tmp_path / "whole", OPTIONS)
    assert same(tmp_path / "parts", tmp_path / "whole")
    assert load_recipe(tmp_path / "parts/recipe.yaml") == longer


def test_a_training_without_a_checkpoint_is_replaced(data: TrainingSet, tmp_path: Path) -> None:
    for chosen in (recipe(), recipe(learning_rate=0.5)):
        with training_folder(tmp_path, chosen, data.classes):
            assert load_recipe(tmp_path / "recipe.yaml") == chosen


def test_two_trainings_in_one_folder_do_not_mix(data: TrainingSet, tmp_path: Path) -> None:
    with training_folder(tmp_path, recipe(), data.classes):
        with pytest.raises(MosaicFusionError, match="another process trains into"):
            train(recipe(learning_rate=0.5), data, tmp_path, OPTIONS)
        assert load_recipe(tmp_path / "recipe.yaml") == recipe()
    (tmp_path / ".last.ckpt.abc.tmp").write_text("of a killed process")
    assert train(recipe(iterations=1), data, tmp_path, OPTIONS).steps == 1
    assert not list(tmp_path.glob(".*.tmp"))


def test_weights_that_could_not_be_written_are_written_later(
    data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(recipe(), data, tmp_path / "whole", OPTIONS)

    def full(*_: object) -> None:
        raise MosaicFusionError("No space left on device")

    for name in ("save_weights", "save_state"):
        with monkeypatch.context() as patch, pytest.raises(MosaicFusionError, match="No space left"):
            patch.setattr(module, name, full)
            train(recipe(), data, tmp_path / name, OPTIONS)
        train(recipe(), data, tmp_path / name, OPTIONS)
        assert same(tmp_path / name, tmp_path / "whole")
    (tmp_path / "whole/model.safetensors").unlink()
    assert train(recipe(), data, tmp_path / "whole", OPTIONS).steps == 0
    assert same(tmp_path / "whole", tmp_path / "save_state")


@pytest.mark.parametrize("damage", ["text", {}, {"step": -5}, {"step": 9}, {"model": {}}, {"optimizer": None}])
def test_a_damaged_checkpoint_is_named(damage: Any, data: TrainingSet, tmp_path: Path) -> None:
    train(recipe(iterations=1), data, tmp_path, OPTIONS)
    path = tmp_path / "last.ckpt"
    if damage == "text":
        path.write_text("no checkpoint")
    else:
        torch.save({**torch.load(path, weights_only=True), **damage} if damage else {}, path)
    with pytest.raises(MosaicFusionError, match=r"last\.ckpt cannot be resumed \(.*delete it"):
        train(recipe(iterations=1), data, tmp_path, OPTIONS)


def test_foreign_files_stay(data: TrainingSet, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(MosaicFusionError, match="holds files but no training"):
        train(recipe(), data, tmp_path, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("can't allocate memory: 9")]
)
def test_out_of_memory_names_the_settings_to_lower(error: Exception, data: TrainingSet, tmp_path: Path) -> None:
    class TooLargeSamples(SampleSet):
        def __len__(self) -> int:
            return len(data.samples)

        def load(self, index: int) -> DetectionSample:
            raise error

    with pytest.raises(MosaicFusionError, match=r"out of memory at step 0; try --set schedule\.accumulate=2"):
        train(recipe(), replace(data, samples=TooLargeSamples()), tmp_path, OPTIONS)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(data: TrainingSet, tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match=r"not finite at step .*learning_rate"):
        train(recipe(iterations=50, learning_rate=1e12, warmup_iterations=0, clip_norm=None), data, tmp_path, OPTIONS)


def test_damaged_checkpoints_are_named(data: TrainingSet, tmp_path: Path) -> None:
    train(recipe(iterations=1), data, tmp_path, OPTIONS)
    for name, call in (
        ("model.safetensors", lambda: load_detector(tmp_path, "cpu")),
        ("last.ckpt", lambda: train(recipe(iterations=1), data, tmp_path, OPTIONS)),
    ):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:1000])
        with pytest.raises(MosaicFusionError, match=name):
            call()


def test_one_wrong_bit_of_a_checkpoint_is_found(data: TrainingSet, tmp_path: Path) -> None:
    """The files can still be read, but hold other numbers."""
    train(recipe(iterations=1), data, tmp_path, OPTIONS)
    for name, call, message in (
        ("model.safetensors", lambda: load_detector(tmp_path, "cpu"), "its numbers are not those that were written"),
        ("last.ckpt", lambda: train(recipe(iterations=1), data, tmp_path, OPTIONS), "cannot be resumed"),
    ):
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MosaicFusionError, match=rf"{name} .*{message}"):
            call()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, data: TrainingSet, tmp_path: Path) -> None:
    train(recipe(iterations=1), data, tmp_path, OPTIONS)
    weights = load_file(tmp_path / "model.safetensors")
    next(weight for weight in weights.values() if weight.is_floating_point()).fill_(value)
    save_file(weights, tmp_path / "model.safetensors")  # without a digest, as earlier versions wrote it
    with pytest.raises(MosaicFusionError, match=r"has NaN or infinite weights in 1 of .*; train it again"):
        load_detector(tmp_path, "cpu")


def test_a_batch_that_cannot_be_split_is_refused(data: TrainingSet, tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match="a CPU cannot train in 16-mixed"):
        train(recipe(precision="16-mixed"), data, tmp_path, OPTIONS)
    with pytest.raises(MosaicFusionError, match="cannot be split over 3 devices"):
        module.count_parts(recipe().schedule, 3)
