"""The check that optional packages are installed, before a command does any work."""

from __future__ import annotations

from importlib.util import find_spec

from mosaicfusion.errors import MosaicFusionError

TRAINING = ("torchvision", "lightning", "faster_coco_eval", "filelock")
EVALUATING = ("torchvision", "faster_coco_eval", "filelock")
DETECTING = ("torchvision", "filelock")
EMBEDDING = ("torchvision", "open_clip")


def require_train_extra(modules: tuple[str, ...]) -> None:
    """Raise :class:`MosaicFusionError` with the command that installs them if one of these modules is missing."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise MosaicFusionError(
            f'{", ".join(missing)} cannot be found, which detectors need; pip install "mosaicfusion[train]"'
        )
