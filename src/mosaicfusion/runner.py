"""The main job: from categories to a run folder with images, masks and an LVIS json."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.compile import Summary, compile_run
from mosaicfusion.config import RunConfig, make_config
from mosaicfusion.dataset.lvis import MaskFormat, Policy
from mosaicfusion.dataset.thresholds import Thresholds
from mosaicfusion.diffusion.model_folder import digest, find_model
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.layout import check_layout
from mosaicfusion.masks import rle
from mosaicfusion.masks.components import Rejection
from mosaicfusion.masks.extract import extract_mask
from mosaicfusion.plan import CanvasSpec, Plan
from mosaicfusion.quality.intrinsic import measure, predict_iou
from mosaicfusion.quality.semantics import check_choices, is_judged, judge_run
from mosaicfusion.records import CanvasRecord, RegionRecord, RunFolder, check_writable
from mosaicfusion.selection import Selection, select
from mosaicfusion.vocabulary import Vocabulary

if TYPE_CHECKING:
    from mosaicfusion.diffusion.backend import Backend
    from mosaicfusion.diffusion.denoise import DrawnCanvas

_JPEG_QUALITY = 95


def generate(
    categories: Sequence[str] | Selection | Vocabulary | None = None,
    *,
    out: str | Path,
    canvases_per_category: int = 25,
    config: RunConfig | None = None,
    policy: Policy | None = None,
    masks: MaskFormat | None = None,
    min_quality: float | None = None,
    min_semantics: float | None = None,
    clip: str | None = None,
    device: str = "auto",
    batch_size: int = 8,
    on_progress: Callable[[float, int], None] | None = None,
) -> Summary:
    """Draw an annotated data set, or go on with an interrupted or a smaller one.

    Args:
        categories: names, a vocabulary, or a :class:`Selection` of main and partner categories; all that the model knows if
            left out (bundled model only).
        out: the run folder; new, empty, or holding the same run.
        canvases_per_category: canvases for each main category, before rejection; at least 1.
        config: see :func:`mosaicfusion.config.make_config`; the bundled model's preset if left out.
        policy: what happens to a canvas with a rejected region, see :func:`mosaicfusion.dataset.lvis.compile_lvis`;
            as last time, or at first ``drop``, if left out.
        masks: form of the masks in lvis.json; as last time, or at first ``rle``, if left out.
        min_quality: instances whose :mod:`mosaicfusion.quality.intrinsic` quality is below count as rejected, 0 to 1; as last
            time, or at first 0, if left out.
        min_semantics: instances whose category is less probable than this in the picture, among those of the run, count as
            rejected, 0 to 1; as last time, or at first 0, if left out.
        clip: the model that judges this, see :func:`mosaicfusion.clip.load_clip`; as last time, or at first ``mini``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        batch_size: canvases denoised together. It changes speed and memory, not what is drawn (up to float rounding).
        on_progress: called with (canvases done, canvases in all); the first may be fractional.

    A batch is drawn together, and arithmetic in a batch may differ in the last bits with its size. So a run that is
    extended, or drawn with another batch size, shows the same canvases as one drawn at once, but masks may differ by a
    pixel at their edges.

    Returns the :class:`Summary` of the whole folder. Raises :class:`MosaicFusionError` on anything the user can mend;
    what was written by then stays whole, and the same call goes on from there.
    """
    from mosaicfusion.diffusion.backend import load_backend, resolve_device, resolve_dtype

    config = config or make_config()
    if canvases_per_category < 1 or batch_size < 1:
        raise MosaicFusionError(
            f"canvases_per_category={canvases_per_category} and batch_size={batch_size} must be at least 1"
        )
    Thresholds(min_quality or 0, min_semantics or 0)  # refuses what is not from 0 to 1
    selection = select(categories, config.model)
    out = Path(out)
    check_writable(out)  # before a model is loaded
    folder = find_model(config.model, config.revision)
    # The dtype shapes the numbers: a run that began in float16 does not go on in float32.
    dtype = resolve_dtype(config.sampling.dtype, resolve_device(device))
    config = config.model_copy(update={"sampling": config.sampling.model_copy(update={"dtype": dtype})})
    header: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "categories": {
            "main": [category.to_json() for category in selection.main],
            "partners": [category.to_json() for category in selection.partners],
        },
        "model": {"digest": digest(folder)},
        "canvases_per_category": canvases_per_category,
        "output": {
            "policy": policy,
            "masks": masks,
            "min_quality": min_quality,
            "min_semantics": min_semantics,
            "clip": clip,
        },
        "versions": {name: version(name) for name in ("mosaicfusion", "torch", "diffusers", "transformers", "numpy")},
    }
    check_writable(out, header)
    check_semantics(RunFolder.output_at(out, header["output"]), selection)
    backend = load_backend(folder, device, dtype)
    check_layout(config.layout, backend.latent_factor)
    plan = Plan(config, selection.main, selection.partners, backend.latent_factor)
    check_plan(backend, plan, selection)

    run = RunFolder.create(out, header)
    try:
        draw_missing(backend, plan, run, batch_size, on_progress)
        judge_semantics(run, device)
        return compile_run(run)
    except MosaicFusionError as error:
        raise MosaicFusionError(
            f"{error}\n{run.total - len(run.done())} of {run.total} canvases are missing; run the same command again to go on"
        ) from error


def check_semantics(output: dict[str, Any], selection: Selection) -> None:
    """Try what would fail after drawing, where the data set is to have a least semantics."""
    from mosaicfusion.clip import find_clip

    if output["min_semantics"] > 0:
        check_choices(selection.union)
        find_clip(output["clip"])


def judge_semantics(run: RunFolder, device: str) -> None:
    """Judge what the run's data set is to be chosen by, unless it is judged already."""
    from mosaicfusion.clip import load_clip

    output = run.header["output"]
    if output["min_semantics"] > 0 and not is_judged(run, output["clip"]):
        judge_run(run, load_clip(output["clip"], device))


def check_plan(backend: Backend, plan: Plan, selection: Selection) -> None:
    """Try what would fail late: scheduler, attention, and the prompt of every category with the longest background."""
    from mosaicfusion.diffusion.denoise import check_attention
    from mosaicfusion.prompts import make_prompt

    check_attention(backend, plan.config)
    backgrounds = plan.config.prompt.backgrounds or ("",)
    longest = max(backgrounds, key=lambda background: len(backend.tokenizer(background)["input_ids"]))
    for category in selection.union:
        make_prompt(plan.config.prompt.template, category, longest, backend.tokenizer)


def draw_missing(
    backend: Backend,
    plan: Plan,
    run: RunFolder,
    batch_size: int,
    on_progress: Callable[[float, int], None] | None = None,
) -> None:
    """Draw the canvases that the folder lacks; images and masks are made, and parts written, beside the sampler."""
    done, total = run.done(), run.total
    count = len(done)
    part: list[int] = []
    pending: deque[list[Future[CanvasRecord]]] = deque()  # a list for each part

    def on_step(step: int, steps: int) -> None:
        while pending and all(future.done() for future in pending[0]):
            _write_part(run, pending.popleft())
        if on_progress:
            on_progress(count + len(part) * step / steps, total)

    workers = max(1, min(4, (os.cpu_count() or 1) - 1))
    with ThreadPoolExecutor(workers, thread_name_prefix="masks") as pool:
        try:
            for part in missing_parts(done, total, plan.config.layout.group_size, batch_size):
                on_step(0, 1)
                drawn = _draw(backend, [plan.spec(index) for index in part], plan.config, on_step)
                pending.append([pool.submit(record_canvas, canvas, plan.config, run) for canvas in drawn])
                count += len(part)
        finally:  # after Ctrl-C too: what was sampled is kept
            while pending:
                _write_part(run, pending.popleft())


def _draw(
    backend: Backend, specs: list[CanvasSpec], config: RunConfig, on_step: Callable[[int, int], None]
) -> list[DrawnCanvas]:
    import torch

    from mosaicfusion.diffusion.denoise import draw_canvases

    try:
        return draw_canvases(backend, specs, config, on_step=on_step)
    except torch.OutOfMemoryError:
        raise MosaicFusionError(
            f"the device has too little memory for {len(specs)} canvases at once; lower --batch-size"
        ) from None


def missing_parts(done: set[int], total: int, group_size: int, batch_size: int) -> Iterator[list[int]]:
    """Indices still to be drawn, a batch at a time; a batch never crosses two layout groups.

    Batches begin at fixed places: what a killed run lost is drawn again in the same company, to the same last bit.
    """
    for group in range(0, total, group_size):
        end = min(group + group_size, total)
        for start in range(group, end, batch_size):
            missing = [index for index in range(start, min(start + batch_size, end)) if index not in done]
            if missing:
                yield missing


def record_canvas(drawn: DrawnCanvas, config: RunConfig, run: RunFolder) -> CanvasRecord:
    """Masks of one canvas; its image is written to the folder."""
    file_name = None
    if drawn.image is not None:
        file_name = run.write_image(drawn.spec.index, _encode_jpeg(drawn.image))
    return extract_record(drawn, config, file_name)


def extract_record(drawn: DrawnCanvas, config: RunConfig, file_name: str | None = None) -> CanvasRecord:
    """The record of one canvas: each region kept with a mask, or rejected with a reason."""
    spec = drawn.spec
    return CanvasRecord(
        index=spec.index,
        hw_px=spec.canvas.hw_px,
        noise_seed=spec.noise_seed,
        file_name=file_name,
        regions=tuple(_extract_region(drawn, k, config) for k in range(len(spec.canvas.regions))),
    )


def _extract_region(drawn: DrawnCanvas, k: int, config: RunConfig) -> RegionRecord:
    region, category = drawn.spec.canvas.regions[k], drawn.spec.categories[k]
    asked: dict[str, Any] = {
        "category_id": category.id,
        "category": category.name,
        "prompt": drawn.prompts[k].text,
        "region_xywh": region.box_xywh,
    }
    sums = drawn.sums[k]
    if drawn.image is None or not all(np.isfinite(attention).all() for attention in sums.values()):
        return RegionRecord(**asked, reason="nan_latents")
    image = drawn.image[region.slices]
    extraction = extract_mask(sums, image, **config.masks.model_dump())
    if isinstance(extraction.rejection, Rejection) or extraction.mask is None:
        assert extraction.rejection is not None
        return RegionRecord(**asked, reason=extraction.rejection.reason, values=extraction.rejection.values)
    mask = rle.place(extraction.mask, (region.top, region.left), drawn.spec.canvas.hw_px)
    left, top, width, height = rle.box_xywh(mask)
    half_sums = drawn.half_sums[k] if drawn.half_sums else {}
    measures = measure(extraction, image, half_sums, config.masks.threshold)
    return RegionRecord(
        **asked,
        measures=measures,
        quality=predict_iou(measures),
        score=round(extraction.score, 4),
        area=rle.area(mask),
        box_xywh=(left, top, width, height),
        segmentation=dict(rle.encode(mask)),
    )


def _write_part(run: RunFolder, futures: list[Future[CanvasRecord]]) -> None:
    run.write_part([future.result() for future in futures])


def _encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    # Colour at full resolution: masks follow colour edges.
    Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
