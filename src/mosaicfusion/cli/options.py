"""Options that several commands share, and settings made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mosaicfusion.errors import MosaicFusionError

if TYPE_CHECKING:
    from mosaicfusion.categories import Selection
    from mosaicfusion.config import RunConfig
    from mosaicfusion.generation.ray import Scale

CategoriesOption = Annotated[
    str | None,
    typer.Option(
        "--categories", "-c", help="Names parted by commas, or a .txt file with one a line.", show_default="all"
    ),
]
MODEL_HELP = "'mini' (bundled), a folder in diffusers format, or a hub id as owner/name."
ModelOption = Annotated[str, typer.Option("--model", "-m", help=MODEL_HELP)]
SeedOption = Annotated[int, typer.Option(help="The same seed gives the same data.", min=0)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any other setting as KEY=VALUE, as in --set masks.threshold=0.4; may be repeated."),
]
PolicyOption = Annotated[
    Literal["drop", "not_exhaustive"] | None,
    typer.Option(
        help="Canvases with a rejected region: leave out, or mark.", show_default="as last time, at first drop"
    ),
]
MasksOption = Annotated[
    Literal["rle", "polygon"] | None,
    typer.Option(help="Masks in lvis.json; detectron2 wants polygons.", show_default="as last time, at first rle"),
]
MinSemanticsOption = Annotated[
    float | None,
    typer.Option(
        help="Reject instances that CLIP takes for their category with a lower probability.",
        min=0,
        max=1,
        show_default="as last time, at first 0",
    ),
]
CLIP_HELP = "'mini' (bundled), a folder in open_clip's format, a hub id, or name:pretrained."
MinQualityOption = Annotated[
    float | None,
    typer.Option(
        help="Reject instances whose mask is expected to fit worse than this IoU.",
        min=0,
        max=1,
        show_default="as last time, at first 0",
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
ThreadsOption = Annotated[
    int | None,
    typer.Option(help="CPU threads of each model; the same number, the same bytes.", min=1, show_default="all cores"),
]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="Compile parts of the model by torch.compile first: for long runs on a GPU.")
]
OffloadOption = Annotated[
    bool, typer.Option("--offload", help="Keep only the part of the model in use on the device: for small GPUs.")
]
VaeTilingOption = Annotated[
    bool, typer.Option("--vae-tiling", help="Decode in tiles: for canvases too large to decode at once.")
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Draw with so many Ray workers.", min=1, show_default="in this process")
]
RayAddressOption = Annotated[
    str | None, typer.Option(help="Workers on a cluster: ray://head:10001, head:6379 or auto.", show_default="here")
]
GpusOption = Annotated[
    float | None,
    typer.Option(
        "--num-gpus-per-worker", help="May be a fraction, as 0.5.", min=0, show_default="1 or an equal share, if any"
    ),
]
ResourcesOption = Annotated[
    str | None, typer.Option(help="Other resources of each worker as JSON, as '{\"tpu\": 1}'.", show_default="none")
]


def make_overrides(
    model: str | None,
    revision: str | None,
    seed: int | None,
    template: str | None,
    backgrounds: Path | None,
    scheduler: str | None,
    steps: int | None,
    guidance: float | None,
    dtype: str | None,
    grid: str | None,
) -> dict[str, Any]:
    from mosaicfusion.categories import read_lines

    scenes = tuple(read_lines(backgrounds)) if backgrounds else None
    if scenes == ():
        raise MosaicFusionError(f"{backgrounds} holds no background; write one a line")
    prompt = {"template": template, "backgrounds": scenes}
    return {
        "model": model,
        "revision": revision,
        "seed": seed,
        "layout": {"grids": tuple(part.strip() for part in grid.split(",")) if grid is not None else None},
        "prompt": {key: value for key, value in prompt.items() if value is not None},
        "sampling": {"scheduler": scheduler, "steps": steps, "guidance": guidance, "dtype": dtype},
    }


def read_config(preset: str | RunConfig | None, overrides: dict[str, Any], settings: list[str] | None) -> RunConfig:
    from mosaicfusion.generation.presets import make_config

    return make_config(preset, apply_settings(overrides, settings))


def apply_settings(values: dict[str, Any], settings: list[str] | None) -> dict[str, Any]:
    """``--set masks.threshold=0.4``: VALUE is JSON, or else a text."""
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise MosaicFusionError(f"--set {setting!r} is not KEY=VALUE; as in --set masks.threshold=0.4")
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


def make_scale(workers: int | None, ray_address: str | None, gpus: float | None, resources: str | None) -> Scale | None:
    if workers is None and ray_address is None:
        if gpus is not None or resources is not None:
            raise MosaicFusionError("--num-gpus-per-worker and --resources need --workers or --ray-address")
        return None
    from mosaicfusion.generation.ray import Scale

    try:
        amounts = json.loads(resources or "{}")
    except json.JSONDecodeError:
        amounts = None
    if not isinstance(amounts, dict) or not all(type(amount) in (int, float) for amount in amounts.values()):
        raise MosaicFusionError(f"--resources {resources!r:.80} is not JSON of names and amounts, as '{{\"tpu\": 1}}'")
    return Scale(workers, ray_address, gpus, amounts)


def make_selection(
    model: str,
    categories: str | None = None,
    vocabulary: Path | None = None,
    main_names: str | None = None,
    frequency: str | None = None,
    partners: str = "all",
) -> Selection:
    from mosaicfusion.categories import FREQUENCIES, Selection, split_names
    from mosaicfusion.generation.selection import vocabulary_for

    if categories is not None and vocabulary is not None:
        raise MosaicFusionError("give --categories or --vocabulary, not both")
    if main_names is not None and frequency is not None:
        raise MosaicFusionError("give --main or --frequency, not both: each says which categories lead a canvas")
    known = vocabulary_for(model, split_names(categories) if categories is not None else None, vocabulary)
    main = known
    if main_names is not None:
        main = known.select(split_names(main_names))
    elif frequency is not None:
        main = known.with_frequency(letter.strip() for letter in frequency.split(","))
    frequencies = [part.strip() for part in partners.split(",")]
    if partners in ("all", "main"):
        others = known if partners == "all" else main
    elif set(frequencies) <= set(FREQUENCIES):
        others = known.with_frequency(frequencies)
    else:
        others = known.select(split_names(partners))
    return Selection(main, others)
