"""Stage 5: write the averaged weights of the checkpoint as a diffusers pipeline folder, in half precision.

    python -m miniature.export --work build/mini --out build/mini/pipeline
    python -m miniature.export --work build/mini --out src/mosaicfusion/models/bundled/weights \\
        --categories src/mosaicfusion/models/bundled/categories.json
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderTiny,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTokenizer

from miniature.loop import load_checkpoint
from miniature.trainer import noise_scheduler
from miniature.vocabulary import category_records, load_vocabulary, write_json_lines_list


def load_averages(state: dict[str, Any], unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
    """Copy the averaged weights of a checkpoint into the models, in the trainer's order of parameters."""
    averages = state["ema"]["averages"]
    parameters = [*unet.parameters(), *text_encoder.parameters()]
    with torch.no_grad():
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.copy_(average)


def load_pipeline(work: Path, base: Path) -> StableDiffusionPipeline:
    """Load the pipeline of a checkpoint in float32, with tokenizer, autoencoder and configurations from `base`."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32)
    text_encoder = CLIPTextModel.from_pretrained(base / "text_encoder", torch_dtype=torch.float32)
    load_averages(load_checkpoint(work / "checkpoint.pt"), unet, text_encoder)
    return StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(base / "vae", torch_dtype=torch.float32),
        text_encoder=text_encoder,
        tokenizer=CLIPTokenizer.from_pretrained(base / "tokenizer"),
        unet=unet,
        scheduler=DPMSolverMultistepScheduler.from_config(noise_scheduler().config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def drop_local_paths(folder: Path) -> None:
    """Remove the local paths that configurations store."""
    for path in folder.rglob("*.json"):
        fields = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(fields, dict) and fields.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def swap_in(fresh: Path, out: Path, mark: str) -> None:
    """Move a finished folder to `out`; an existing `out` is replaced only if it has the file `mark`."""
    if out.exists():
        if not (out / mark).exists():
            raise FileExistsError(f"{out} exists and has no {mark}; choose another --out")
        shutil.rmtree(out)
    fresh.rename(out)


def export(pipeline: StableDiffusionPipeline, out: Path) -> None:
    """Write the pipeline in half precision beside `out`, then swap it in."""
    fresh = out.with_name(out.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(fresh, safe_serialization=True)
    drop_local_paths(fresh)
    swap_in(fresh, out, "model_index.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--base", type=Path, default=Path("src/mosaicfusion/models/bundled/weights"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--categories", type=Path, help="also write the category records here")
    arguments = parser.parse_args()
    export(load_pipeline(arguments.work, arguments.base), arguments.out)
    if arguments.categories:
        write_json_lines_list(category_records(load_vocabulary()), arguments.categories)


if __name__ == "__main__":
    main()
