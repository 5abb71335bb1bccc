"""The commands judge and refine, about the masks of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import DeviceOption
from mosaicfusion.errors import printable

if TYPE_CHECKING:
    from mosaicfusion.models.segmenters import Annotator
    from mosaicfusion.quality.agreement import Judgement

RunArgument = Annotated[Path, typer.Argument(help="A run folder; it may be unfinished.")]
AnnotatorOption = Annotated[
    Literal["sam", "sam2", "grabcut"], typer.Option("--annotator", "-a", help="grabcut needs no weights.")
]
AnnotatorModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="SAM: a folder in transformers format, or a hub id such as owner/name.",
        show_default="facebook/sam-vit-huge, facebook/sam2.1-hiera-large",
    ),
]
_MAX_ROWS = 5  # categories, of the worst and of the best


@app.command(
    epilog="""**Examples**

`mosaicfusion judge runs/fruit --annotator grabcut`

`mosaicfusion judge runs/rare --annotator sam --model facebook/sam-vit-huge`

Canvases are judged once: an interrupted command resumes, and after a run has grown, only new canvases are judged."""
)
def judge(
    run_folder: RunArgument,
    annotator: AnnotatorOption = "grabcut",
    model: AnnotatorModelOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Compare the masks with those of an annotator prompted with their boxes; mean IoU goes to judge.json and the report."""
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.generation.build_dataset import build_dataset
    from mosaicfusion.quality.agreement import judge_masks
    from mosaicfusion.run.folder import RunFolder

    run = RunFolder.open(run_folder)
    with progress_bar("judging", "canvas") as progress:
        judgement = judge_masks(run, _load(annotator, model, device), progress.show)
    _print_judgement(annotator, judgement)
    typer.echo(f"report: {build_dataset(run).path / 'report.html'}")


@app.command(
    epilog="""**Examples**

`mosaicfusion refine runs/fruit --annotator grabcut --out runs/fruit-grabcut`

`mosaicfusion refine runs/rare --annotator sam --model facebook/sam-vit-huge --out runs/rare-sam`

Run the same command again to resume an interrupted one. The first run is not changed; the new one keeps a copy of its masks."""
)
def refine(
    run_folder: RunArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder of the result: new, empty, or to be resumed.")],
    annotator: AnnotatorOption = "grabcut",
    model: AnnotatorModelOption = None,
    copy_images: Annotated[
        bool, typer.Option("--copy-images", help="Copy the images instead of making hard links.")
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """Copy a run with the annotator's masks in place of its own: new areas and boxes, the same images."""
    from mosaicfusion.cli.console import print_summary, progress_bar
    from mosaicfusion.generation.build_dataset import build_dataset
    from mosaicfusion.quality.refine import refine_run
    from mosaicfusion.run.folder import RunFolder

    run = RunFolder.open(run_folder)
    with progress_bar("refining", "canvas") as progress:
        refined = refine_run(
            run, _load(annotator, model, device), out, copy_images=copy_images, on_progress=progress.show
        )
    print_summary(build_dataset(refined))


def _load(name: Literal["sam", "sam2", "grabcut"], model: str | None, device: str) -> Annotator:
    from mosaicfusion.models.segmenters import load_annotator

    return load_annotator(name, model, device)


def _print_judgement(annotator: str, judgement: Judgement) -> None:
    """Print mean IoU overall, of the worst and the best categories, and above some thresholds of quality."""
    from rich.console import Console
    from rich.text import Text

    from mosaicfusion.cli.console import make_table

    console = Console()
    table = make_table("masks", "instances", "mean IoU", title=f"our masks against {annotator}")
    table.add_row("all", str(judgement.instances), f"{judgement.mean_iou:.1%}", end_section=True)
    ranked = sorted(judgement.categories.items(), key=lambda item: (item[1].mean_iou, item[0]))
    worst, best = (ranked[:_MAX_ROWS], ranked[-_MAX_ROWS:]) if len(ranked) > 2 * _MAX_ROWS else (ranked, [])
    for group in (worst, best):
        for k, (name, agreement) in enumerate(group, start=1):
            cells = (str(agreement.instances), f"{agreement.mean_iou:.1%}")
            table.add_row(Text(printable(name)), *cells, end_section=k == len(group))
    quality = judgement.quality
    for above in quality.thresholds[1:] if quality else ():
        label = f"best {above.share:.0%}: quality from {above.min_quality:.2f}"
        table.add_row(label, str(above.instances), f"{above.mean_iou:.1%}")
    console.print(table)
    if quality:
        console.print(f"quality and IoU: Pearson {quality.pearson:.2f}, Spearman {quality.spearman:.2f}")
