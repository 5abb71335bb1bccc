"""Stage 8: share of generated images that the judge recognises.

python -m miniature.evaluate --work build/mini --seeds 2                       # the averaged weights of the checkpoint
python -m miniature.evaluate --work build/mini --pipeline src/mosaicfusion/models/bundled/weights --names cat,bus
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from miniature.export import load_pipeline
from miniature.recognise import Judge
from miniature.sheet import BACKGROUNDS, sample_latents
from miniature.vocabulary import load_vocabulary


@torch.no_grad()
def recognised(
    pipeline: StableDiffusionPipeline, judge: Judge, names: list[str], requested: list[str], seeds: int, guidance: float
) -> dict[str, float]:
    """Requested name -> share of its images that the judge classifies correctly, in [0, 1]."""
    prompts, labels = [], []
    for seed in range(seeds):
        for i, name in enumerate(requested):
            prompts.append(f"a photo of a single {name} on {BACKGROUNDS[(i + seed) % len(BACKGROUNDS)]}")
            labels.append(names.index(name))
    guesses = judge(sample_latents(pipeline, prompts, seed=0, guidance=guidance, steps=20)).argmax(1)
    hits: dict[str, list[bool]] = defaultdict(list)
    for label, guess in zip(labels, guesses.tolist(), strict=True):
        hits[names[label]].append(label == guess)
    return {name: sum(correct) / len(correct) for name, correct in hits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--pipeline", type=Path, help="a pipeline folder; else the checkpoint of the work folder")
    parser.add_argument("--base", type=Path, default=Path("src/mosaicfusion/models/bundled/weights"))
    parser.add_argument("--names", help="comma-separated; else all of the vocabulary")
    parser.add_argument("--seeds", type=int, default=2, help="images per category")
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.pipeline:
        pipeline = StableDiffusionPipeline.from_pretrained(arguments.pipeline, torch_dtype=torch.float32)
    else:
        pipeline = load_pipeline(arguments.work, arguments.base)
    saved = torch.load(arguments.work / "judge.pt", weights_only=True)
    judge = Judge(len(saved["names"]))
    judge.load_state_dict(saved["judge"])
    requested = arguments.names.split(",") if arguments.names else [entry.prompt_name for entry in load_vocabulary()]
    shares = recognised(pipeline, judge.eval(), saved["names"], requested, arguments.seeds, arguments.guidance)
    mean = sum(shares.values()) / len(shares)
    print(json.dumps({"top1": round(mean, 4), "ceiling": round(saved["ceiling"], 4), "names": shares}))


if __name__ == "__main__":
    main()
