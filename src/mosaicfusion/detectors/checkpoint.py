"""A trained detector on disk.

exp/mf/
  recipe.yaml          settings of the detector and its training
  classes.json         categories by label
  model.safetensors    weights for inference; averaged weights if the recipe has an EMA
  last.ckpt            state to resume training from: weights, optimizer, step
  log.jsonl            losses, learning rate and times of the training
  train.lock           empty; locked by a running training

Evaluation and prediction read weights from ``model.safetensors`` only, so folders from unknown sources are safe to use.
``last.ckpt`` is read by training only, with ``weights_only=True``: tensors and plain values, no code.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicfusion.arguments import checked
from mosaicfusion.detectors.config import Recipe, load_recipe
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.files.remote import as_path
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.models.weights import require_finite
from mosaicfusion.profiling import stage

if TYPE_CHECKING:
    from torch import Tensor, nn

_DIGEST = "digest"
RECIPE, CLASSES, WEIGHTS, STATE, LOG = "recipe.yaml", "classes.json", "model.safetensors", "last.ckpt", "log.jsonl"


@dataclass(frozen=True)
class Detector:
    """A detector ready for inference: ``model`` in evaluation mode on its device."""

    model: nn.Module
    recipe: Recipe
    classes: ClassList


def read_classes(folder: Path) -> ClassList:
    """Read the classes of a checkpoint."""
    path = folder / CLASSES
    try:
        return ClassList.from_json(json.loads(path.read_text(encoding="utf-8")), str(folder))
    except (OSError, ValueError, RecursionError) as error:
        raise MosaicFusionError(f"cannot read {path}: {first_line(error)}") from None


def save_weights(folder: Path, model: nn.Module) -> None:
    """Write ``model.safetensors`` atomically, with a digest of its numbers among the metadata."""
    from safetensors.torch import save

    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    write_atomic(folder / WEIGHTS, save(weights, metadata={_DIGEST: _digest(save(weights))}))


def read_weights(folder: Path) -> tuple[dict[str, Tensor], str]:
    """Read ``model.safetensors``: its tensors by name, and a digest of its numbers, 16 hex digits.

    Raises :class:`MosaicFusionError` if it cannot be read, is damaged, or holds NaN or infinity.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
        weights = load(data)
        metadata = json.loads(data[8 : 8 + _header_size(data)]).get("__metadata__", {})
    except (OSError, SafetensorError) as error:
        raise MosaicFusionError(f"{path} is damaged ({first_line(error, 160)}); train it again") from None
    digest = _digest(data)
    if metadata.get(_DIGEST, digest) != digest:  # earlier versions wrote none
        raise MosaicFusionError(f"{path} is damaged: its numbers are not those that were written; train it again")
    require_finite(weights, path, "train it again")
    return weights, digest


def _digest(safetensors: bytes) -> str:
    return hashlib.sha256(memoryview(safetensors)[8 + _header_size(safetensors) :]).hexdigest()[:16]


def _header_size(safetensors: bytes) -> int:
    return int.from_bytes(safetensors[:8], "little")


@checked
@stage("load the detector", log=True)
def load_detector(folder: str | Path, device: DeviceOptions | Mapping[str, Any] | str = "auto") -> Detector:
    """Load the detector trained into ``folder``; ``device``: a name, or options of which only the device counts.

    Raises :class:`MosaicFusionError` if it is missing or damaged.
    """
    from mosaicfusion.detectors.registry import build_detector
    from mosaicfusion.models.device import resolve_device

    folder, target = as_path(folder), resolve_device(device)
    if not (folder / RECIPE).exists():
        raise MosaicFusionError(f"{folder} holds no detector (no {RECIPE}); `mosaicfusion train` makes one")
    if not (folder / WEIGHTS).exists():
        raise MosaicFusionError(
            f"{folder} has no weights yet; wait until `mosaicfusion train` reaches its first checkpoint"
        )
    recipe, classes = load_recipe(folder / RECIPE), read_classes(folder)
    state, _ = read_weights(folder)
    try:
        embeddings = next((value for name, value in state.items() if name.endswith(".embeddings")), None)
        # The counts of the federated loss are among the weights.
        model = build_detector(recipe, classes, embeddings, [1] * len(classes), load_weights=False)
        model.load_state_dict(state)
    except RuntimeError as error:
        raise MosaicFusionError(
            f"{folder / WEIGHTS} belongs to another recipe ({first_line(error, 160)}); train it again"
        ) from None
    return Detector(model.to(target).eval(), recipe, classes)


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write ``last.ckpt`` atomically. ``state``: tensors and plain values."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(folder / STATE, buffer.getvalue())


def load_state(folder: Path) -> dict[str, Any] | None:
    """Read ``last.ckpt`` onto the CPU; None if there is none yet."""
    import torch

    path = folder / STATE
    if not path.exists():
        return None
    try:
        data = path.read_bytes()
        if (wrong := zipfile.ZipFile(io.BytesIO(data)).testzip()) is not None:  # torch.load compares no checksum
            raise zipfile.BadZipFile(f"the checksum of {wrong} is wrong")
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile and torch each raise errors of many kinds for damaged files
        raise damaged_state(folder, first_line(error, 120)) from None
    if not isinstance(state, dict) or "data" not in state or type(state.get("step")) is not int:
        raise damaged_state(folder, "it is not the checkpoint of a training")
    return state


def damaged_state(folder: Path, reason: str) -> MosaicFusionError:
    """The error for a ``last.ckpt`` that cannot be resumed."""
    return MosaicFusionError(f"{folder / STATE} cannot be resumed ({reason}); delete it to start again from step 0")
