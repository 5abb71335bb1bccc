"""CLIP models, which map images and texts into one vector space (Radford et al. 2021), through open_clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.arguments import checked
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.models.device import DeviceOptions, resolve_device
from mosaicfusion.models.hub import BUNDLED_FOLDER, fetch, is_folder, is_hub_id
from mosaicfusion.models.weights import require_finite
from mosaicfusion.profiling import stage

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
    """An open_clip model. ``name``: as the user gave it; ``logit_scale``: factor of the similarities before a softmax."""

    def __init__(self, name: str, model: Any, preprocess: Any, tokenizer: Any, device: Any) -> None:
        self.name = name
        self.logit_scale = min(100.0, float(model.logit_scale.detach().exp()))  # CLIP is trained with this bound
        self._model, self._preprocess, self._tokenizer, self._device = model, preprocess, tokenizer, device

    @property
    def image_tower(self) -> Any:
        """The image encoder, a torch module in eval mode."""
        return self._model.visual

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Encode images, uint8 RGB (H, W, 3) of any sizes, as unit vectors, float32 (N, D). Images are squashed to a square."""
        from PIL import Image

        return self._encode(self._model.encode_image, images, lambda image: self._preprocess(Image.fromarray(image)))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts as unit vectors, float32 (N, D); texts that are too long for the model are cut off."""
        return self._encode(self._model.encode_text, texts, lambda text: self._tokenizer([text])[0])

    def _encode(self, encode: Any, items: Sequence[Any], prepare: Any) -> NDArray[np.float32]:
        import torch

        vectors = []
        with torch.inference_mode():
            for start in range(0, len(items), _BATCH):
                batch = torch.stack([prepare(item) for item in items[start : start + _BATCH]]).to(self._device)
                vectors.append(encode(batch, normalize=True).float().cpu().numpy())
        return np.concatenate(vectors)


@checked
@stage("load the CLIP model", log=True)
def load_clip(name: str = "mini", device: DeviceOptions | Mapping[str, Any] | str = "auto") -> OpenClip:
    """Load ``mini`` (bundled), a folder in open_clip's format, a hub id such as owner/name, or open_clip's name:pretrained.

    Raises :class:`MosaicFusionError` when open_clip is not installed, a file is missing or the weights are pickles.
    """
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
    require_finite(model.state_dict(), f"the CLIP model of {folder}")
    return OpenClip(name, model.eval(), preprocess, tokenizer, target)


def find_clip(name: str) -> Path:
    """The local folder of a CLIP model, checked to hold a config and safetensors; see :func:`load_clip`."""
    if name == "mini":
        folder = BUNDLED_FOLDER / "clip"
    elif is_folder(Path(name)):
        folder = Path(name)
    else:
        folder = fetch(_hub_id(name.removeprefix("hub:")), [_CONFIG, *_WEIGHTS, *_TOKENIZER])
    names = {path.name for path in folder.iterdir()}
    if _CONFIG not in names:
        raise MosaicFusionError(f"{folder} has no {_CONFIG}; a model in open_clip's format is needed")
    if not names & {*_WEIGHTS}:
        raise MosaicFusionError(
            f"{folder} has no {_WEIGHTS[0]}; weights are loaded as safetensors only, since pickles can run code"
        )
    return folder


def _hub_id(name: str) -> str:
    """The hub id of a name: ``owner/name`` itself, or the repository of open_clip's ``ViT-B-32:laion2b_s34b_b79k``."""
    import open_clip

    if is_hub_id(name):
        return name
    model, _, tag = name.partition(":")
    config = open_clip.get_pretrained_cfg(model, tag) if tag else {}
    if not config.get("hf_hub"):
        raise MosaicFusionError(
            f"there is no CLIP model {name!r:.120}; give 'mini', a folder, a hub id such as owner/name, or name:pretrained, "
            "such as ViT-B-32:laion2b_s34b_b79k"
        )
    return str(config["hf_hub"]).strip("/")
