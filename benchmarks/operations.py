"""Floating point operations of a canvas, counted for the U-Nets of real models without running them.

    python -m benchmarks.operations

U-Nets with the published configurations on torch's `meta` device, which computes shapes only; region sizes, steps and guidance of
the presets. Seconds are estimates: operations divided by two fifths of a device's peak in float16.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from mosaicfusion.generation.presets import make_config
from mosaicfusion.layouts.grid import GridLayout

SD1: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
SDXL: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
PRESETS = {"paper": ("Stable Diffusion 1.x", SD1), "fast": ("Stable Diffusion 1.x", SD1), "sdxl": ("SDXL", SDXL)}
DEVICES = {"T4": 65e12, "RTX 4090": 165e12, "A100": 312e12, "H100": 990e12}  # peak of dense float16, per second
SUSTAINED = 0.4


def operations(unet_config: dict[str, Any], region_hw_px: tuple[int, int]) -> tuple[float, float]:
    """Operations of one U-Net call on one region, and millions of parameters."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**unet_config)
        latents = torch.zeros(1, 4, *(side // 8 for side in region_hw_px))
        text = torch.zeros(1, 77, unet_config["cross_attention_dim"])
        added = {"text_embeds": torch.zeros(1, 1280), "time_ids": torch.zeros(1, 6)}
        with FlopCounterMode(display=False) as counter:
            unet(latents, torch.zeros(()), text, added_cond_kwargs=added)
    return counter.get_total_flops(), sum(parameter.numel() for parameter in unet.parameters()) / 1e6


def main() -> None:
    print("| preset | U-Net | one call | a canvas of 4 regions | " + " | ".join(DEVICES) + " |")
    print("|---|---|---|---|" + "---|" * len(DEVICES))
    for preset, (name, unet_config) in PRESETS.items():
        config = make_config(preset)
        assert isinstance(config.layout, GridLayout)
        call, millions = operations(unet_config, config.layout.region_hw_px)
        canvas = call * 4 * config.sampling.steps * (2 if config.sampling.guidance > 1 else 1)
        seconds = [f"{canvas / (SUSTAINED * peak):.1f} s" for peak in DEVICES.values()]
        print(
            f"| `{preset}` | {name}, {millions:.0f} M | {call / 1e12:.2f} T | {canvas / 1e12:.0f} T | {' | '.join(seconds)} |"
        )


if __name__ == "__main__":
    main()
