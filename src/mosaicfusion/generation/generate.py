"""The main job: from categories to a run folder with images, masks and an LVIS json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicfusion.categories import Selection, Vocabulary
from mosaicfusion.config import RunConfig
from mosaicfusion.dataset.lvis import MaskFormat, Policy
from mosaicfusion.dataset.thresholds import Thresholds
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import as_folder, check_local
from mosaicfusion.generation.batches import WHOLE, Shard
from mosaicfusion.generation.build_dataset import Summary, compile_run, summarize
from mosaicfusion.generation.engine import Engine, LocalEngine, OnProgress, failed_batches, missing_batches
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import select
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.models.hub import digest, find_model
from mosaicfusion.profiling import stage
from mosaicfusion.quality.semantics import check_choices, is_judged, judge_pictures
from mosaicfusion.run.claims import Claims
from mosaicfusion.run.failures import read_failures
from mosaicfusion.run.folder import RunFolder, check_run_folder

if TYPE_CHECKING:
    from mosaicfusion.generation.ray import Scale

_VERSIONS = ("mosaicfusion", "torch", "diffusers", "transformers", "numpy")


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
    threads: int | None = None,
    compile: bool = False,
    offload: bool = False,
    vae_tiling: bool = False,
    shard: Shard | str | None = None,
    scale: Scale | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Draw an annotated data set, or go on with an interrupted or a smaller one.

    Args:
        categories: names, a vocabulary, or a :class:`Selection` of main and partner categories; all that the model knows if
            left out (bundled model only).
        out: the run folder; new, empty, or holding the same run. A path, or a URL of fsspec as ``s3://bucket/run``.
        canvases_per_category: canvases for each main category, before rejection; at least 1.
        config: see :func:`mosaicfusion.generation.presets.make_config`; the bundled model's preset if left out.
        policy: what happens to a canvas with a rejected region, see :func:`mosaicfusion.dataset.lvis.compile_lvis`;
            as last time, or at first ``drop``, if left out.
        masks: form of the masks in lvis.json; as last time, or at first ``rle``, if left out.
        min_quality: instances whose :mod:`mosaicfusion.masks.measures` quality is below count as rejected, 0 to 1; as last
            time, or at first 0, if left out.
        min_semantics: instances whose category is less probable than this in the picture, among those of the run, count as
            rejected, 0 to 1; as last time, or at first 0, if left out.
        clip: the model that judges this, see :func:`mosaicfusion.models.clip.load_clip`; as last time, or at first ``mini``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        batch_size: canvases denoised together. It changes speed and memory, not what is drawn (up to float rounding).
        threads: of the CPU, for each model; if left out all cores, shared by the workers. As on another device, what is drawn
            with another number may differ in the last bits.
        compile, offload, vae_tiling: see :class:`~mosaicfusion.models.device.DeviceOptions`; for speed, for a small GPU, for
            large canvases.
        shard: draw only this share of the run, as ``3/64``; all that is missing if left out. Any number of processes may
            draw into one folder, with shards or without: none draws what another is drawing. Whoever finds all canvases
            there at its end compiles the data set.
        scale: draw with Ray workers, on this machine or a cluster; in this process if left out. With as many ``threads``, or on
            the same kind of GPU, to the same bytes. All must see ``out``, and the model by the same name.
        on_progress: called with (canvases done, canvases in all) of the share; the first may be fractional.

    A batch is drawn together, and arithmetic in a batch may differ in the last bits with its size. So a run that is
    extended, or drawn with another batch size, shows the same canvases as one drawn at once, but masks may differ by a
    pixel at their edges.

    A batch that does not fit in memory is drawn in halves. What does not fit even alone is noted, the others are drawn and
    compiled, and then the call raises; see :func:`retry`.

    Returns the :class:`Summary` of the whole folder. Raises :class:`MosaicFusionError` on anything the user can mend;
    what was written by then stays whole, and the same call goes on from there.
    """
    config = config or make_config()
    counts = {"canvases_per_category": canvases_per_category, "batch_size": batch_size, "threads": threads or 1}
    for name, count in counts.items():
        if count < 1:
            raise MosaicFusionError(f"{name}={count} must be at least 1")
    Thresholds(min_quality or 0, min_semantics or 0)  # refuses what is not from 0 to 1
    share = Shard.parse(shard) if isinstance(shard, str) else shard or WHOLE
    selection = select(categories, config.model)
    out = as_folder(out)
    check_run_folder(out)  # before a model is loaded
    folder = find_model(config.model, config.revision)
    output = {
        "policy": policy,
        "masks": masks,
        "min_quality": min_quality,
        "min_semantics": min_semantics,
        "clip": clip,
    }
    options = DeviceOptions(device, threads, compile, offload, vae_tiling)
    with _engine(scale, options) as engine:
        # The dtype shapes the numbers: a run that began in float16 does not go on in float32.
        sampling = config.sampling.model_copy(update={"dtype": engine.dtype(config.sampling.dtype)})
        header: dict[str, Any] = {
            "config": config.model_copy(update={"sampling": sampling}).model_dump(mode="json"),
            "categories": {
                "main": [category.to_json() for category in selection.main],
                "partners": [category.to_json() for category in selection.partners],
            },
            "model": {"digest": digest(folder)},
            "canvases_per_category": canvases_per_category,
            "output": output,
            "versions": {name: version(name) for name in _VERSIONS},
        }
        check_run_folder(out, header)
        if RunFolder.output_at(out, output)["min_semantics"] > 0:
            check_local(out, "--min-semantics")
        check_semantics(RunFolder.output_at(out, output), selection)
        engine.load(header, out)
        run = RunFolder.create(out, header)
        try:
            with Claims(run.path) as claims:
                engine.draw(missing_batches(run, claims, batch_size, share), on_progress)
            summary = finish_run(run, "auto" if scale else device)
        except MosaicFusionError as error:
            raise MosaicFusionError(
                f"{error}\n{run.total - len(run.done())} of {run.total} canvases are missing; "
                "run the same command again to go on"
            ) from error
    return _checked(summary)


def retry(
    path: str | Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    compile: bool = False,
    offload: bool = False,
    vae_tiling: bool = False,
    scale: Scale | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Draw again what could not be drawn, each canvas with its batch, and nothing else.

    ``path``: a run folder. The others as in :func:`generate`, and so is what is returned and raised.
    """
    run = RunFolder.open(as_folder(path))
    with Claims(run.path) as claims:
        work = failed_batches(run, claims)
        if work.total:
            with _engine(scale, DeviceOptions(device, threads, compile, offload, vae_tiling)) as engine:
                engine.load(run.header, run.path)
                engine.draw(work, on_progress)
    return _checked(finish_run(run, "auto" if scale else device))


def _engine(scale: Scale | None, options: DeviceOptions) -> AbstractContextManager[Engine]:
    if scale is None:
        return nullcontext(LocalEngine(options))
    from mosaicfusion.generation.ray import on_ray

    return on_ray(scale, options)


def finish_run(run: RunFolder, device: str) -> Summary:
    """Compile the data set if everything is there, apart from what failed."""
    done = run.done()
    missing = run.total - len(done)
    failed = Counter(failure.message for failure in read_failures(run) if failure.canvas not in done)
    if missing > failed.total():  # other processes draw it, or will
        summary = summarize(run, run.header["output"]["policy"])
    else:
        run.tidy()  # of workers that died
        judge_semantics(run, device)
        with stage("compile"):
            summary = compile_run(run)
    return replace(summary, missing=missing, failed=dict(failed.most_common()))


def _checked(summary: Summary) -> Summary:
    if summary.failed:
        raise MosaicFusionError(
            f"{sum(summary.failed.values())} canvases could not be drawn; the other {summary.canvases} are in {summary.path}\n  "
            + "\n  ".join(f"{count}: {message}" for message, count in summary.failed.items())
            + f"\n`mosaicfusion retry {summary.path} --failed` draws these again and nothing else"
        )
    return summary


def check_semantics(output: dict[str, Any], selection: Selection) -> None:
    """Try what would fail after drawing, where the data set is to have a least semantics."""
    from mosaicfusion.models.clip import find_clip

    if output["min_semantics"] > 0:
        check_choices(selection.union)
        find_clip(output["clip"])


def judge_semantics(run: RunFolder, device: str) -> None:
    """Judge what the run's data set is to be chosen by, unless it is judged already."""
    from mosaicfusion.models.clip import load_clip

    output = run.header["output"]
    if output["min_semantics"] > 0 and not is_judged(run, output["clip"]):
        judge_pictures(run, load_clip(output["clip"], device))
