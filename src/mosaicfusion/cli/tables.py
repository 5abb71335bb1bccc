"""Console tables of the commands diversity and semantics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mosaicfusion.cli.console import make_table
from mosaicfusion.errors import counted, first_few, printable

if TYPE_CHECKING:
    from mosaicfusion.quality.diversity import CategoryDiversity, Diversity
    from mosaicfusion.run.semantics import BackgroundSemantics, RegionSemantics

_MAX_ROWS = 20


def print_diversity(result: Diversity) -> None:
    """Print the categories, the least varied first, and the comparison with the real set."""
    from mosaicfusion.quality.diversity import MIN_INSTANCES, ranked

    console = Console()
    enough = ranked(result)
    title = f"{counted(result.instances, 'instance')}, {counted(len(result.categories), 'category')}; features {result.features}"
    table = make_table("category", "instances", "Vendi", "distance", title=Text(title))
    for category in enough[:_MAX_ROWS]:
        cells = (str(category.instances), f"{category.vendi:.2f}", f"{category.distance:.3f}")
        table.add_row(Text(printable(category.category)), *cells)
    _add_rest(table, len(enough))
    if enough:
        console.print(table)
    console.print(f"all instances: Vendi {result.vendi:.1f}, distance {result.distance:.3f}")
    few = len(result.categories) - len(enough)
    if few:
        console.print(f"too few instances for scores, fewer than {MIN_INSTANCES}: {counted(few, 'category')}")
    if result.against is not None:
        _print_comparison(console, result, [category for category in enough if category.against])


def _print_comparison(console: Console, result: Diversity, categories: Sequence[CategoryDiversity]) -> None:
    from mosaicfusion.quality.diversity import MIN_PAIRS

    head = ("category", "pairs", "Vendi", "Vendi real", "distance real", "KID x 1000")
    table = make_table(*head, title=Text(f"against {result.against}, with equal numbers for Vendi"))
    for category in categories[:_MAX_ROWS]:
        if (gap := category.against) is not None:
            cells = (str(gap.instances), f"{gap.vendi_synthetic:.2f}", f"{gap.vendi_real:.2f}")
            table.add_row(
                Text(printable(category.category)), *cells, f"{gap.distance_real:.3f}", f"{1000 * gap.kid:.1f}"
            )
    _add_rest(table, len(categories))
    if categories:
        console.print(table)
    if result.unmatched:
        names = first_few(result.unmatched)
        console.print(f"{counted(len(result.unmatched), 'category')} not in {result.against}: {names}", markup=False)
    if (whole := result.gap) is None:
        console.print(f"{counted(result.pairs, 'pair')} of the same category: scores of the whole set need {MIN_PAIRS}")
        return
    console.print(
        f"{counted(whole.pairs, 'pair')} of the same category: FID {whole.fid:.1f} (between real halves {whole.fid_floor:.1f}), "
        f"KID x 1000 {1000 * whole.kid:.1f}, precision {whole.precision:.2f}, recall {whole.recall:.2f}"
    )
    console.print(
        f"a linear classifier separates real from synthetic with an accuracy of {whole.classifier:.1%} (50 % is chance)"
    )


def print_semantics(judged: Sequence[RegionSemantics]) -> None:
    """Print the categories, the least recognised first."""
    from mosaicfusion.quality.semantics import by_category

    console = Console()
    first = sum(region.rank == 1 for region in judged)
    share = first / len(judged) if judged else 0
    choices = max((region.choices for region in judged), default=0)
    title = f"{counted(len(judged), 'region')}; their category ranks first for {share:.0%}, among {counted(choices, 'category')}"
    head = ["category", "regions", "ranked first", "probability", "score", "mistaken for"]
    table = make_table(*head, title=Text(title))
    rows = by_category(judged)
    for row in rows[:_MAX_ROWS]:
        cells = (str(row.regions), f"{row.first:.0%}", f"{row.probability:.2f}", f"{row.score:.3f}")
        table.add_row(Text(row.category), *cells, Text(row.mistaken_for or "-"))
    _add_rest(table, len(rows))
    console.print(table)


def print_background(background: Iterable[BackgroundSemantics]) -> None:
    """Print on how many canvases CLIP finds a category where nothing is annotated, by its probability."""
    from mosaicfusion.quality.background import count_canvases

    lines = [line for line in background if line.windows]
    if lines:
        windows = counted(sum(line.windows for line in lines), "window")
        found = ", ".join(f"{threshold} on {count}" for threshold, count in count_canvases(lines).items())
        text = f"{windows} of {counted(len(lines), 'canvas')} where nothing is annotated; a category at a probability of {found}"
        Console().print(text, markup=False, soft_wrap=True)


def _add_rest(table: Table, rows: int) -> None:
    if rows > _MAX_ROWS:
        table.add_row(f"... {rows - _MAX_ROWS} more")
