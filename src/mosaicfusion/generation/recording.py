"""The record of a sampled canvas: its image in the run folder, its masks and their measures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.config import RunConfig
from mosaicfusion.masks import rle
from mosaicfusion.masks.extract import extract_mask
from mosaicfusion.masks.measures import measure_mask, predict_iou
from mosaicfusion.masks.rejection import RejectionReason
from mosaicfusion.profiling import stage
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord

if TYPE_CHECKING:
    from mosaicfusion.diffusion.sampler import SampledCanvas

_JPEG_QUALITY = 95


def record_canvas(sampled: SampledCanvas, config: RunConfig, run: RunFolder) -> CanvasRecord:
    """Write the image of a canvas to the run folder, and extract its masks."""
    file_name = None
    if sampled.image is not None:
        with stage("write image"):
            file_name = run.write_image(sampled.spec.index, _encode_jpeg(sampled.image))
    return extract_record(sampled, config, file_name)


def extract_record(sampled: SampledCanvas, config: RunConfig, file_name: str | None = None) -> CanvasRecord:
    """The record of one canvas: each region kept with a mask, or rejected with a reason."""
    spec = sampled.spec
    return CanvasRecord(
        index=spec.index,
        hw_px=spec.canvas.hw_px,
        noise_seed=spec.noise_seed,
        file_name=file_name,
        regions=tuple(_extract_region(sampled, k, config) for k in range(len(spec.canvas.regions))),
    )


def _extract_region(sampled: SampledCanvas, k: int, config: RunConfig) -> RegionRecord:
    region, category = sampled.spec.canvas.regions[k], sampled.spec.categories[k]
    common: dict[str, Any] = {
        "category_id": category.id,
        "category": category.name,
        "prompt": sampled.prompts[k].text,
        "region_xywh": region.box_xywh,
    }
    sums = sampled.sums[k]
    if sampled.image is None or not all(np.isfinite(attention).all() for attention in sums.values()):
        return RegionRecord(**common, reason=RejectionReason.NAN_LATENTS.value)
    image = sampled.image[region.slices]
    with stage("masks"):
        extraction = extract_mask(sums, image, config.masks)
    if extraction.mask is None:
        assert extraction.rejection is not None
        reason, values = extraction.rejection.reason.value, dict(extraction.rejection.values)
        return RegionRecord(**common, reason=reason, values=values)
    mask = rle.paste(extraction.mask, (region.top, region.left), sampled.spec.canvas.hw_px)
    left, top, width, height = rle.box_xywh(mask)
    half_sums = sampled.half_sums[k] if sampled.half_sums else {}
    with stage("measures"):
        measures = measure_mask(extraction, image, half_sums, config.masks.threshold)
    return RegionRecord(
        **common,
        measures=measures,
        quality=predict_iou(measures),
        score=round(extraction.score, 4),
        area=rle.area(mask),
        box_xywh=(left, top, width, height),
        segmentation=dict(rle.encode(mask)),
    )


def _encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    # Colour at full resolution: masks follow colour edges.
    Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
