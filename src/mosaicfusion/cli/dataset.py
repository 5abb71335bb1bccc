"""Commands on data sets: merge, validate, stats."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import ImagesOption, MasksOption, PolicyOption
from mosaicfusion.cli.speech import note, warn
from mosaicfusion.errors import MosaicFusionError, counted, first_few, printable

if TYPE_CHECKING:
    from rich.console import Console

    from mosaicfusion.dataset.merge import MergeSummary
    from mosaicfusion.dataset.stats import DatasetStats, Spread

_MAX_ROWS = 20
MaxPerCategoryOption = Annotated[
    int | None,
    typer.Option(min=0, help="Maximum of added instances per category; images are added whole, in order, or left out."),
]
CopyOption = Annotated[bool, typer.Option("--copy-images", help="Copy all images to the folder of the merged json.")]
LinkOption = Annotated[bool, typer.Option("--link-images", help="Link all images in the folder of the merged json.")]
RenumberOption = Annotated[
    bool, typer.Option("--renumber", help="Number all categories from 1 without gaps, as detectron2 needs.")
]
MatchOption = Annotated[
    list[str] | None,
    typer.Option(help="SYNTHETIC=REAL name of a category; SYNTHETIC= adds it as new. May be repeated."),
]


@app.command(
    epilog="""**Examples**

`mosaicfusion merge lvis_v1_train.json runs/rare -o train_plus.json --masks polygon --link-images`

`mosaicfusion merge train/_annotations.coco.json runs/fruit -o data/plus.json --link-images --images train`

`mosaicfusion merge lvis_v1_train.json runs/rare runs/more -o open.json --open-vocabulary --max-per-category 25`

`mosaicfusion merge instances_train2017.json runs/fruit -o data/plus.json --match "bow=bow_(weapon)"`

Categories match by synset, then name, then synonym. Of the real file, only the counts of its categories change."""
)
def merge(
    real: Annotated[Path, typer.Argument(help="An LVIS or COCO json.")],
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or other LVIS or COCO jsons beside their images.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The merged json; its folder receives the images.")],
    open_vocabulary: Annotated[
        bool, typer.Option("--open-vocabulary", help="Remove the real annotations of rare categories.")
    ] = False,
    max_per_category: MaxPerCategoryOption = None,
    copy_images: CopyOption = False,
    link_images: LinkOption = False,
    images: ImagesOption = None,
    renumber: RenumberOption = False,
    match: MatchOption = None,
    policy: PolicyOption = None,
    masks: MasksOption = None,
) -> None:
    """Merge synthetic runs into a real LVIS or COCO json."""
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.dataset.merge import merge as run

    if copy_images and link_images:
        raise MosaicFusionError("give --copy-images or --link-images, not both")
    if images and not (copy_images or link_images):
        raise MosaicFusionError("--images is for images to be placed; add --link-images or --copy-images")
    choices = dict(_choice(text) for text in match or [])
    with progress_bar("placing", "image", before=f"merging into {real.name}") as progress:
        summary = run(
            real,
            runs or [],
            out,
            open_vocabulary=open_vocabulary,
            max_per_category=max_per_category,
            image_mode="copy" if copy_images else "link" if link_images else None,
            images=images or (),
            renumber=renumber,
            policy=policy,
            masks=masks,
            choices=choices,
            on_image=progress.show,
        )
    _print_merge(summary, placed=copy_images or link_images)


def _choice(text: str) -> tuple[str, str]:
    name, equals, other = text.partition("=")
    if not (equals and name.strip()):
        raise MosaicFusionError(f"--match {text!r} is not SYNTHETIC=REAL; as in --match 'bow=bow_(weapon)'")
    return name, other.strip()


def _print_merge(summary: MergeSummary, placed: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from mosaicfusion.cli.console import make_table

    console = Console()
    table = make_table("source", "images", "annotations", "left out", "categories matched", "new")
    removed = counted(summary.removed, "annotation") if summary.removed else ""
    table.add_row("the real set", str(summary.images), str(summary.annotations), removed, "", "")
    for added in summary.added:
        left_out = counted(added.over_cap, "image") if added.over_cap else ""
        counts = (added.images, added.annotations, left_out, added.matched, len(added.new_categories))
        table.add_row(Text(str(added.path)), *map(str, counts))
    console.print(table)
    matches = {pair for added in summary.added for pair in added.matches.items()}
    if matches:  # other spellings first: they deserve a look
        pairs = sorted(matches, key=lambda pair: (pair[0] == pair[1], pair))
        texts = [name if name == real else f"{name} = {real}" for name, real in pairs]
        console.print(f"matched categories: {first_few(texts, 20)}", markup=False, soft_wrap=True)
    new = [name for added in summary.added for name in added.new_categories]
    if new:
        console.print(
            f"new categories, for which the classifier needs outputs: {first_few(new, 10)}",
            markup=False,
            soft_wrap=True,
        )
    for name, near in dict.fromkeys(pair for added in summary.added for pair in added.similar.items()):
        note(f"{name!r} is new; if it is the real {near!r}, add --match {shlex.quote(f'{name}={near}')}")
    if any(added.run_lengths for added in summary.added):
        console.print("the added masks are run lengths; detectron2's LVIS loader needs polygons: --masks polygon")
    for text in summary.notes:
        note(text)
    if summary.unplaced:
        warn(summary.unplaced)
    _print_places(summary, placed, console)
    console.print(f"merged: {summary.out}", markup=False, soft_wrap=True)


def _print_places(summary: MergeSummary, placed: bool, console: Console) -> None:
    if summary.placed:
        verb = "is" if summary.placed == 1 else "are"
        text = f"{counted(summary.placed, 'real image')} {verb} in {summary.out.parent} too"
        console.print(text, markup=False, soft_wrap=True)
    folders = {folder: path for added in summary.added for folder, path in added.folders.items()}
    if not folders:
        return
    here = f"are in {summary.out.parent}"
    where = here if placed else "must be put there, as --link-images does, with --images FOLDER the real ones too"
    console.print(
        f"loaders look for the added images under the image root; they {where}:", markup=False, soft_wrap=True
    )
    for folder, path in list(folders.items())[:10]:
        console.print(f"  {folder}/" + ("" if placed else f"  now in {path}"), markup=False, soft_wrap=True)
    if len(folders) > 10:
        console.print(f"  and {counted(len(folders) - 10, 'folder')} more")


@app.command(
    epilog="""**Examples**

`mosaicfusion validate train_plus.json --images data/`

`mosaicfusion validate lvis_v1_val.json --fix -o fixed.json`

Exit status: 0 without errors, 1 with errors, 2 if the file cannot be read."""
)
def validate(
    path: Annotated[Path, typer.Argument(help="An LVIS or COCO json, or a run folder.")],
    images: Annotated[
        list[Path] | None, typer.Option(help="Folder of the images: check the files too. May be repeated.")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Write all repairs, then check the result.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File that --fix writes.", show_default="the same file")
    ] = None,
    max_per_kind: Annotated[int, typer.Option(min=1, help="Issues of one kind that are printed.")] = 5,
) -> None:
    """Check format, references, file names, areas and boxes, and the rules of loaders."""
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.dataset.validate import fix as repair
    from mosaicfusion.dataset.validate import validate as check

    if out is not None and not fix:
        raise MosaicFusionError("-o is for what --fix writes; give both")
    if fix:
        target = out or path
        repairs = repair(path, target, images)
        done = ", ".join(f"{kind} {count}" for kind, count in repairs.most_common()) or "nothing"
        typer.echo(f"fixed in {target}: {done}")
        path = target
    with progress_bar("checking", "row", before=f"reading {path.name}") as progress:
        report = check(path, images, max_per_kind, progress.show)
    for line in report.issues.lines():
        typer.echo(line)
    errors, warnings = report.issues.number("error"), report.issues.number("warning")
    typer.echo(
        f"{counted(errors, 'error')} and {counted(warnings, 'warning')} in {counted(report.images, 'image')}, "
        f"{counted(report.annotations, 'annotation')}, {counted(report.categories, 'category')} of {path}"
    )
    if errors:
        raise typer.Exit(1)


@app.command(
    epilog="""**Examples**

`mosaicfusion stats runs/fruit`

`mosaicfusion stats train_plus.json --json`"""
)
def stats(
    path: Annotated[Path, typer.Argument(help="A run folder, or an LVIS or COCO json.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print all counts as JSON, for scripts.")] = False,
) -> None:
    """Count images, masks and categories; of a merged set also by real and synthetic part.

    Three numbers separated by slashes are minimum, median and maximum.
    """
    import json

    from mosaicfusion.dataset.stats import read_stats

    counted = read_stats(path)
    if as_json:
        typer.echo(json.dumps(counted.to_json(), indent=1))
    else:
        _print_stats(counted)


def _print_stats(stats: DatasetStats) -> None:
    from rich.console import Console
    from rich.text import Text

    from mosaicfusion.cli.console import make_table

    console = Console()
    parts = stats.parts.values()
    table = make_table("", *stats.parts, title=Text(f"{stats.path}: {counted(stats.categories, 'category')}"))
    table.add_row("images", *(str(part.images) for part in parts))
    table.add_row("masks", *(str(part.annotations) for part in parts))
    table.add_row("masks per image", *(_spread(part.masks_per_image) for part in parts))
    table.add_row("categories with an image", *(str(part.categories_with_image) for part in parts))
    table.add_row("masks per such category", *(_spread(part.instances_per_category) for part in parts))
    table.add_row("small, below 32 x 32 px", *(str(part.small) for part in parts))
    table.add_row("medium", *(str(part.medium) for part in parts))
    table.add_row("large, above 96 x 96 px", *(str(part.large) for part in parts))
    console.print(table)
    if stats.frequencies:
        frequencies = make_table(
            "frequency", "categories", "counted here", "without image", "masks", "masks per category"
        )
        for frequency, of in stats.frequencies.items():
            counts = map(str, (of.categories, of.counted, of.without_image, of.instances))
            frequencies.add_row(frequency, *counts, _spread(of.instances_per_category))
        console.print(frequencies)
    if 1 < stats.categories <= _MAX_ROWS:
        by_category = make_table("category", "masks", title="fewest first")
        for name, masks in stats.by_category:
            by_category.add_row(Text(printable(name)), str(masks))
        console.print(by_category)
    elif stats.categories > _MAX_ROWS:
        rarest = [f"{name} {masks}" for name, masks in stats.by_category if masks]
        console.print(f"categories with the fewest masks: {first_few(rarest, 10)}", markup=False, soft_wrap=True)
    if stats.without_image:
        console.print(f"categories without an image: {first_few(stats.without_image, 10)}", markup=False)
    for remark in stats.remarks:
        note(remark)


def _spread(spread: Spread) -> str:
    return f"{spread.min:g} / {spread.median:g} / {spread.max:g}"
