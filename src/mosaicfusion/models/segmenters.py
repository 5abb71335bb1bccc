"""Segmenters prompted with boxes, to compare or replace masks: SAM, SAM 2 and GrabCut behind one protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.arguments import checked
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.models.device import DeviceOptions, resolve_device
from mosaicfusion.models.hub import hub_advice, is_folder, is_hub_id
from mosaicfusion.models.weights import require_finite
from mosaicfusion.profiling import stage

if TYPE_CHECKING:
    from PIL.Image import Image

AnnotatorName = Literal["sam", "sam2", "grabcut"]
Box = Sequence[float]  # left, top, width, height in pixels of the image, as COCO has it

DEFAULT_MODELS = {"sam": "facebook/sam-vit-huge", "sam2": "facebook/sam2.1-hiera-large"}


class Annotator(Protocol):
    """The protocol of a segmenter.

    ``model``: a name for people. ``identity``: plain JSON; annotators with equal identities give equal masks, up to rounding.
    """

    name: AnnotatorName
    model: str
    identity: dict[str, str]

    def segment(self, image: NDArray[np.uint8], boxes_xywh: Sequence[Box]) -> NDArray[np.bool_]:
        """Segment boxes: uint8 RGB (H, W, 3) and N boxes of positive size within it -> masks, bool (N, H, W)."""
        ...


@checked
@stage("load the annotator", log=True)
def load_annotator(
    name: AnnotatorName, model: str | None = None, device: DeviceOptions | Mapping[str, Any] | str = "auto"
) -> Annotator:
    """Load SAM, SAM 2 or GrabCut.

    ``model``: a folder in transformers format or a hub id, safetensors only; the largest published one if left out. GrabCut
    takes none. ``device`` as in :func:`mosaicfusion.generation.generate.generate`. Raises :class:`MosaicFusionError`.
    """
    if name != "grabcut":
        return Sam(name, model or DEFAULT_MODELS[name], device)
    if model is not None:
        raise MosaicFusionError(
            f"grabcut has no weights, but --model {model} was given; leave it out or take sam or sam2"
        )
    return GrabCut()


def as_annotator(annotator: Annotator | AnnotatorName) -> Annotator:
    """An annotator as it is, or the one of this name with its default model."""
    return load_annotator(annotator) if isinstance(annotator, str) else annotator


class GrabCut:
    """OpenCV's GrabCut (Rother et al., SIGGRAPH 2004): colour models and a graph cut, no weights.

    Its input is the box with half its size around it, which is enough to learn the background's colours.
    """

    name: AnnotatorName = "grabcut"

    def __init__(self, iterations: int = 5) -> None:
        self.iterations = iterations
        self.model = f"OpenCV {cv2.__version__}"
        self.identity = {"annotator": self.name, "opencv": cv2.__version__, "iterations": str(iterations)}

    def segment(self, image: NDArray[np.uint8], boxes_xywh: Sequence[Box]) -> NDArray[np.bool_]:
        """See :class:`Annotator`. A box whose colours cannot be separated is returned as its own mask."""
        masks = np.zeros((len(boxes_xywh), *image.shape[:2]), np.bool_)
        with ThreadPoolExecutor(max(1, min(len(boxes_xywh), os.cpu_count() or 1))) as pool:
            list(pool.map(lambda mask, box: self._cut(image, box, mask), masks, boxes_xywh))
        return masks

    def _cut(self, image: NDArray[np.uint8], box_xywh: Box, mask: NDArray[np.bool_]) -> None:
        """Fill in one mask, (H, W)."""
        left, top, width, height = (round(value) for value in box_xywh)
        window = np.s_[
            max(0, top - height // 2) : top + height + height // 2,
            max(0, left - width // 2) : left + width + width // 2,
        ]
        crop, labels = np.ascontiguousarray(image[window]), np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
        labels[top : top + height, left : left + width] = cv2.GC_PR_FGD
        labels = np.ascontiguousarray(labels[window])
        if labels.all():  # the box fills the image: take its rim as background
            labels[[0, -1]] = labels[:, [0, -1]] = cv2.GC_BGD
        cv2.setRNGSeed(0)  # of this thread: the colour models start with k-means
        try:
            cv2.grabCut(
                crop, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), self.iterations, cv2.GC_INIT_WITH_MASK
            )
        except cv2.error:  # fewer pixels inside or outside than the colour models have parts
            labels[:] = 0
            mask[top : top + height, left : left + width] = True
        mask[window] |= (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


class Sam:
    """Segment Anything (Kirillov et al. 2023) or SAM 2 (Ravi et al. 2024) of transformers, one mask per box."""

    def __init__(
        self, name: Literal["sam", "sam2"], model: str, device: DeviceOptions | Mapping[str, Any] | str = "auto"
    ) -> None:
        self.name: AnnotatorName = name
        self.model = model
        self.device = resolve_device(device)
        self._network, self._processor = _load_sam(name, model)
        self._network.to(self.device)
        self.identity = {"annotator": name, "weights": _digest(self._network)}

    def segment(self, image: NDArray[np.uint8], boxes_xywh: Sequence[Box]) -> NDArray[np.bool_]:
        """See :class:`Annotator`. The image is encoded once, and all boxes go through the mask decoder together."""
        import torch

        if not boxes_xywh:
            return np.zeros((0, *image.shape[:2]), np.bool_)
        boxes_xyxy = [[x, y, x + width, y + height] for x, y, width, height in boxes_xywh]
        inputs = self._processor(images=_pillow(image), input_boxes=[boxes_xyxy], return_tensors="pt")
        tensors = {key: inputs[key].to(self.device, torch.float32) for key in ("pixel_values", "input_boxes")}
        with torch.inference_mode():
            logits = self._network(**tensors, multimask_output=False).pred_masks.cpu()  # (1, N, 1, h, w)
        sizes = [
            inputs[key] for key in ("original_sizes", "reshaped_input_sizes") if key in inputs
        ]  # SAM 2 pads nothing
        (masks,) = self._processor.post_process_masks(logits, *sizes)  # bool (N, 1, H, W)
        return np.asarray(masks[:, 0].numpy(), np.bool_)


def _load_sam(name: Literal["sam", "sam2"], model: str) -> tuple[Any, Any]:
    """Model and processor; raises :class:`MosaicFusionError` for missing or damaged files."""
    try:
        import torchvision  # noqa: F401  (the image processors need it)
    except ImportError:
        raise MosaicFusionError(f'{name} needs torchvision: pip install "mosaicfusion[quality]"') from None
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    classes = {
        "sam": (transformers.SamModel, transformers.SamProcessor),
        "sam2": (transformers.Sam2Model, transformers.Sam2Processor),
    }
    expected = classes[name][0].config_class.model_type
    in_folder = is_folder(Path(model))
    if not in_folder and not is_hub_id(model):
        raise MosaicFusionError(
            f"there is no folder {model:.300}; give one in transformers format, or a hub id such as owner/name"
        )
    try:
        config = transformers.AutoConfig.from_pretrained(model)
        # The published SAM 2 files are those of its video model, whose image part is the same.
        if config.model_type not in (expected, f"{expected}_video"):
            raise MosaicFusionError(
                f"{model} holds a {config.model_type} model, not {name}; see --annotator and --model"
            )
        loaded = classes[name][0].from_pretrained(model, use_safetensors=True, output_loading_info=True)
        processor = classes[name][1].from_pretrained(model)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        files = "config.json, preprocessor_config.json and safetensors are needed"
        raise MosaicFusionError(
            f"cannot load {name} from {model}; {files if in_folder else hub_advice(error)}\n"
            f"  (transformers says: {first_line(error, 160)})"
        ) from None
    network, report = loaded
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise MosaicFusionError(
            f"{model} lacks {len(missing)} weights of {name}, such as {missing[0]}; copy the model again"
        )
    require_finite(network.state_dict(), f"{name} of {model}")
    return network.eval().requires_grad_(False), processor


def _digest(network: Any) -> str:
    """16 hex digits over the names, shapes and sums of the weights, which identify the annotator."""
    from mosaicfusion.identity import fingerprint

    return fingerprint(
        [(key, list(value.shape), float(value.double().sum())) for key, value in network.state_dict().items()]
    )


def _pillow(image: NDArray[np.uint8]) -> Image:
    from PIL import Image

    return Image.fromarray(image)
