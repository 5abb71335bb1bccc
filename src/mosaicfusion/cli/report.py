"""The command report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import (
    MarkBackgroundOption,
    MasksOption,
    MinQualityOption,
    MinSemanticsOption,
    PolicyOption,
    make_output,
)


@app.command(
    epilog="""**Examples**

`mosaicfusion report runs/fruit --policy not_exhaustive --masks polygon`

`mosaicfusion report runs/fruit --min-quality 0.8`

`mosaicfusion report runs/fruit --exclude rejected.txt` adds verdicts, as `mosaicfusion review` does"""
)
def report(
    run_folder: Annotated[str, typer.Argument(help="A run folder or URL; it may be unfinished.")],
    policy: PolicyOption = None,
    masks: MasksOption = None,
    min_quality: MinQualityOption = None,
    min_semantics: MinSemanticsOption = None,
    mark_background: MarkBackgroundOption = None,
    exclude: Annotated[
        Path | None,
        typer.Option(help="Text file of what to reject for good: a canvas (12) or an object of it (12:3) a line."),
    ] = None,
) -> None:
    """Rebuild lvis.json and report.html from a run folder; nothing is generated."""
    from mosaicfusion.cli.console import print_summary
    from mosaicfusion.generation.build_dataset import build_dataset
    from mosaicfusion.run.folder import RunFolder
    from mosaicfusion.run.reviews import append, read_places

    run, output = RunFolder.open(run_folder), make_output(policy, masks, min_quality, min_semantics, mark_background)
    if exclude is not None:
        append(run.path, read_places(exclude, run.total))
    print_summary(build_dataset(run, output))
