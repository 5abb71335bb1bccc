"""The training loop: denoise latents given their captions. The loss has no information on the object's location."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from miniature.captions import caption
from miniature.dataset import LatentTable
from miniature.ema import Ema
from miniature.loop import LOG_EVERY_S, append_json_line, catch_sigterm, save_state
from miniature.optim import make_optimizers


@dataclass(frozen=True)
class TrainConfig:
    """Training settings. ``lr``: of AdamW; Muon has 2 lr, word embeddings 3 lr. Counts are samples unless named steps."""

    batch_size: int = 64
    lr: float = 5e-4
    warmup_steps: int = 30
    ema_decay: float = 0.998
    caption_dropout: float = 0.1
    grad_clip: float = 1.0
    cooldown_samples: int = 0
    seed: int = 0


def noise_scheduler() -> DDPMScheduler:
    return DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        clip_sample=False,
        steps_offset=1,
    )


def sample_timesteps(count: int, generator: torch.Generator) -> Tensor:
    """Timesteps int64 (count,) in [0, 1000): half uniform, half logit-normal around the middle, where shapes form."""
    uniform = torch.rand(count, generator=generator)
    middle = torch.sigmoid(0.3 + torch.randn(count, generator=generator))
    mixed = torch.where(torch.arange(count) % 2 == 0, uniform, middle)
    return (mixed * 1000).long().clamp(max=999)


class Trainer:
    """The state of a training: models, averages, optimizers, random states, counters."""

    def __init__(
        self,
        unet: nn.Module,
        text_encoder: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        names: list[str],
        table: LatentTable,
        config: TrainConfig,
        predict: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        """``names``: prompt names by category number; ``predict``: the U-Net's call, for example compiled."""
        self.unet, self.text_encoder, self.tokenizer = unet, text_encoder, tokenizer
        self.names, self.table, self.config = names, table, config
        self.predict = predict or (lambda x, t, context: unet(x, t, context, return_dict=False)[0])
        self.parameters = [*unet.parameters(), *text_encoder.parameters()]
        self.optimizers = make_optimizers(unet, text_encoder, config.lr)
        self.base_lrs = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.ema = Ema(self.parameters, config.ema_decay)
        self.rng = np.random.default_rng(config.seed)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.alphas_cumprod = noise_scheduler().alphas_cumprod
        self.step, self.samples = 0, 0
        self.cooldown_from: int | None = None

    def lr_factor(self) -> float:
        """Factor of the learning rate: linear warm-up, then constant; from `cooldown_from` on linear to zero."""
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup_steps))
        if self.cooldown_from is None:
            return warm
        return warm * max(0.0, 1 - (self.samples - self.cooldown_from) / self.config.cooldown_samples)

    def batch(self) -> tuple[Tensor, Tensor]:
        """A random batch: latents float32 (B, C, H, W) and token ids int64 (B, 32); a tenth of the captions is empty."""
        numbers = self.rng.integers(len(self.table), size=self.config.batch_size)
        texts = []
        for number in numbers:
            name = self.names[self.table.categories[number]]
            text = caption(self.rng, name, str(self.table.backgrounds[number]))
            texts.append("" if self.rng.random() < self.config.caption_dropout else text)
        tokens = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return torch.from_numpy(self.table.latents[numbers]).float(), tokens

    def train_step(self) -> float:
        """Update all weights once; return the mean squared error of the velocity (Salimans and Ho, 2022)."""
        factor = self.lr_factor()
        for optimizer, base_lrs in zip(self.optimizers, self.base_lrs, strict=True):
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr * factor
        latents, tokens = self.batch()
        timesteps = sample_timesteps(len(latents), self.generator)
        noise = torch.randn(latents.shape, generator=self.generator)
        signal = self.alphas_cumprod[timesteps].sqrt().view(-1, 1, 1, 1)
        sigma = (1 - self.alphas_cumprod[timesteps]).sqrt().view(-1, 1, 1, 1)
        noisy = (signal * latents + sigma * noise).contiguous(memory_format=torch.channels_last)
        velocity = signal * noise - sigma * latents

        context = self.text_encoder(tokens).last_hidden_state  # (B, 32, 128)
        loss = (self.predict(noisy, timesteps, context) - velocity).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.config.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.ema.update()
        self.step += 1
        self.samples += len(latents)
        return float(loss.item())

    def state_dict(self) -> dict[str, Any]:
        return {
            "unet": self.unet.state_dict(),
            "text_encoder": self.text_encoder.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "rng": self.rng.bit_generator.state,
            "generator": self.generator.get_state(),
            "step": self.step,
            "samples": self.samples,
            "cooldown_from": self.cooldown_from,
            "shards": self.table.shards,
            "names": self.names,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["names"] != self.names:
            raise ValueError("the checkpoint was trained with another vocabulary; use a new work folder")
        self.unet.load_state_dict(state["unet"])
        self.text_encoder.load_state_dict(state["text_encoder"])
        self.ema.load_state_dict(state["ema"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.rng.bit_generator.state = state["rng"]
        self.generator.set_state(state["generator"])
        self.step, self.samples, self.cooldown_from = state["step"], state["samples"], state["cooldown_from"]


def save_checkpoint(path: Path, trainer: Trainer) -> None:
    save_state(path, trainer.state_dict())


def run(trainer: Trainer, work: Path, until_samples: float, until_time: float, save_every_s: float = 300) -> None:
    """Train with a log line about every minute and checkpoints every ``save_every_s`` and at the end.

    It ends at a number of samples, at a time (of time.time()) or at SIGTERM, whichever comes first.
    """
    checkpoint, log = work / "checkpoint.pt", work / "log.jsonl"
    losses: list[float] = []
    saved = logged = time.time()
    with catch_sigterm() as stop_requested:
        while not stop_requested() and trainer.samples < until_samples and time.time() < until_time:
            losses.append(trainer.train_step())
            now = time.time()
            if now - logged > LOG_EVERY_S:
                append_json_line(log, log_record(trainer, losses, now - logged))
                losses, logged = [], now
            if now - saved > save_every_s:
                save_checkpoint(checkpoint, trainer)
                saved = now
    save_checkpoint(checkpoint, trainer)


def log_record(trainer: Trainer, losses: list[float], seconds: float) -> dict[str, float]:
    """A line of the log: mean loss and speed since the last one."""
    return {
        "step": trainer.step,
        "samples": trainer.samples,
        "loss": round(float(np.mean(losses)), 5),
        "samples_per_s": round(len(losses) * trainer.config.batch_size / seconds, 2),
        "lr": trainer.config.lr * trainer.lr_factor(),
    }
