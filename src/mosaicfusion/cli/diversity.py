"""Commands that judge the images of a run: diversity, semantics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import CLIP_HELP, DeviceOption
from mosaicfusion.errors import MosaicFusionError

if TYPE_CHECKING:
    from mosaicfusion.quality.variety import ImageSet


@app.command(
    epilog="""**Examples**

`mosaicfusion diversity runs/rare`

`mosaicfusion diversity runs/rare --against lvis_v1_train.json --images data/coco`

`mosaicfusion diversity train_plus.json --images data/ --features vit_small_patch14_dinov2.lvd142m --mask-background`"""
)
def diversity(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or an LVIS or COCO json.")],
    against: Annotated[
        Path | None, typer.Option(help="A real set to compare with: an LVIS or COCO json, or a run folder.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the json's images.")] = None,
    against_images: Annotated[
        Path | None, typer.Option(help="Folder of the images of --against.", show_default="that of --images")
    ] = None,
    features: Annotated[
        str, typer.Option(help="Image backbone: any pretrained timm model; the default needs no network.")
    ] = "efficientnet_lite0",
    per_category: Annotated[int, typer.Option(help="Instances of a category that are looked at.", min=5)] = 100,
    mask_background: Annotated[
        bool, typer.Option("--mask-background", help="Grey out what is outside of the masks.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File of the result.", show_default="RUN/diversity.json")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """How varied the instances of each category are, and how far from those of a real set."""
    from mosaicfusion.cli.console import Progress
    from mosaicfusion.cli.tables import print_diversity
    from mosaicfusion.files.atomic import write_atomic
    from mosaicfusion.generation.build_dataset import compile_run
    from mosaicfusion.models.backbones import load_backbone
    from mosaicfusion.quality.diversity import FILE_NAME
    from mosaicfusion.quality.variety import measure
    from mosaicfusion.run.folder import RunFolder

    drawn = _image_set(run_folder, images)
    real = _image_set(against, against_images or images) if against else None
    if out is None and run_folder.is_dir():
        out = run_folder / FILE_NAME
    with Progress("comparing", "crops", "reading the data") as progress:
        result = measure(drawn, load_backbone(features, device), real, per_category, mask_background, progress.show)
    if out is not None:
        write_atomic(out, result.model_dump_json(indent=1).encode())
    print_diversity(result)
    if out is not None:
        typer.echo(f"result: {out}")
    if out == run_folder / FILE_NAME:
        typer.echo(f"report: {compile_run(RunFolder.open(run_folder)).path / 'report.html'}")


@app.command(
    epilog="""**Examples**

`mosaicfusion semantics runs/fruit`

`mosaicfusion semantics runs/rare --clip ViT-B-32:laion2b_s34b_b79k --vocabulary lvis_v1_train.json`

`mosaicfusion report runs/rare --min-semantics 0.2` then leaves out what does not look like its category."""
)
def semantics(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder; it may be unfinished.")],
    clip: Annotated[str, typer.Option(help=CLIP_HELP)] = "mini",
    vocabulary: Annotated[
        Path | None, typer.Option(help="More categories to choose among, of an LVIS or COCO json.")
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(
            help="Text file with one template a line; their texts' mean counts.",
            show_default="a photo of a single {name}",
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Whether each region shows its category, by a CLIP model: score, probability and rank among the vocabulary."""
    from mosaicfusion.categories import from_json_file, read_lines
    from mosaicfusion.cli.console import Progress
    from mosaicfusion.cli.tables import print_semantics
    from mosaicfusion.generation.build_dataset import compile_run
    from mosaicfusion.models.clip import load_clip
    from mosaicfusion.quality.semantics import TEMPLATES, choices, judge_pictures
    from mosaicfusion.run.folder import RunFolder
    from mosaicfusion.run.judgements import SEMANTICS

    run = RunFolder.open(run_folder)
    among = choices(run, from_json_file(vocabulary) if vocabulary else ())
    texts = read_lines(templates) if templates else TEMPLATES
    with Progress("judging", "canvases") as progress:
        judged = judge_pictures(run, load_clip(clip, device), among, texts, progress.show)
    print_semantics(judged, len(among))
    typer.echo(f"result: {run.path / SEMANTICS}")
    typer.echo(f"report: {compile_run(run).path / 'report.html'}")


def _image_set(path: Path, images: Path | None) -> ImageSet:
    """A run folder's compiled data set, or a json with its images."""
    from mosaicfusion.quality.variety import ImageSet
    from mosaicfusion.run.folder import RunFolder

    if path.is_dir():
        RunFolder.open(path)
        if not (path / "lvis.json").is_file():
            raise MosaicFusionError(f"{path} holds no lvis.json yet; make it with `mosaicfusion report {path}`")
        return ImageSet(path / "lvis.json", path)
    if images is None:
        raise MosaicFusionError(f"where are the images of {path}? give their folder with --images")
    return ImageSet(path, images)
