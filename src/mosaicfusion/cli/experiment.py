"""The commands of `experiment`: a whole comparison, from generation to a table of AP."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.extras import TRAINING, require_train_extra
from mosaicfusion.cli.options import DeviceOption
from mosaicfusion.errors import counted

if TYPE_CHECKING:
    from mosaicfusion.experiment.plan import Run
    from mosaicfusion.experiment.result import Result
    from mosaicfusion.experiment.runner import Experiment
    from mosaicfusion.experiment.table import Estimate
    from mosaicfusion.progress import OnProgress

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Folder of the experiment: new, or to be resumed.", show_default="exp, or exp-quick"
    ),
]
DataOption = Annotated[Path, typer.Option(help="Folder of MiniLVIS, in the source repository.")]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="Try it out: Mask R-CNN only, one seed, too short to compare.")
]
DetectorsOption = Annotated[str, typer.Option(help="Detectors to compare, comma-separated.")]
AblationOption = Annotated[int, typer.Option(help="Seeds of each of Mask R-CNN's ablations.", min=0)]
OnlyOption = Annotated[
    list[str] | None, typer.Option(help="A variant or a run of the plan; may be repeated.", show_default="all")
]
ScaleOption = Annotated[float, typer.Option(help="Factor for iterations and canvases, to try it out.")]

experiments = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Measure the effect of synthetic data: generate it, train with and without it, compare.",
)
app.add_typer(experiments, name="experiment")


@experiments.callback()
def _group() -> None:
    """Keep `minilvis` a subcommand although it is the only one."""


@experiments.command(
    epilog="""**Examples**

`mosaicfusion experiment minilvis --quick`

`mosaicfusion experiment minilvis --out exp`

`mosaicfusion experiment minilvis --out exp --only baseline --only synthetic --seeds 2`

`mosaicfusion experiment minilvis --out exp --list`

Run the same command again to resume. A second process with the same command works on the runs that the first has not started:
with OMP_NUM_THREADS=1 each, two processes use two cores better than one does."""
)
def minilvis(
    out: OutOption = None,
    data: DataOption = Path("datasets/minilvis"),
    quick: QuickOption = False,
    detectors: DetectorsOption = "mask_rcnn,centernet2,fvlm",
    seeds: Annotated[int, typer.Option(help="Seeds of each comparison.", min=1)] = 3,
    ablation_seeds: AblationOption = 1,
    only: OnlyOption = None,
    scale: ScaleOption = 1.0,
    show_plan: Annotated[bool, typer.Option("--list", help="Show the runs and their results; do nothing.")] = False,
    device: DeviceOption = "auto",
    workers: Annotated[int, typer.Option(help="Processes that load images.", min=0)] = 1,
) -> None:
    """Train on MiniLVIS without and with synthetic data, by detector, seed and variant; print AP with its spread."""
    from mosaicfusion.experiment.plan import FULL, QUICK, make_plan

    runs = make_plan([name.strip() for name in detectors.split(",")], seeds, ablation_seeds, only or [], quick)
    scales = (QUICK if quick else FULL).times(scale)

    require_train_extra(TRAINING)
    from mosaicfusion.experiment.runner import Experiment

    experiment = Experiment(data, out or Path("exp-quick" if quick else "exp"), scales, device, workers)
    if show_plan:
        _print_plan(experiment, runs)
        return
    _run(experiment, runs)
    if scales != FULL:
        typer.echo("a shortened experiment: its AP does not show what synthetic data changes")
    typer.echo(f"results: {experiment.out / 'runs'}/*/result.json")


def _run(experiment: Experiment, runs: Sequence[Run]) -> None:
    """Run what has no result yet, with a line per result, and print the table."""
    from mosaicfusion.experiment.runner import run_all

    results: list[Result] = []
    start, new_results = time.monotonic(), 0

    def on_result(result: Result, new: bool) -> None:
        nonlocal new_results
        results.append(result)
        if new:
            new_results += 1
            missing = len(runs) - len(results)
            left = (time.monotonic() - start) / new_results * missing / 60
            typer.echo(
                f"{_line(result)}; {len(results)} of {counted(len(runs), 'run')} done"
                + (f", about {left:.0f} min left" if missing else "")
            )

    elsewhere = list(run_all(experiment, runs, _bar, on_result))
    _print_results(results)
    if elsewhere:
        typer.echo(f"another process works on {', '.join(run.name for run in elsewhere)}")


@contextmanager
def _bar(doing: str, unit: str) -> Iterator[OnProgress]:
    from mosaicfusion.cli.console import progress_bar

    with progress_bar(doing, unit, doing) as progress:
        yield progress.show


def _line(result: Result) -> str:
    from mosaicfusion.cli.console import percent

    mask = result.metrics["mask"]
    values = ", ".join(f"{name} {percent(mask[name])}" for name in ("AP", "AP_r", "AP_c", "AP_f"))
    return f"{result.run}: mask {values}; {result.cost['train_s'] / 60:.1f} min of training"


def _print_plan(experiment: Experiment, runs: Sequence[Run]) -> None:
    from rich.console import Console

    from mosaicfusion.cli.console import make_table, percent

    data = experiment.training_data
    table = make_table("run", "training set", "steps", "AP", "AP_r", title=counted(len(runs), "run"), words=2)
    table.columns[0].no_wrap = True  # --only takes these names
    for run in runs:
        result = experiment.finished(run, data)
        values = ["", ""] if result is None else [percent(result.metrics["mask"][name]) for name in ("AP", "AP_r")]
        table.add_row(run.name, run.variant.title, str(experiment.recipe(run).schedule.iterations), *values)
    Console().print(table)


def _print_results(results: Sequence[Result]) -> None:
    from rich.console import Console

    from mosaicfusion.cli.console import make_table
    from mosaicfusion.experiment.plan import GROUPS
    from mosaicfusion.experiment.table import COLUMNS, gain, make_rows, rows_of

    if not results:
        return
    title = "mask AP in percent, mean ± standard deviation"
    table = make_table("detector", "training set", "seeds", *COLUMNS, title=title, words=2)
    rows = make_rows(results)
    for row in rows:
        values = [row.metrics["mask"].get(name) for name in COLUMNS]
        table.add_row(row.detector, row.title, str(len(row.seeds)), *_cells(values))
        for variants in GROUPS:
            group = rows_of(rows, row.detector, variants)
            if row in group[1:]:
                gains = [gain(group[0].metrics["mask"].get(name), row.metrics["mask"].get(name)) for name in COLUMNS]
                table.add_row("", "gain", "", *_cells(gains, "+"), end_section=True)
    Console().print(table)


def _cells(values: Sequence[Estimate | None], sign: str = "") -> list[str]:
    return ["-" if value is None else value.percent(sign) for value in values]
