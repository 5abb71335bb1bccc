"""Replacing the masks of a run by an annotator's (in the paper, refinement with SAM improves AP_r from 15.2 to 16.0)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.arguments import checked
from mosaicfusion.config import MaskConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.files.remote import as_path
from mosaicfusion.masks import rle
from mosaicfusion.masks.components import keep_single_component
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.masks.occlusion import find_hidden
from mosaicfusion.masks.rejection import Rejection
from mosaicfusion.models.segmenters import Annotator, AnnotatorName, as_annotator
from mosaicfusion.quality.agreement import annotate
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.manifest import Manifest
from mosaicfusion.run.records import CanvasRecord, RegionRecord, mask_fields

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress


@checked
def refine_run(
    run: RunFolder | str | Path,
    annotator: Annotator | AnnotatorName,
    out: str | Path,
    *,
    copy_images: bool = False,
    on_progress: OnProgress | None = None,
) -> RunFolder:
    """Make a copy of a run in ``out`` with the annotator's masks, or continue an interrupted one.

    ``annotator``: one of :func:`mosaicfusion.models.segmenters.load_annotator`, or its name. It is prompted with our boxes. The
    part of its mask inside the region goes through the component rules of the run's settings. In scenes, masks in front hide
    those behind, as when they were generated; the hidden part of a mask stays as it was. The record gets the area and the box of
    the result, and keeps the old mask under ``replaced``. The new ``quality`` is the IoU of the two masks: where they differ, one
    of them is wrong. All masks of the run are refined, whatever its thresholds, and the new run starts without thresholds. Images
    are hard links; they are copied with ``copy_images`` or if links are impossible.

    Raises :class:`MosaicFusionError`; the parts written before it are complete.
    """
    report = on_progress or (lambda done, total: None)
    run, annotator, out = RunFolder.of(run), as_annotator(annotator), as_path(out)
    if out.exists() and out.samefile(run.path):
        raise MosaicFusionError(f"{out} is the run itself; give another folder with --out")
    rules = run.manifest.config.masks
    total, done = (
        sum(len(run.read_part(file)) for file in run.part_files()),
        0,
    )  # reads all: a damaged part is found before
    refined = RunFolder.open_or_create(out, _manifest(run, annotator))
    existing = {file.name for file in refined.part_files()}
    for file in run.part_files():
        records = run.read_part(file)
        if file.name not in existing:
            new_records: list[CanvasRecord] = []
            for record in records:
                report(done + len(new_records), total)
                new_records.append(_refine_canvas(run, record, annotator, rules))
                if record.file_name is not None:
                    _link_image(run.path / record.file_name, refined.path / record.file_name, copy_images)
            refined.write_part(new_records)
        done += len(records)
        report(done, total)
    return refined


def _manifest(run: RunFolder, annotator: Annotator) -> Manifest:
    """The annotator becomes part of the run's identity: another annotator, or more canvases, are refused later."""
    model = run.manifest.model.model_copy(update={"refined_by": annotator.identity})
    output = run.manifest.output.model_copy(update={"min_quality": 0.0, "min_semantics": 0.0, "mark_background": 0.0})
    return run.manifest.model_copy(update={"model": model, "output": output})


def _refine_canvas(run: RunFolder, record: CanvasRecord, annotator: Annotator, rules: MaskConfig) -> CanvasRecord:
    """From front to back, since the masks in front say what is hidden of those behind."""
    layered = run.manifest.config.layout.blend.layered
    hidden = np.zeros(record.hw_px, np.bool_)
    regions = []
    for region, pair in reversed(list(zip(record.regions, annotate(run, record, annotator), strict=True))):
        if pair is None:
            regions.append(region)
            continue
        ours, theirs = pair
        whole = _refine_mask(region, ours, theirs, hidden, rules)
        if isinstance(whole, Rejection):
            regions.append(_without_mask(region, whole))
            continue
        seen = whole & ~hidden
        rejection = find_hidden(whole, seen, rules.max_hidden)
        regions.append(_without_mask(region, rejection) if rejection else _with_mask(region, ours, seen, whole))
        if layered:
            hidden = hidden | whole
    return replace(record, regions=tuple(reversed(regions)))


def _refine_mask(
    region: RegionRecord,
    ours: NDArray[np.bool_],
    theirs: NDArray[np.bool_],
    hidden: NDArray[np.bool_],
    rules: MaskConfig,
) -> NDArray[np.bool_] | Rejection:
    """The annotator's mask where the object can be seen, and ours where others hide it. All masks: bool (H, W) of the canvas."""
    ours = rle.decode(region.amodal_segmentation) if region.amodal_segmentation else ours
    left, top, width, height = region.region_xywh
    inside = np.where(hidden, ours, theirs)[top : top + height, left : left + width]
    outcome = keep_single_component(np.ascontiguousarray(inside), rules.min_area, rules.max_area)
    if isinstance(outcome, Rejection):
        return outcome
    return rle.paste(outcome.mask, (top, left), (theirs.shape[0], theirs.shape[1]))


def _with_mask(
    region: RegionRecord, ours: NDArray[np.bool_], seen: NDArray[np.bool_], whole: NDArray[np.bool_]
) -> RegionRecord:
    return replace(
        region,
        **mask_fields(seen, whole),
        quality=round(mask_iou(ours, seen), 4),
        measures={},
        replaced=_old_values(region),
    )


def _without_mask(region: RegionRecord, rejection: Rejection) -> RegionRecord:
    return replace(region.without_mask(rejection), replaced=_old_values(region))


def _old_values(region: RegionRecord) -> dict[str, Any]:
    keys = ("area", "box_xywh", "segmentation", "amodal_segmentation", "score", "quality", "measures", "replaced")
    return {key: getattr(region, key) for key in keys}


def _link_image(source: Path, target: Path, copy: bool) -> None:
    if target.exists():
        return
    if not copy:
        with suppress(OSError):  # another file system, or one without links: copy
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(source)
            return
    try:
        data = source.read_bytes()
    except OSError as error:
        raise MosaicFusionError(f"cannot read the image {source}: {error.strerror or error}") from None
    write_atomic(target, data)
