"""Options that several commands share, and the settings built from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mosaicfusion.cli.speech import note
from mosaicfusion.errors import MosaicFusionError

if TYPE_CHECKING:
    from mosaicfusion.categories import Selection
    from mosaicfusion.config import OutputSettings, RunConfig
    from mosaicfusion.generation.scale import Scale

CATEGORIES, IMAGES, DATASET, MACHINE, PROCESSES = "Categories", "Images", "Data set", "Machine", "Several processes"
"""Panels of options in the help."""

CategoriesOption = Annotated[
    str | None,
    typer.Option(
        "--categories",
        "-c",
        help="Comma-separated names, or a .txt file with one per line.",
        show_default="all",
        rich_help_panel=CATEGORIES,
    ),
]
PRESET_HELP = "mini, paper, fast, zero-snr, sdxl."
MODEL_HELP = "'mini' (bundled), a folder in diffusers format, or a hub id such as owner/name."
ModelOption = Annotated[str, typer.Option("--model", "-m", help=MODEL_HELP)]
SeedOption = Annotated[int, typer.Option(help="The same seed gives the same data.", min=0)]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any other setting: KEY=VALUE, such as masks.threshold=0.4; may be repeated; `settings` lists them.",
    ),
]
PolicyOption = Annotated[
    Literal["drop", "not_exhaustive"] | None,
    typer.Option(
        help="Canvases with a rejected region: leave out, or mark.",
        show_default="as last time; initially not_exhaustive",
        rich_help_panel=DATASET,
    ),
]
MasksOption = Annotated[
    Literal["rle", "polygon"] | None,
    typer.Option(
        help="Masks in lvis.json; detectron2 needs polygons.",
        show_default="as last time; initially rle",
        rich_help_panel=DATASET,
    ),
]
MinSemanticsOption = Annotated[
    float | None,
    typer.Option(
        help="Reject instances whose category has a lower probability, as judged by CLIP.",
        min=0,
        max=1,
        show_default="as last time; initially 0",
        rich_help_panel=DATASET,
    ),
]
MarkBackgroundOption = Annotated[
    float | None,
    typer.Option(
        help="List categories as not exhaustive that CLIP finds, with this probability, where nothing is annotated.",
        min=0,
        max=1,
        show_default="as last time; initially 0, off",
        rich_help_panel=DATASET,
    ),
]
CLIP_HELP = "'mini' (bundled), a folder in open_clip's format, a hub id, or name:pretrained."
MinQualityOption = Annotated[
    float | None,
    typer.Option(
        help="Reject instances with a lower predicted mask IoU.",
        min=0,
        max=1,
        show_default="as last time; initially 0",
        rich_help_panel=DATASET,
    ),
]
IMAGES_HELP = "Folder that the file names of a json are relative to; may be repeated. A run folder holds its images."
ImagesOption = Annotated[
    list[Path] | None, typer.Option("--images", help=IMAGES_HELP, show_default="the folder of the json")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel=MACHINE)]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        help="CPU threads per model; the same number gives the same bytes.",
        min=1,
        show_default="all cores",
        rich_help_panel=MACHINE,
    ),
]
CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile parts of the model with torch.compile: for long runs on a GPU.",
        rich_help_panel=MACHINE,
    ),
]
OffloadOption = Annotated[
    bool,
    typer.Option(
        "--offload",
        help="Keep only the active part of the model on the device: for small GPUs.",
        rich_help_panel=MACHINE,
    ),
]
VaeTilingOption = Annotated[
    bool,
    typer.Option(
        "--vae-tiling", help="Decode in tiles: for canvases that do not fit in memory at once.", rich_help_panel=MACHINE
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        help="Generate with this many Ray workers.", min=1, show_default="this process", rich_help_panel=PROCESSES
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster of the workers: ray://head:10001, head:6379 or auto.",
        show_default="this machine",
        rich_help_panel=PROCESSES,
    ),
]
GpusOption = Annotated[
    float | None,
    typer.Option(
        "--num-gpus-per-worker",
        help="May be a fraction, such as 0.5.",
        min=0,
        show_default="1 or an equal share, if any",
        rich_help_panel=PROCESSES,
    ),
]
ResourcesOption = Annotated[
    str | None,
    typer.Option(
        help="Other Ray resources per worker as JSON, such as '{\"tpu\": 1}'.",
        show_default="none",
        rich_help_panel=PROCESSES,
    ),
]


def make_overrides(
    model: str | None,
    revision: str | None,
    variant: str | None,
    seed: int | None,
    template: str | None,
    negative: str | None,
    backgrounds: Path | None,
    scheduler: str | None,
    steps: int | None,
    guidance: float | None,
    dtype: str | None,
    layout: dict[str, Any],
) -> dict[str, Any]:
    """The options as nested settings; ``None`` where an option is not given."""
    from mosaicfusion.categories import read_lines

    scenes = tuple(read_lines(backgrounds)) if backgrounds else None
    if scenes == ():
        raise MosaicFusionError(f"{backgrounds} holds no background; write one per line")
    prompt = {"template": template, "negative": negative, "backgrounds": scenes}
    return {
        "model": model,
        "revision": revision,
        "variant": variant,
        "seed": seed,
        "layout": layout,
        "prompt": {key: value for key, value in prompt.items() if value is not None},
        "sampling": {"scheduler": scheduler, "steps": steps, "guidance": guidance, "dtype": dtype},
    }


def read_config(preset: str | RunConfig | None, overrides: dict[str, Any], settings: list[str] | None) -> RunConfig:
    """A preset or config with the options of a command and its ``--set`` settings."""
    from mosaicfusion.generation.presets import make_config

    return make_config(preset, apply_settings(overrides, settings))


def apply_settings(values: dict[str, Any], settings: list[str] | None) -> dict[str, Any]:
    """Put ``masks.threshold=0.4`` and the like into nested values. VALUE is JSON, or else a text."""
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise MosaicFusionError(f"--set {setting!r} is not KEY=VALUE, such as --set masks.threshold=0.4")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *parents, leaf = key.split(".")
        inner = values
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise MosaicFusionError(f"--set {setting!r}: {parent} holds no settings")
        inner[leaf] = value
    return values


def make_output(
    policy: str | None = None,
    masks: str | None = None,
    min_quality: float | None = None,
    min_semantics: float | None = None,
    mark_background: float | None = None,
    clip: str | None = None,
) -> OutputSettings:
    """The output settings that were given; the others keep their last value."""
    from mosaicfusion.config import OutputSettings

    values = {
        "policy": policy,
        "masks": masks,
        "min_quality": min_quality,
        "min_semantics": min_semantics,
        "mark_background": mark_background,
        "clip": clip,
    }
    return OutputSettings.parse({name: value for name, value in values.items() if value is not None})


def make_scale(
    workers: int | None, ray_address: str | None, gpus: float | None, resources: str | None, shard: str | None = None
) -> Scale:
    """The share of the run and the workers that were requested."""
    from mosaicfusion.generation.batches import WHOLE, Shard
    from mosaicfusion.generation.scale import Scale

    if workers is None and ray_address is None and (gpus is not None or resources is not None):
        raise MosaicFusionError("--num-gpus-per-worker and --resources need --workers or --ray-address")
    try:
        amounts = json.loads(resources or "{}")
    except json.JSONDecodeError:
        amounts = None
    if not isinstance(amounts, dict) or not all(type(amount) in (int, float) for amount in amounts.values()):
        raise MosaicFusionError(
            f"--resources {resources!r:.80} is not JSON of names and amounts, such as '{{\"tpu\": 1}}'"
        )
    return Scale(Shard.parse(shard) if shard is not None else WHOLE, workers, ray_address, gpus, amounts)


def make_selection(
    model: str,
    categories: str | None = None,
    vocabulary: Path | None = None,
    main_names: str | None = None,
    frequency: str | None = None,
    partners: str = "all",
) -> Selection:
    """The main and partner categories that the options select."""
    from mosaicfusion.categories import FREQUENCIES, Selection, split_names
    from mosaicfusion.generation.selection import vocabulary_for, with_counted_frequencies

    if categories is not None and vocabulary is not None:
        raise MosaicFusionError("give --categories or --vocabulary, not both")
    if main_names is not None and frequency is not None:
        raise MosaicFusionError("give --main or --frequency, not both: each selects the main categories")
    chosen = main_names is not None or frequency is not None
    names = split_names(categories) if categories is not None else None
    known = vocabulary_for(model, names, vocabulary, skip_unknown=chosen)
    for text in known.notes:
        note(text)
    parts = [part.strip() for part in partners.split(",")]
    by_frequency = frequency is not None or set(parts) <= set(FREQUENCIES)
    if by_frequency and vocabulary is not None:
        known = with_counted_frequencies(known, vocabulary)
    main = known
    if main_names is not None:
        main = known.select(split_names(main_names))
    elif frequency is not None:
        main = known.with_frequency(part.strip() for part in frequency.split(","))
    if partners in ("all", "main"):
        others = known if partners == "all" else main
    elif set(parts) <= set(FREQUENCIES):
        others = known.with_frequency(parts)
    else:
        others = known.select(split_names(partners))
    return Selection(main, others)
