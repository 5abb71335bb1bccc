"""The page docs/results.md: the numbers of the template ``page.md.j2``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.experiment_report import tables
from benchmarks.experiment_report.results import ROOT, About, read_sizes
from mosaicfusion.experiment.plan import make_plan
from mosaicfusion.experiment.result import Result
from mosaicfusion.experiment.table import make_rows

PAGE = ROOT / "docs/results.md"


def render(results: Sequence[Result], about: About) -> str:
    """Fill the template; sections without results are left out."""
    rows, dates = make_rows(results), sorted({result.date for result in results})
    runs, done = make_plan(), {result.run for result in results}
    cpu_s = [result.cost["train_cpu_s"] + result.cost["evaluate_cpu_s"] for result in results]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template("page.md.j2").render(
        about=about,
        date=dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}",
        versions=", ".join(f"{name} {number}" for name, number in sorted(results[0].versions.items())),
        cpu_minutes=f"{median(cpu_s) / 60:.0f}",
        waiting=f"{max(result.cost['data_share'] for result in results):.1%}",
        missing=[run.name for run in runs if run.name not in done],
        planned=len(runs),
        comparison=tables.comparison(rows),
        training_sets=tables.training_sets(results),
        ablations=tables.ablations(rows),
        sizes=tables.object_sizes(read_sizes()),
        counts=tables.gains_by_count(rows),
        styles=tables.by_style(rows),
    )
