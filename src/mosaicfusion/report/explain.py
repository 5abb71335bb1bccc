"""The attention figure of one canvas: heat maps of each object over steps and resolutions, and the resulting mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.config import RunConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle
from mosaicfusion.masks.bilateral import refine_mask
from mosaicfusion.masks.heatmap import heat_map
from mosaicfusion.masks.rejection import reason_name
from mosaicfusion.masks.threshold import binarize, otsu_threshold
from mosaicfusion.report.figure import INK, SOFT, Page
from mosaicfusion.report.images import region_instances
from mosaicfusion.report.overlays import colour_map, instance_colour, mask_on_crop, render_instances, resize
from mosaicfusion.report.text import full_name
from mosaicfusion.run.records import CanvasRecord, RegionRecord

if TYPE_CHECKING:  # it imports torch
    from mosaicfusion.diffusion.sampler import SampledCanvas

StrideMaps = Mapping[int, np.ndarray]

_MARGIN, _GAP, _GROUP_GAP = 40, 6, 26  # pixels: around the page, between cells, between groups of cells
_CELL_W, _LABEL_W = 118, 104
_MAX_CELL_H = 236  # a region twice as high as wide
_MAX_COLUMNS = 8
_TEXT_PX = 16
_MAX_TITLE_LENGTH = 80  # characters
_WIDTH = 2 * _MARGIN + _LABEL_W + (_MAX_COLUMNS + 3) * _CELL_W + (_MAX_COLUMNS + 1) * _GAP + _GROUP_GAP * 3 // 2
_LAYERED_WIDTH = _WIDTH + _CELL_W + _GAP  # with what is seen of an object
_OVERVIEW_W = (_WIDTH - 2 * _MARGIN - _GROUP_GAP) // 2


def explain_figure(sampled: SampledCanvas, record: CanvasRecord, config: RunConfig) -> Image.Image:
    """Render the figure, RGB on white, about 1500 pixels wide; its height grows with objects and resolutions.

    ``sampled`` must come from ``sample_canvases(..., keep_steps=True)``, ``record`` from the same canvas. Every map is
    computed by :func:`mosaicfusion.masks.heatmap.heat_map`; the framed cell of an object is exactly the map that its mask was
    extracted from. Raises :class:`MosaicFusionError` for a canvas without an image or without the maps of each step.
    """
    if sampled.image is None:
        raise MosaicFusionError(
            f"canvas {record.index} has no image, because the sampler's numbers were not finite; try another --seed"
        )
    if len(sampled.step_sums) != len(record.regions) or not all(sampled.step_sums):
        raise MosaicFusionError(
            f"canvas {record.index} was sampled without the attention of each step; sample it with keep_steps=True"
        )
    layered = sampled.spec.canvas.blend.layered
    page = Page(_LAYERED_WIDTH if layered else _WIDTH, _MARGIN)
    sampling = config.sampling
    names = ", ".join(dict.fromkeys(full_name(region.category) for region in record.regions))
    page.text(names if len(names) <= _MAX_TITLE_LENGTH else f"{names[:_MAX_TITLE_LENGTH]}...", 32, INK)
    page.text(
        f"model {config.model}  ·  seed {config.seed}  ·  {sampling.scheduler}, {sampling.steps} steps, "
        f"guidance {sampling.guidance:g}",
        _TEXT_PX,
        SOFT,
    )
    _overview(page, sampled.image, record, layered)
    for k, region in enumerate(record.regions):
        _object(page, sampled, k, region, config)
    page.skip(18)
    page.text("Each map is scaled to its own range: dark is its lowest attention, bright its highest.", _TEXT_PX, SOFT)
    if layered:
        page.text(
            "Objects are numbered from back to front. What others in front hide of a mask is hatched.", _TEXT_PX, SOFT
        )
    return page.image()


def step_ranges(steps: Sequence[int], max_ranges: int = _MAX_COLUMNS) -> list[list[int]]:
    """Split the steps into at most ``max_ranges`` ranges of nearly equal length, in order."""
    return [part.tolist() for part in np.array_split(np.array(sorted(steps)), min(max_ranges, len(steps)))]


def _overview(page: Page, image: NDArray[np.uint8], record: CanvasRecord, layered: bool) -> None:
    """The canvas as it is delivered, plain and with its masks, side by side."""
    height, width = record.hw_px
    scale = _OVERVIEW_W / max(width, height)
    instances = region_instances(record)
    if layered:
        instances = [replace(one, label=f"{k} {one.label}") for k, one in enumerate(instances, start=1)]
    image = resize(image, record.hw_px)
    annotated = render_instances(image, instances, scale)
    plain = resize(image, annotated.shape[:2])
    right = _MARGIN + annotated.shape[1] + _GROUP_GAP
    page.skip(14)
    page.label("image", _MARGIN, _TEXT_PX, SOFT)
    page.label("masks from its cross-attention, with their quality", right, _TEXT_PX, SOFT)
    page.skip(24)
    page.paste(plain, _MARGIN)
    page.paste(annotated, right)
    page.skip(annotated.shape[0])


def _object(page: Page, sampled: SampledCanvas, k: int, region: RegionRecord, config: RunConfig) -> None:
    """A heading, a row for each resolution, and a row for the average that the mask is made from, with the mask."""
    assert sampled.image is not None
    canvas = sampled.spec.canvas
    crop = sampled.image[canvas.regions[k].slices]
    cell_hw = min(_MAX_CELL_H, round(_CELL_W * crop.shape[0] / crop.shape[1])), _CELL_W
    sums, step_sums = sampled.sums[k], sampled.step_sums[k]
    ranges = step_ranges(list(step_sums))
    used, shown = sorted(sums), sorted({stride for shares in step_sums.values() for stride in shares})
    page.skip(34)
    _object_heading(page, k, region, canvas.blend.layered)

    columns = [_LABEL_W + _MARGIN + column * (_CELL_W + _GAP) for column in range(len(ranges))]
    average_x = columns[-1] + _CELL_W + _GAP + _GROUP_GAP // 2
    for x, steps in zip(columns, ranges, strict=True):
        page.label(_range_name(steps), x, _TEXT_PX, SOFT)
    page.label("all steps", average_x, _TEXT_PX, SOFT)
    page.skip(24)
    any_step = step_sums[ranges[0][0]]
    rows = [(f"1/{s} ({any_step[s].shape[0]}x{any_step[s].shape[1]})", [s], False) for s in shown]
    rows.append(("used: " + ", ".join(f"1/{s}" for s in used), used, True))
    for name, merged, final in rows:
        page.label(name, _MARGIN, _TEXT_PX, INK if final else SOFT, down=(cell_hw[0] - _TEXT_PX) / 2)
        for x, steps in zip(columns, ranges, strict=True):
            shares = {stride: np.sum([step_sums[step][stride] for step in steps], axis=0) for stride in merged}
            page.paste(_map_cell(shares, crop.shape[:2], cell_hw), x)
        totals = {stride: np.sum([shares[stride] for shares in step_sums.values()], axis=0) for stride in merged}
        page.paste(_map_cell(totals, crop.shape[:2], cell_hw), average_x, frame=final)
        if final:
            masks_x = average_x + _CELL_W + _GROUP_GAP
            _masks(page, masks_x, sums, crop, cell_hw, k, config)
            if canvas.blend.layered:
                _seen(page, masks_x + 2 * (_CELL_W + _GAP), region, resize(crop, cell_hw), k)
        page.skip(cell_hw[0] + _GAP)


def _object_heading(page: Page, k: int, region: RegionRecord, layered: bool) -> None:
    if region.kept:
        _, _, width, height = region.region_xywh
        quality = "" if region.quality is None else f"quality {region.quality:.2f}, "
        outcome = (
            f"kept, {quality}score {region.score:.2f}, mask {100 * region.area / (width * height):.0f} % of the region"
        )
        if region.hidden_part:
            outcome += f", {100 * region.hidden_part:.0f} % of the object hidden"
    else:
        values = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in region.values.items())
        outcome = f"rejected: {reason_name(region.reason)}" + (f" ({values})" if values else "")
    page.rule()
    page.swatch(instance_colour(k))
    name = full_name(region.category)
    page.text(f"{k + 1} {name}" if layered else name, 24, INK, indent=28)
    page.text(f"{outcome}  ·  “{region.prompt}”", _TEXT_PX, SOFT, indent=28)
    page.skip(10)


def _masks(
    page: Page, x: int, sums: StrideMaps, crop: NDArray[np.uint8], cell_hw: tuple[int, int], k: int, config: RunConfig
) -> None:
    """The thresholded and the refined mask, recomputed from the same map with the same settings."""
    if not _is_finite(sums):
        return
    heat = heat_map(sums, crop.shape[:2])
    settings = config.masks
    mask = binarize(heat, settings.threshold)
    threshold = otsu_threshold(heat) if settings.threshold == "otsu" else settings.threshold
    steps = [(f"above {threshold:.2f}", mask)]
    if settings.refine:
        steps.append(("refined", refine_mask(mask, np.ascontiguousarray(crop), settings)))
    for name, stage in steps:
        page.label(name, x, _TEXT_PX, SOFT, down=-24)
        large = resize(stage.astype(np.uint8) * 255, cell_hw) > 127
        page.paste(mask_on_crop(resize(crop, cell_hw), large, instance_colour(k)), x)
        x += _CELL_W + _GAP


def _seen(page: Page, x: int, region: RegionRecord, crop: NDArray[np.uint8], k: int) -> None:
    """The mask of the record on the crop, which has the size of a cell, with the part that others hide."""
    if not region.kept:
        return
    visible, whole = (
        rle.decode(mask or {}) for mask in (region.segmentation, region.amodal_segmentation or region.segmentation)
    )
    left, top, width, height = region.region_xywh
    seen, hidden = (
        resize(mask[top : top + height, left : left + width].astype(np.uint8) * 255, crop.shape[:2]) > 127
        for mask in (visible, whole & ~visible)
    )
    page.label("seen", x, _TEXT_PX, SOFT, down=-24)
    page.paste(mask_on_crop(crop, seen, instance_colour(k), hidden), x)


def _map_cell(sums: StrideMaps, region_hw: tuple[int, int], cell_hw: tuple[int, int]) -> NDArray[np.uint8]:
    if not _is_finite(sums):
        return np.full((*cell_hw, 3), 230, np.uint8)
    return resize(colour_map(heat_map(sums, region_hw)), cell_hw)


def _is_finite(sums: StrideMaps) -> bool:
    return all(np.isfinite(attention).all() for attention in sums.values())


def _range_name(steps: Sequence[int]) -> str:
    """The label of a range of steps, counted from 1."""
    first, last = steps[0] + 1, steps[-1] + 1
    return f"step {first}" if first == last else f"steps {first}-{last}"
