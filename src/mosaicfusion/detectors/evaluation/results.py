"""Detections as COCO results, one record per detection, written while a model runs and read back for evaluation.

One record; the box is left, top, width and height in pixels of the image on disk::

    {"image_id": 391895, "category_id": 12, "bbox": [10.5, 20.25, 96.0, 80.5], "score": 0.61,
     "segmentation": {"size": [480, 640], "counts": "..."}}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_stream
from mosaicfusion.masks import rle

MAX_DETECTIONS = 300  # per image, all categories together: LVIS' limit
_MASK_THRESHOLD = 0.5


class Runs(msgspec.Struct, gc=False):
    """A mask as compressed run lengths; ``size``: height and width."""

    size: tuple[int, int]
    counts: str


class Detection(msgspec.Struct, gc=False, omit_defaults=True):
    """One record of a results file; ``segmentation`` is None in results of boxes only."""

    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    score: Annotated[float, msgspec.Meta(ge=0)]
    segmentation: Runs | None = None


def to_results(
    output: dict[str, Tensor],
    image_id: int,
    input_hw: tuple[int, int],
    image_hw: tuple[int, int],
    classes: ClassList,
    limit: int = MAX_DETECTIONS,
) -> list[Detection]:
    """Turn a detector's output for one image into records, at most ``limit``, best first.

    ``output``: ``boxes`` float (N, 4) xyxy in pixels of the model's input, ``labels`` int64 (N,), ``scores`` float (N,) and
    ``masks`` float (N, 1, H, W) in [0, 1]. Boxes and masks are scaled from ``input_hw``, the size of the model's input, to
    ``image_hw``, the size of the image on disk; masks are thresholded at 0.5.
    """
    best = output["scores"].float().argsort(descending=True, stable=True)[:limit]
    (height, width), (input_height, input_width) = image_hw, input_hw
    scale = torch.tensor([width / input_width, height / input_height] * 2)
    boxes = output["boxes"][best].float().cpu() * scale
    boxes[:, 2:] -= boxes[:, :2]
    ids = classes.category_ids[output["labels"][best].cpu().numpy()].tolist()
    rows = zip(ids, boxes.tolist(), output["scores"][best].tolist(), output["masks"][best], strict=True)
    return [
        Detection(image_id, id_, _rounded(box), round(score, 6), _runs(mask, image_hw))
        for id_, box, score, mask in rows
    ]


def _rounded(box: Iterable[float]) -> tuple[float, float, float, float]:
    left, top, width, height = (round(side, 3) for side in box)
    return left, top, width, height


def _runs(mask: Tensor, hw: tuple[int, int]) -> Runs:
    """Mask float (1, H, W) -> run lengths of size ``hw``; one by one, because 300 masks of a large image take gigabytes."""
    if mask.shape[1:] != hw:
        mask = interpolate(mask[None].float(), hw, mode="bilinear", align_corners=False)[0]
    encoded = rle.encode((mask[0] > _MASK_THRESHOLD).cpu().numpy())
    return Runs(hw, encoded["counts"])


@torch.inference_mode()
def write_results(
    model: nn.Module,
    loader: Iterable[tuple[list[Tensor], list[dict[str, Any]]]],
    classes: ClassList,
    out: Path,
    device: torch.device | str = "cpu",
    limit: int = MAX_DETECTIONS,
    on_image: Callable[[int], object] | None = None,
) -> int:
    """Run ``model`` over a validation set and stream its detections to ``out``; return their number.

    ``loader``: batches of :func:`mosaicfusion.detectors.data.samples.make_loader`; ``on_image`` is called with the number of
    images done. The model's training mode is restored.
    """
    was_training = model.training
    model.eval()
    try:
        return write_detections(out, _detect(model, loader, classes, device, limit, on_image))
    finally:
        model.train(was_training)


def _detect(
    model: nn.Module,
    loader: Iterable[tuple[list[Tensor], list[dict[str, Any]]]],
    classes: ClassList,
    device: torch.device | str,
    limit: int,
    on_image: Callable[[int], object] | None,
) -> Iterator[Detection]:
    images_done = 0
    for images, targets in loader:
        outputs = model([image.to(device).float() / 255 for image in images])
        for image, target, output in zip(images, targets, outputs, strict=True):
            input_hw = (int(image.shape[-2]), int(image.shape[-1]))
            yield from to_results(output, target["image_id"], input_hw, target["image_hw"], classes, limit)
            images_done += 1
        if on_image is not None:
            on_image(images_done)


def write_detections(path: Path, rows: Iterable[Detection]) -> int:
    """Write rows as a JSON list, streaming and atomically; return their number.

    Raises :class:`MosaicFusionError` if the file cannot be written.
    """
    count = 0

    def write(file: IO[bytes]) -> None:
        nonlocal count
        for row in rows:
            file.write((b",\n" if count else b"[\n") + msgspec.json.encode(row))
            count += 1
        file.write(b"\n]\n" if count else b"[]\n")

    write_stream(path, write)
    return count


def read_results(path: Path) -> list[Detection]:
    """Read a COCO results file; raises :class:`MosaicFusionError` if it is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Detection])
    except OSError as error:
        raise MosaicFusionError(f"cannot read {path}: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MosaicFusionError(
            f"{path} is not a list of COCO results with image_id, category_id, bbox, score and segmentation: {error}"
        ) from None
