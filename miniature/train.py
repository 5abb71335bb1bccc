"""Stage 4: train the U-Net and the text encoder together; it can be stopped and resumed.

python -m miniature.train --work build/mini --hours 2
python -m miniature.train --work build/mini --cooldown-samples 30000     # anneal at the very end
"""

import argparse
import math
import time
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from miniature.dataset import LatentTable
from miniature.loop import load_checkpoint
from miniature.trainer import TrainConfig, Trainer, run
from miniature.vocabulary import load_vocabulary


def build_trainer(work: Path, pipeline: Path, config: TrainConfig, compiled: bool) -> Trainer:
    """Make a trainer from the checkpoint in `work` if there is one, else from the weights in `pipeline`."""
    checkpoint = work / "checkpoint.pt"
    state = load_checkpoint(checkpoint) if checkpoint.exists() else None
    unet = UNet2DConditionModel.from_pretrained(pipeline / "unet", torch_dtype=torch.float32)
    # With 256 positions attention is small: the backward pass of flash attention takes a third longer on a CPU.
    unet.set_attn_processor(AttnProcessor())
    unet.to(memory_format=torch.channels_last).train()
    text_encoder = CLIPTextModel.from_pretrained(pipeline / "text_encoder", torch_dtype=torch.float32).train()
    tokenizer = CLIPTokenizer.from_pretrained(pipeline / "tokenizer")
    names = [entry.prompt_name for entry in load_vocabulary()]
    predict = torch.compile(lambda x, t, context: unet(x, t, context, return_dict=False)[0]) if compiled else None
    # A restart may find more shards than before: more images in the same order.
    trainer = Trainer(unet, text_encoder, tokenizer, names, LatentTable(work / "latents"), config, predict)
    if state is not None:
        trainer.load_state_dict(state)
    return trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument(
        "--pipeline", type=Path, default=Path("src/mosaicfusion/models/bundled/weights"), help="initial weights"
    )
    parser.add_argument("--hours", type=float, default=math.inf)
    parser.add_argument("--until-samples", type=float, default=math.inf)
    parser.add_argument("--cooldown-samples", type=int, default=0, help="fade the learning rate to 0, then stop")
    parser.add_argument("--batch-size", type=int, default=TrainConfig.batch_size)
    parser.add_argument("--lr", type=float, default=TrainConfig.lr)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="a fifth faster, after minutes of compilation")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    config = TrainConfig(batch_size=arguments.batch_size, lr=arguments.lr, cooldown_samples=arguments.cooldown_samples)
    trainer = build_trainer(arguments.work, arguments.pipeline, config, arguments.compile)
    until_samples = arguments.until_samples
    if config.cooldown_samples:
        if trainer.cooldown_from is None:
            trainer.cooldown_from = trainer.samples
        until_samples = trainer.cooldown_from + config.cooldown_samples
    else:
        trainer.cooldown_from = None
    run(trainer, arguments.work, until_samples, time.time() + 3600 * arguments.hours)


if __name__ == "__main__":
    main()
