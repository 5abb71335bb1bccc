"""A random CLIP of a few thousand weights in open_clip's format, with the miniature's tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from mosaicfusion.models.hub import BUNDLED_FOLDER

_MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 1365,
        "hf_tokenizer_name": "tiny",  # any name: the tokenizer in the model's folder is used
        "width": 16,
        "heads": 2,
        "layers": 1,
        "pool_type": "eos",
        "eos_id": 1130,
    },
}


_TRANSFORMER = {"layers": 1, "width": 8, "head_width": 4, "patch_size": 8}


def save_clip(folder: Path, side_px: int = 32, transformer: bool = False) -> Path:
    """Save a CLIP for images of ``side_px`` pixels a side.

    The image tower is a ResNet with attention pooling, such as that of the miniature's CLIP, or a vision ``transformer``.
    """
    shutil.copytree(BUNDLED_FOLDER / "weights" / "tokenizer", folder)
    torch.manual_seed(0)
    config = {
        **_MODEL,
        "vision_cfg": {**_MODEL["vision_cfg"], **(_TRANSFORMER if transformer else {}), "image_size": side_px},
    }
    weights = open_clip.CLIP(**config).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return folder
