"""The sheet of canvases: pictures of a sample, embedded, each with what became of its regions."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.dataset.lvis import Policy, is_used
from mosaicfusion.masks import rle
from mosaicfusion.report.drawing import Instance, instance_colour, instance_layer, readable_scale, resize
from mosaicfusion.report.markup import spoken
from mosaicfusion.run.records import CanvasRecord, RegionRecord

_HIGHEST_REM = 24  # of a picture on the page
_LARGEST_PX = 640
_JPEG_QUALITY = 85

_REASONS = {
    "empty_mask": ("empty mask", "The attention stands out nowhere in the region."),
    "too_small": ("too small", "Every part of the mask is below the smallest area allowed."),
    "too_large": ("too large", "The mask fills the region: the attention did not find the object."),
    "several_components": ("several parts", "More than one part of the mask has the size of an object."),
    "low_quality": ("low quality", "The mask is expected to fit worse than the data set's --min-quality allows."),
    "wrong_object": ("wrong object", "CLIP finds the category less likely than the data set's --min-semantics allows."),
    "nan_latents": ("not a number", "The sampler's numbers became NaN or infinite; no image could be drawn."),
}


def reason_name(reason: str | None) -> str:
    """A reason of rejection as people say it; unknown ones as they are, without underscores."""
    return _REASONS.get(str(reason), (str(reason).replace("_", " "), ""))[0]


def reason_meaning(reason: str) -> str:
    """One sentence about a reason; empty if it is unknown."""
    return _REASONS.get(reason, ("", ""))[1]


def instances(record: CanvasRecord) -> list[Instance]:
    """What to draw on a canvas, region by region. A mask that cannot be decoded counts as none."""
    return [
        Instance(region.region_xywh, _label(region), decode_mask(region, record.hw_px)) for region in record.regions
    ]


def card(record: CanvasRecord, folder: Path, policy: Policy) -> str:
    """One canvas as HTML; an image that is missing or unreadable is said in words."""
    used = is_used(record, policy)
    badge = '<span class="badge used">in the set</span>' if used else '<span class="badge out">left out</span>'
    items = "".join(_item(k, region) for k, region in enumerate(record.regions))
    return (
        f'<figure class="card" id="canvas-{record.index}">{_picture(record, folder)}'
        f'<figcaption><div class="card-head"><b>Canvas {record.index}</b>{badge}</div><ul>{items}</ul></figcaption>'
        "</figure>"
    )


def _item(k: int, region: RegionRecord) -> str:
    name = escape(spoken(region.category))
    if not region.kept:
        values = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in region.values.items())
        outcome = f'<span class="reason" title="{escape(values)}">{escape(reason_name(region.reason))}</span>'
        return f'<li class="rejected" title="{escape(region.prompt)}"><i></i><span>{name}</span>{outcome}</li>'
    colour = "rgb({},{},{})".format(*instance_colour(k))
    parts = f'<i style="background:{colour}"></i><span>{name}</span><span class="number">{region.score:.2f}</span>'
    return f'<li title="{escape(region.prompt)}">{parts}</li>'


def _picture(record: CanvasRecord, folder: Path) -> str:
    height, width = record.hw_px
    # A tall canvas would else fill the screen.
    frame = f'style="aspect-ratio:{width}/{height};max-width:calc({_HIGHEST_REM}rem * {width / height:.4f})"'
    if record.file_name is None:
        return f'<div class="picture none" {frame}>No image: it could not be drawn.</div>'
    try:
        with (folder / record.file_name).open("rb") as stored, Image.open(stored) as file:
            image = np.asarray(file.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        problem = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return f'<div class="picture none" {frame}>The image is {problem}:<br>{escape(record.file_name)}</div>'
    if image.shape[:2] != record.hw_px:
        found = f"{image.shape[1]} x {image.shape[0]}"
        return f'<div class="picture none" {frame}>The image is {found} pixels, the record {width} x {height}.</div>'
    scale = readable_scale(record.hw_px, _LARGEST_PX)
    layer = instance_layer(record.hw_px, instances(record), scale)
    return (
        f'<div class="picture" {frame}>'
        f'<img src="{data_uri(resize(image, layer.shape[:2]), "JPEG")}" alt="{escape(_description(record))}">'
        f'<img class="layer" src="{data_uri(layer, "PNG")}" alt=""></div>'
    )


def _description(record: CanvasRecord) -> str:
    parts = [f"{spoken(r.category)} ({'kept' if r.kept else reason_name(r.reason)})" for r in record.regions]
    return f"Canvas {record.index}: {', '.join(parts)}"


def data_uri(image: NDArray[np.uint8], kind: str) -> str:
    """An image of the page's own, JPEG or PNG."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality": _JPEG_QUALITY} if kind == "JPEG" else {"compress_level": 6}
    Image.fromarray(image).save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _label(region: RegionRecord) -> str:
    name = spoken(region.category)
    return f"{name} {region.score:.2f}" if region.kept else f"{name}: {reason_name(region.reason)}"


def decode_mask(region: RegionRecord, canvas_hw: tuple[int, int]) -> NDArray[np.bool_] | None:
    """bool (H, W) of the canvas; ``None`` for a rejected region and for a mask that cannot be decoded."""
    if not region.kept or region.segmentation is None:
        return None
    try:
        mask = rle.decode(region.segmentation)
    except ValueError:
        return None
    return mask if mask.shape == canvas_hw else None
