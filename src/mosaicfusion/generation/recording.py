"""The record of a sampled canvas: its image in the run folder, its masks and their measures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.config import RunConfig
from mosaicfusion.files.images import encode_jpeg
from mosaicfusion.masks import rle
from mosaicfusion.masks.extract import extract_mask
from mosaicfusion.masks.measures import measure_mask, predict_iou
from mosaicfusion.masks.occlusion import find_hidden, visible_masks
from mosaicfusion.masks.rejection import RejectionReason
from mosaicfusion.profiling import stage
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord, mask_fields

if TYPE_CHECKING:
    from mosaicfusion.diffusion.sampler import SampledCanvas


def record_canvas(sampled: SampledCanvas, config: RunConfig, run: RunFolder) -> CanvasRecord:
    """Write the image of a canvas to the run folder, and extract its masks."""
    file_name = None
    if sampled.image is not None:
        with stage("write image"):
            image = shrink(sampled.image, sampled.spec.canvas.render_scale)
            file_name = run.write_image(sampled.spec.index, encode_jpeg(image))
    return extract_record(sampled, config, file_name)


def extract_record(sampled: SampledCanvas, config: RunConfig, file_name: str | None = None) -> CanvasRecord:
    """The record of one canvas: each region kept with a mask, or rejected with a reason."""
    spec = sampled.spec
    found = [_find(sampled, k, config) for k in range(len(spec.canvas.regions))]
    masks = [one.mask for one in found]
    visible = visible_masks(masks) if spec.canvas.blend.layered else masks
    return CanvasRecord(
        index=spec.index,
        hw_px=spec.canvas.delivered_hw,
        noise_seed=spec.noise_seed,
        file_name=file_name,
        regions=tuple(_record(one, mask, config) for one, mask in zip(found, visible, strict=True)),
    )


def shrink(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Each pixel the mean of ``scale`` x ``scale`` ones: uint8 (H, W, C) -> (H / scale, W / scale, C)."""
    if scale == 1:
        return image
    return np.asarray(np.rint(_block_means(image, scale)), np.uint8)


def _block_means(pixels: NDArray[Any], scale: int) -> NDArray[np.float64]:
    """Means of squares of ``scale`` x ``scale`` pixels: (H, W, ...) -> (H / scale, W / scale, ...)."""
    height, width = pixels.shape[0] // scale, pixels.shape[1] // scale
    return np.asarray(pixels.reshape(height, scale, width, scale, *pixels.shape[2:]).mean(axis=(1, 3)))


@dataclass(frozen=True)
class _Found:
    """A region's own mask, bool (H, W) of the delivered canvas, hidden parts included; or the reason why it has none."""

    fields: dict[str, Any]
    mask: NDArray[np.bool_] | None = None


def _find(sampled: SampledCanvas, k: int, config: RunConfig) -> _Found:
    canvas = sampled.spec.canvas
    region, category, scale = canvas.regions[k], sampled.spec.categories[k], canvas.render_scale
    fields: dict[str, Any] = {
        "category_id": category.id,
        "category": category.name,
        "prompt": sampled.prompts[k].text,
        "region_xywh": region.divided_by(scale).box_xywh,
    }
    sums = sampled.sums[k]
    if sampled.image is None or not all(np.isfinite(attention).all() for attention in sums.values()):
        return _Found(fields | {"reason": RejectionReason.NAN_LATENTS.value})
    image = sampled.image[region.slices]
    with stage("masks"):
        extraction = extract_mask(sums, image, config.masks)
    if extraction.mask is None:
        assert extraction.rejection is not None
        rejection = extraction.rejection
        return _Found(fields | {"reason": rejection.reason.value, "values": dict(rejection.values)})
    half_sums = sampled.half_sums[k] if sampled.half_sums else {}
    with stage("measures"):
        measures = measure_mask(extraction, image, half_sums, config.masks.threshold)
    fields |= {"measures": measures, "quality": predict_iou(measures), "score": round(extraction.score, 4)}
    mask = rle.paste(extraction.mask, (region.top, region.left), canvas.hw_px)
    return _Found(fields, _shrink_mask(mask, scale))


def _shrink_mask(mask: NDArray[np.bool_], scale: int) -> NDArray[np.bool_]:
    """A mask at its size divided by ``scale``: the pixels of which at least half are covered."""
    if scale == 1:
        return mask
    return np.asarray(_block_means(mask, scale) >= 0.5)


def _record(found: _Found, visible: NDArray[np.bool_] | None, config: RunConfig) -> RegionRecord:
    """The record of a region of which ``visible`` is seen, bool (H, W)."""
    record = RegionRecord(**found.fields)
    if found.mask is None or visible is None:
        return record
    if rejection := find_hidden(found.mask, visible, config.masks.max_hidden):
        return record.without_mask(rejection)
    return replace(record, **mask_fields(visible, found.mask))
