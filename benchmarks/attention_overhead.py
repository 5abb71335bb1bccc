"""Cost of reading the attention: the same sampling with and without the recorder, in turns, in one process.

    python -m benchmarks.attention_overhead                  # the bundled miniature
    python -m benchmarks.attention_overhead --size sd14 --batches 1,2,4 --turns 2 --json benchmarks/results/sd14_step.json
    python -m benchmarks.attention_overhead --size sd14 --dtype bfloat16 --turns 1

`sd14` is one step of a U-Net of Stable Diffusion 1.4's size with random weights (6 GB) on one region of 256 x 384 pixels. Prints
the ratio of wall times (best of the turns) and peak memory (a new process for each, since a peak never falls).
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.machine import machine, peak_mib
from benchmarks.mini_model.common import write_results
from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.attention import AttentionRecorder
from mosaicfusion.diffusion.family import Conditioning
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import bind, denoise, make_prompts
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan


class NoRecorder:
    """Recorder that records nothing."""

    def start_step(self, step: int, total: int) -> None: ...

    def set_target(self, *_: Any) -> None: ...

    def clear_target(self) -> None: ...


def sd14_sized_model(dtype: torch.dtype) -> Any:
    """The parts of a model that `denoise` uses, with a U-Net of the published configuration of Stable Diffusion 1.x."""
    from diffusers import DDIMScheduler, UNet2DConditionModel

    mini = load_model(find_model("mini"), "cpu", "float32")
    torch.manual_seed(0)
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    unet = unet.eval().requires_grad_(False).to(dtype=dtype, memory_format=torch.channels_last)

    def encode(prompts: list[str]) -> Conditioning:
        return Conditioning(torch.randn(len(prompts), 77, 768, generator=torch.Generator().manual_seed(1)).to(dtype))

    def predict(tile: torch.Tensor, timestep: torch.Tensor, text: Conditioning, _: Any) -> torch.Tensor:
        outputs = unet(tile.to(dtype), timestep, encoder_hidden_states=text.embeddings, return_dict=False)
        noise: torch.Tensor = outputs[0].float()
        return noise

    def scheduler(_: str, steps: int, cells: int | None) -> Any:
        made = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
        made.set_timesteps(steps)
        return made

    return SimpleNamespace(
        denoiser=unet,
        part="unet",
        embeds_guidance=False,
        text_place="apart",
        tokenizer=mini.tokenizer,
        device=torch.device("cpu"),
        latent_factor=8,
        latent_channels=4,
        encode=encode,
        encode_negative=lambda prompt, count: encode([prompt] * count),
        predict=predict,
        scheduler=scheduler,
    )


def setting(size: str, dtype: str) -> tuple[Any, RunConfig]:
    """The model and configuration of a size."""
    if size == "mini":
        return load_model(find_model("mini"), "cpu", dtype), make_config("mini")
    layout = {"grids": ("1x1",), "region_hw_px": (256, 384)}
    return sd14_sized_model(getattr(torch, dtype)), RunConfig.parse({"layout": layout, "sampling": {"steps": 1}})


def sample(model: Any, config: RunConfig, batch: int, record: bool) -> float:
    """Seconds for one batch of canvases."""
    vocabulary = vocabulary_for("mini")
    plan = Plan(config, vocabulary, vocabulary, model.latent_factor)
    specs = [plan.spec(i) for i in range(batch)]
    prompts = [make_prompts(model, spec) for spec in specs]
    start = time.perf_counter()
    with torch.inference_mode():
        if record:
            with AttentionRecorder(model, config.attention) as recorder:
                denoise(model, specs, bind(model, specs, prompts, config, recorder), config, recorder)
        else:
            nothing: Any = NoRecorder()
            denoise(model, specs, bind(model, specs, prompts, config, nothing), config, nothing)
    return time.perf_counter() - start


def measure_peak(args: argparse.Namespace, batch: int, record: bool) -> float:
    """Peak resident memory of one batch in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.attention_overhead", "--size", args.size, "--dtype", args.dtype]
    command += ["--batches", str(batch), "--peak", "with" if record else "without"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure(args: argparse.Namespace, model: Any, config: RunConfig, batch: int) -> dict[str, Any]:
    """Seconds and MiB without and with the recorder."""
    sample(model, config, batch, record=True)  # warm up
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(args.turns):
        for record in (False, True):
            seconds[record].append(sample(model, config, batch, record))
    plain, recorded = (min(seconds[record]) for record in (False, True))
    plain_mib, recorded_mib = (measure_peak(args, batch, record) for record in (False, True))
    return {
        "size": args.size,
        "dtype": args.dtype,
        "batch": batch,
        "seconds": [round(plain, 3), round(recorded, 3)],
        "peak_mib": [round(plain_mib), round(recorded_mib)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("mini", "sd14"), default="mini")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batches", default="1", help="canvases per call, such as 1,2,4")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", choices=("with", "without"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    batches = [int(batch) for batch in args.batches.split(",")]
    model, config = setting(args.size, args.dtype)
    if args.peak:
        sample(model, config, batches[0], args.peak == "with")
        print(peak_mib())
        return
    print(f"{datetime.date.today()}, {machine(f'{torch.get_num_threads()} threads, torch {torch.__version__}')}")
    print(
        "| U-Net | dtype | batch | time without | with | ratio | peak without | with |\n|---|---|---|---|---|---|---|---|"
    )
    rows = []
    for batch in batches:
        row = measure(args, model, config, batch)
        rows.append(row)
        (plain, recorded), (plain_mib, recorded_mib) = row["seconds"], row["peak_mib"]
        print(
            f"| {args.size} | {args.dtype} | {batch} | {plain:.2f} s | {recorded:.2f} s | {recorded / plain:.3f} "
            f"| {plain_mib} MiB | {recorded_mib} MiB |",
            flush=True,
        )
    write_results(args.json, {"threads": torch.get_num_threads(), "rows": rows})


if __name__ == "__main__":
    main()
