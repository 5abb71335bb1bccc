"""A small judge: a classifier of categories, trained on the latents of compositions only.

    python -m miniature.recognise --work build/mini

The last shard is held out: its accuracy is the upper limit for generated images.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from miniature.dataset import LatentTable
from miniature.vocabulary import load_vocabulary


class Judge(nn.Module):
    """Latents float32 (B, 8, 16, 16) -> logits (B, categories)."""

    def __init__(self, categories: int, channels: int = 8, width: int = 64) -> None:
        super().__init__()

        def stage(inside: int, outside: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inside, outside, 3, padding=1), nn.GroupNorm(8, outside), nn.SiLU(), nn.MaxPool2d(2)
            )

        self.stages = nn.Sequential(
            stage(channels, width), stage(width, 2 * width), nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.SiLU()
        )
        self.head = nn.Linear(2 * width * 16, categories)

    def forward(self, latents: Tensor) -> Tensor:
        features = self.stages(latents)  # (B, 128, 4, 4)
        logits: Tensor = self.head(functional.dropout(features.flatten(1), 0.3, self.training))
        return logits


def soften(latents: Tensor, generator: torch.Generator) -> Tensor:
    """Blur and add noise of random strength: generated images are softer than compositions, which must not count."""
    strength = torch.rand(len(latents), 1, 1, 1, generator=generator)
    blurred = functional.avg_pool2d(functional.pad(latents, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    noise = torch.randn(latents.shape, generator=generator)
    return torch.lerp(latents, blurred, strength) + 0.2 * strength * noise


def train_judge(table: LatentTable, categories: int, held_out: int, epochs: int = 8) -> tuple[Judge, float]:
    """Train the judge; return it and its accuracy on the last `held_out` samples of the table."""
    torch.manual_seed(0)
    judge = Judge(categories)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    labels = torch.from_numpy(table.categories).long()
    count = len(table) - held_out
    steps = epochs * count // 64
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        numbers = rng.integers(count, size=64)
        latents = soften(torch.from_numpy(table.latents[numbers]).float(), generator)
        loss = functional.cross_entropy(judge(latents), labels[numbers], label_smoothing=0.05)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    judge.eval()
    return judge, top1(judge, torch.from_numpy(table.latents[count:]).float(), labels[count:])


@torch.no_grad()
def top1(judge: Judge, latents: Tensor, labels: Tensor) -> float:
    """Accuracy of the judge, in [0, 1]."""
    predicted = torch.cat([judge(part).argmax(1) for part in torch.split(latents, 256)])
    return (predicted == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = [entry.prompt_name for entry in load_vocabulary()]
    table = LatentTable(arguments.work / "latents")
    judge, ceiling = train_judge(table, len(names), held_out=2048)
    torch.save({"judge": judge.state_dict(), "names": names, "ceiling": ceiling}, arguments.work / "judge.pt")
    print(f"top-1 on held-out compositions {ceiling:.3f}")


if __name__ == "__main__":
    main()
