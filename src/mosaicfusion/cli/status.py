"""Commands about runs under way: status, retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import (
    CompileOption,
    DeviceOption,
    GpusOption,
    OffloadOption,
    RayAddressOption,
    ResourcesOption,
    ThreadsOption,
    VaeTilingOption,
    WorkersOption,
    make_scale,
)
from mosaicfusion.errors import MosaicFusionError

if TYPE_CHECKING:
    from mosaicfusion.run.status import Status

RunArgument = Annotated[str, typer.Argument(help="A run folder or URL; others may write into it.")]


@app.command(epilog="**Examples**\n\n`mosaicfusion status runs/rare`\n\n`mosaicfusion status runs/rare --json`")
def status(
    run_folder: RunArgument,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Show how far a run is: canvases done, rate, time left, yield, failures."""
    from mosaicfusion.run.status import read_status

    found = read_status(run_folder)
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps(asdict(found), ensure_ascii=False))
    else:
        _print_status(found)


@app.command(
    epilog="""**Example**

`mosaicfusion retry runs/rare --failed`

A canvas is drawn with the batch it failed in, so it comes out as if it had not failed. What is merely missing is drawn by the
command that began the run."""
)
def retry(
    run_folder: RunArgument,
    failed: Annotated[
        bool, typer.Option("--failed", help="What could not be drawn: too little memory, a lost worker, NaN.")
    ] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    compile: CompileOption = False,
    offload: OffloadOption = False,
    vae_tiling: VaeTilingOption = False,
    workers: WorkersOption = None,
    ray_address: RayAddressOption = None,
    num_gpus_per_worker: GpusOption = None,
    resources: ResourcesOption = None,
) -> None:
    """Draw again what failed, and nothing else."""
    from mosaicfusion.cli.console import Progress, print_summary
    from mosaicfusion.generation.generate import retry as run

    if not failed:
        raise MosaicFusionError(f"say what to draw again: `mosaicfusion retry {run_folder} --failed`")
    scale = make_scale(workers, ray_address, num_gpus_per_worker, resources)
    with Progress(before="starting the workers" if scale else "loading the model") as progress:
        summary = run(
            run_folder,
            device=device,
            threads=threads,
            compile=compile,
            offload=offload,
            vae_tiling=vae_tiling,
            scale=scale,
            on_progress=progress.show,
        )
    print_summary(summary)


def _print_status(found: Status) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, title=Text(found.path))
    share = found.done / found.total if found.total else 1.0
    table.add_row("canvases", f"{found.done} of {found.total} ({share:.0%})")
    if found.done < found.total:
        table.add_row("rate", "-" if found.rate is None else f"{found.rate:.1f} a minute")
        table.add_row("time left", "-" if found.left_s is None else _duration(found.left_s))
    table.add_row("last part", "-" if found.idle_s is None else f"{_duration(found.idle_s)} ago")
    table.add_row(
        "yield",
        f"{found.kept} of {found.asked} regions" + (f" ({found.kept / found.asked:.0%})" if found.asked else ""),
    )
    failures = ", ".join(f"{reason} {count}" for reason, count in found.failures.items())
    table.add_row("failures", Text(failures or "none"))
    table.add_row("lvis.json", "written" if found.compiled else "not yet written")
    console = Console()
    console.print(table)
    if found.failures:
        console.print(Text(f"`mosaicfusion retry {found.path} --failed` draws these again"), soft_wrap=True)


def _duration(seconds: float) -> str:
    """``5 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
