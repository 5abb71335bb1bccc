"""The commands of experiment: a whole comparison, from drawing to a table of AP."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import DeviceOption
from mosaicfusion.errors import MosaicFusionError

if TYPE_CHECKING:
    from mosaicfusion.experiment.data import Show
    from mosaicfusion.experiment.plan import Run
    from mosaicfusion.experiment.result import Result
    from mosaicfusion.experiment.runner import Experiment
    from mosaicfusion.experiment.table import Estimate

experiments = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Find out what drawn data changes: draw, train with and without it, compare.",
)
app.add_typer(experiments, name="experiment")


@experiments.callback()
def _group() -> None:
    """Keeps `minilvis` a command of its own while it is the only one."""


@experiments.command(
    epilog="""**Examples**

`mosaicfusion experiment minilvis --quick`

`mosaicfusion experiment minilvis --out exp`

`mosaicfusion experiment minilvis --out exp --only baseline --only drawn --seeds 2`

`mosaicfusion experiment minilvis --out exp --list`

The same command again goes on where it stopped. Started a second time beside the first one, it takes the runs that the other has
not begun: with OMP_NUM_THREADS=1 each, two use two cores better than one does."""
)
def minilvis(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder of the experiment: new, or to go on with.", show_default="exp, or exp-quick"
        ),
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder of MiniLVIS, in the source repository.")] = Path(
        "datasets/minilvis"
    ),
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="To try it out: Mask R-CNN alone, one seed, too short to compare.",
        ),
    ] = False,
    detectors: Annotated[
        str, typer.Option(help="Detectors to compare, parted by commas.")
    ] = "mask_rcnn,centernet2,fvlm",
    seeds: Annotated[int, typer.Option(help="Seeds of each comparison.", min=1)] = 3,
    ablation_seeds: Annotated[int, typer.Option(help="Seeds of each of Mask R-CNN's ablations.", min=0)] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help="A variant or a run of the plan; may be repeated.", show_default="all")
    ] = None,
    scale: Annotated[float, typer.Option(help="Part of the iterations and canvases, to try it out.")] = 1.0,
    show_plan: Annotated[bool, typer.Option("--list", help="Show the runs and what is done; do nothing.")] = False,
    device: DeviceOption = "auto",
    workers: Annotated[int, typer.Option(help="Processes that load images.", min=0)] = 1,
) -> None:
    """Train on MiniLVIS without and with drawn data, by detector and seed, and in variants; print AP with its spread."""
    from mosaicfusion.experiment.plan import FULL, QUICK, make_plan

    runs = make_plan([name.strip() for name in detectors.split(",")], seeds, ablation_seeds, only or [], quick)
    scales = (QUICK if quick else FULL).times(scale)

    try:
        from mosaicfusion.experiment.runner import Experiment, run_all
    except ModuleNotFoundError as error:
        raise MosaicFusionError(f'training needs {error.name}: pip install "mosaicfusion[train]"') from None

    out = out or Path("exp-quick" if quick else "exp")
    experiment = Experiment(data, out, scales, device, workers)
    if show_plan:
        _print_plan(experiment, runs)
        return
    results: list[Result] = []
    begun, fresh = time.monotonic(), 0

    def on_result(result: Result, new: bool) -> None:
        nonlocal fresh
        results.append(result)
        if new:
            fresh += 1
            missing = len(runs) - len(results)
            left = (time.monotonic() - begun) / fresh * missing / 60
            typer.echo(
                f"{_line(result)}; {len(results)} of {len(runs)} runs done"
                + f", about {left:.0f} min left" * (missing > 0)
            )

    elsewhere = list(run_all(experiment, runs, _bar, on_result))
    _print_results(results)
    if elsewhere:
        typer.echo(f"another process is at work on {', '.join(run.name for run in elsewhere)}")
    if scales != FULL:
        typer.echo("a shortened experiment: its AP does not tell what drawn data changes")
    typer.echo(f"results: {out / 'runs'}/*/result.json")


@contextmanager
def _bar(doing: str, unit: str) -> Iterator[Show]:
    from mosaicfusion.cli.console import Progress

    with Progress(doing, unit, doing) as progress:
        yield progress.show


def _line(result: Result) -> str:
    mask = result.metrics["mask"]
    values = ", ".join(f"{name} {_percent(mask[name])}" for name in ("AP", "AP_r", "AP_c", "AP_f"))
    return f"{result.run}: mask {values}; {result.cost['train_s'] / 60:.1f} min of training"


def _print_plan(experiment: Experiment, runs: Sequence[Run]) -> None:
    from rich.console import Console

    from mosaicfusion.cli.console import make_table

    data = experiment.training_data
    table = make_table("run", "training set", "steps", "AP", "AP_r", title=f"{len(runs)} runs", words=2)
    table.columns[0].no_wrap = True  # its names are what --only takes
    for run in runs:
        result = experiment.finished(run, data)
        found = ["", ""] if result is None else [_percent(result.metrics["mask"][name]) for name in ("AP", "AP_r")]
        table.add_row(run.name, run.variant.title, str(experiment.recipe(run).schedule.iterations), *found)
    Console().print(table)


def _print_results(results: Sequence[Result]) -> None:
    from rich.console import Console

    from mosaicfusion.cli.console import make_table
    from mosaicfusion.experiment.plan import PAIRS
    from mosaicfusion.experiment.table import COLUMNS, gain, make_rows, pair_of

    if not results:
        return
    title = "mask AP in percent, mean ± standard deviation"
    table = make_table("detector", "training set", "seeds", *COLUMNS, title=title, words=2)
    rows = make_rows(results)
    for row in rows:
        found = [row.metrics["mask"].get(name) for name in COLUMNS]
        table.add_row(row.detector, row.title, str(len(row.seeds)), *_cells(found))
        for variants in PAIRS:
            pair = pair_of(rows, row.detector, variants)
            if len(pair) == 2 and row is pair[1]:
                gains = [gain(*(one.metrics["mask"].get(name) for one in pair)) for name in COLUMNS]
                table.add_row("", "gain", "", *_cells(gains, "+"), end_section=True)
    Console().print(table)


def _cells(values: Sequence[Estimate | None], sign: str = "") -> list[str]:
    return ["-" if value is None else value.percent(sign) for value in values]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
