"""An interrupted training is resumed exactly, and no mask reaches it."""

import ast
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

import miniature
from miniature.compose import Composition
from miniature.dataset import LatentTable
from miniature.export import load_averages
from miniature.latents import write_shard
from miniature.loop import load_checkpoint
from miniature.optim import orthogonalise
from miniature.trainer import TrainConfig, Trainer, run, sample_timesteps, save_checkpoint

NAMES = ["cat", "alarm clock"]
CONFIG = TrainConfig(batch_size=4, lr=1e-3, warmup_steps=2)


class WordTokenizer:
    """The part of a tokenizer that training uses, with words numbered by hash."""

    def __call__(self, texts: list[str], **_: object) -> "WordTokenizer":
        rows = [[2 + sum(word.encode()) % 60 for word in text.split()] for text in texts]
        self.input_ids = torch.tensor([(row + [1] * 32)[:32] for row in rows])
        return self


@pytest.fixture
def work(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "latents": rng.normal(size=(16, 4, 8, 8)).astype(np.float16),
        "categories": rng.integers(2, size=16).astype(np.int16),
        "backgrounds": np.array(["green grass", "a blue sky"] * 8),
    }
    write_shard(tmp_path / "latents" / "shard-00000.npz", arrays)
    return tmp_path


def tiny_trainer(work: Path, config: TrainConfig = CONFIG) -> Trainer:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=64,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=0,
            num_attention_heads=2,
            max_position_embeddings=32,
        )
    )
    return Trainer(unet, text, WordTokenizer(), NAMES, LatentTable(work / "latents"), config)


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.parameters])


def test_resumed_training_equals_uninterrupted(work: Path) -> None:
    straight = tiny_trainer(work)
    losses = [straight.train_step() for _ in range(6)]

    interrupted = tiny_trainer(work)
    first = [interrupted.train_step() for _ in range(3)]
    save_checkpoint(work / "checkpoint.pt", interrupted)
    resumed = tiny_trainer(work)
    resumed.load_state_dict(load_checkpoint(work / "checkpoint.pt"))
    assert (resumed.step, resumed.samples) == (3, 12)
    second = [resumed.train_step() for _ in range(3)]

    assert first + second == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(weights(resumed), weights(straight))
    torch.testing.assert_close(resumed.ema.averages, straight.ema.averages)


def test_checkpoint_of_another_vocabulary_is_refused(work: Path) -> None:
    trainer = tiny_trainer(work)
    state = trainer.state_dict() | {"names": ["dog", "alarm clock"]}
    with pytest.raises(ValueError, match="another vocabulary"):
        trainer.load_state_dict(state)


def test_cooldown_fades_the_learning_rate_out(work: Path) -> None:
    trainer = tiny_trainer(work, TrainConfig(batch_size=4, warmup_steps=2, cooldown_samples=40))
    assert trainer.lr_factor() == 0.5
    trainer.step, trainer.samples = 100, 400
    assert trainer.lr_factor() == 1
    trainer.cooldown_from = 400
    trainer.samples = 420
    assert trainer.lr_factor() == pytest.approx(0.5)
    trainer.samples = 440
    assert trainer.lr_factor() == 0


def test_run_stops_at_the_count_and_leaves_a_checkpoint(work: Path) -> None:
    trainer = tiny_trainer(work)
    run(trainer, work, until_samples=8, until_time=float("inf"))
    assert load_checkpoint(work / "checkpoint.pt")["samples"] == 8
    assert not list(work.glob("*.part"))


def test_sigterm_ends_the_run_after_a_whole_step(work: Path) -> None:
    trainer = tiny_trainer(work)
    train_step = trainer.train_step

    def step_and_signal() -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        return train_step()

    trainer.train_step = step_and_signal
    run(trainer, work, until_samples=1000, until_time=float("inf"))
    assert load_checkpoint(work / "checkpoint.pt")["step"] == 1


def test_export_takes_the_averages(work: Path) -> None:
    trainer = tiny_trainer(work)
    for _ in range(3):
        trainer.train_step()
    state = trainer.state_dict()
    fresh = tiny_trainer(work)
    load_averages(state, fresh.unet, fresh.text_encoder)
    torch.testing.assert_close([parameter.detach() for parameter in fresh.parameters], trainer.ema.averages)
    assert not torch.equal(weights(fresh), weights(trainer))


def test_missing_shards_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"miniature\.latents"):
        LatentTable(tmp_path)


def test_orthogonalise_flattens_singular_values() -> None:
    matrices = torch.randn(2, 6, 20, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.6 and values.max() < 1.25
    torch.testing.assert_close(orthogonalise(matrices.mT), orthogonalise(matrices).mT)


def test_timesteps_are_in_range_and_denser_in_the_middle() -> None:
    timesteps = sample_timesteps(4000, torch.Generator().manual_seed(0))
    assert timesteps.min() >= 0 and timesteps.max() <= 999
    middle = ((timesteps > 300) & (timesteps < 800)).float().mean()
    assert 0.5 < middle < 0.75


def imported_modules(file: Path) -> set[str]:
    """Every module a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def reachable(start: str) -> set[str]:
    """Names of the miniature modules imported by miniature.START, directly or indirectly, including itself."""
    folder = Path(miniature.__file__).parent
    found: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            imports = imported_modules(folder / f"{module}.py")
            waiting += [name.split(".")[1] for name in imports if name.startswith("miniature.")]
    return found


def test_no_mask_can_reach_the_loss() -> None:
    """Training imports no module that uses alpha, and its shards have none."""
    modules = reachable("train")
    assert {"trainer", "dataset", "loop"} <= modules
    assert not modules & {"compose", "pictures", "backgrounds", "assets", "latents"}
    folder = Path(miniature.__file__).parent
    for module in modules:
        tree = ast.parse((folder / f"{module}.py").read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        words = {word for name in names for word in name.lower().split("_")}
        assert not words & {"mask", "masks", "alpha", "segmentation", "box", "boxes"}, module


def test_shards_contain_no_mask(work: Path) -> None:
    with np.load(work / "latents" / "shard-00000.npz") as arrays:
        assert set(arrays) == {"latents", "categories", "backgrounds"}
    assert "alpha" in Composition.__dataclass_fields__  # it exists, for evaluation: it is dropped on purpose
