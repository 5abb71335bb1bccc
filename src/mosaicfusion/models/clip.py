"""CLIP models: images and texts as vectors of one space (Radford et al. 2021), through open_clip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.models.hub import BUNDLED_FOLDER

_CONFIG = "open_clip_config.json"
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
_TOKENIZER = (
    "tokenizer*.json",
    "*_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "config.json",
)
_BATCH = 64


class OpenClip:
    """An open_clip model. ``name``: as the user gave it; ``logit_scale``: what similarities are multiplied by."""

    def __init__(self, name: str, model: Any, preprocess: Any, tokenizer: Any, device: Any) -> None:
        self.name = name
        self.logit_scale = min(100.0, float(model.logit_scale.detach().exp()))  # CLIP is trained with this bound
        self._model, self._preprocess, self._tokenizer, self._device = model, preprocess, tokenizer, device

    @property
    def image_tower(self) -> Any:
        """What sees, a torch module in evaluation mode, without the texts' part."""
        return self._model.visual

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """uint8 RGB (H, W, 3) each, of any sizes -> float32 (N, D) of length 1. The whole image is seen, squashed."""
        from PIL import Image

        return self._encode(self._model.encode_image, images, lambda image: self._preprocess(Image.fromarray(image)))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts -> float32 (N, D) of length 1; what is too long for the model is cut off."""
        return self._encode(self._model.encode_text, texts, lambda text: self._tokenizer([text])[0])

    def _encode(self, encode: Any, items: Sequence[Any], prepare: Any) -> NDArray[np.float32]:
        import torch

        vectors = []
        with torch.inference_mode():
            for start in range(0, len(items), _BATCH):
                batch = torch.stack([prepare(item) for item in items[start : start + _BATCH]]).to(self._device)
                vectors.append(encode(batch, normalize=True).float().cpu().numpy())
        return np.concatenate(vectors)


def load_clip(name: str = "mini", device: str = "auto") -> OpenClip:
    """``mini`` (bundled), a folder in open_clip's format, a hub id as owner/name, or open_clip's name:pretrained.

    Raises :class:`MosaicFusionError` when open_clip is not installed, a file is missing or the weights are pickles.
    """
    from mosaicfusion.models.device import resolve_device

    target = resolve_device(device)
    try:
        import open_clip
    except ImportError:
        raise MosaicFusionError('CLIP needs open_clip; pip install "mosaicfusion[quality]"') from None
    from safetensors import SafetensorError

    folder = find_clip(name)
    source = f"local-dir:{folder}"
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            source, device=target, image_resize_mode="squash", require_pretrained=True
        )
        tokenizer = open_clip.get_tokenizer(source)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise MosaicFusionError(f"cannot load the CLIP model of {folder}: {first_line(error)}") from None
    return OpenClip(name, model.eval(), preprocess, tokenizer, target)


def find_clip(name: str) -> Path:
    """The local folder of a CLIP model, checked to hold a config and safetensors; see :func:`load_clip`."""
    if name == "mini":
        folder = BUNDLED_FOLDER / "clip"
    elif _is_folder(name):
        folder = Path(name)
    else:
        folder = _download(name.removeprefix("hub:"))
    held = {path.name for path in folder.iterdir()}
    if _CONFIG not in held:
        raise MosaicFusionError(f"{folder} has no {_CONFIG}; a model in open_clip's format is needed")
    if not held & {*_WEIGHTS}:
        raise MosaicFusionError(
            f"{folder} has no {_WEIGHTS[0]}; weights are loaded as safetensors only, since pickles can run code"
        )
    return folder


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # a name longer than the file system takes
        return False


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    hub_id = _hub_id(name)
    try:
        return Path(snapshot_download(hub_id, allow_patterns=[_CONFIG, *_WEIGHTS, *_TOKENIZER]))
    except (OSError, HfHubHTTPError, ValueError) as error:
        raise MosaicFusionError(
            f"cannot get {hub_id} from the model hub; check the name and the network, or give a local folder\n"
            f"  (the hub client says: {first_line(error, 160)})"
        ) from None


def _hub_id(name: str) -> str:
    """``owner/name`` as it is; ``ViT-B-32:laion2b_s34b_b79k`` -> where open_clip says that these weights lie."""
    import open_clip

    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        return name
    model, _, tag = name.partition(":")
    config = open_clip.get_pretrained_cfg(model, tag) if tag else {}
    if not config.get("hf_hub"):
        raise MosaicFusionError(
            f"there is no CLIP model {name!r:.120}; give 'mini', a folder, a hub id as owner/name, or name:pretrained as in "
            "ViT-B-32:laion2b_s34b_b79k"
        )
    return str(config["hf_hub"]).strip("/")
