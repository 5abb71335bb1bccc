"""One canvas of a run as a picture, for notebooks and scripts."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from mosaicfusion.arguments import checked
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.report.images import region_instances
from mosaicfusion.report.overlays import readable_scale, render_instances
from mosaicfusion.run.folder import RunFolder


@checked
def show(run: RunFolder | str | Path, canvas: int = 0) -> Image.Image:
    """Render canvas number ``canvas`` of a run with its masks, and with the names and reasons of rejection of its regions.

    Returns a Pillow image (RGB), which a notebook shows; ``.save(path)`` writes it. Small canvases are enlarged up to 4 times.
    Raises :class:`MosaicFusionError` if the canvas or its image does not exist.
    """
    folder = RunFolder.of(run)
    record = next((record for record in folder.records() if record.index == canvas), None)
    if record is None:
        raise MosaicFusionError(
            f"{folder.path} holds no canvas {canvas}; `mosaicfusion status {folder.path}` shows its progress"
        )
    if record.file_name is None:
        raise MosaicFusionError(f"canvas {canvas} of {folder.path} has no image: its latents were not finite")
    pixels = render_instances(folder.read_image(record), region_instances(record), readable_scale(record.hw_px))
    return Image.fromarray(pixels)
