"""What the command line shows: a progress bar and a short table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text, TextType

if TYPE_CHECKING:
    from mosaicfusion.generation.build_dataset import Summary
    from mosaicfusion.profiling import Profile


class Progress:
    """A bar with rate and time left, over canvases that are drawn or whatever else is counted."""

    def __init__(self, doing: str = "drawing", unit: str = "canvases", before: str = "loading the model") -> None:
        self._doing, self._unit, self._before = doing, unit, before

    def __enter__(self) -> Progress:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]} " + self._unit),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bar.start()
        self._task = self._bar.add_task(self._before, total=None, count="", rate="")
        self._begun: float | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.update(self._task, visible=self._begun is not None)
        self._bar.stop()

    def show(self, done: float, total: int) -> None:
        """How many are done and in all; the first may be fractional."""
        if self._begun is None:  # what an earlier run drew does not count for the rate
            self._begun = done
            self._bar.reset(self._task, total=total, completed=int(done), description=self._doing)
        elapsed = self._bar.tasks[0].elapsed or 0
        rate = f"{(done - self._begun) / elapsed * 60:.1f}/min" if elapsed > 1 else ""
        self._bar.update(self._task, completed=done, count=f"{int(done)}/{total}", rate=rate)


def make_table(*head: str, title: TextType | None = None, words: int = 1) -> Table:
    """A table whose first columns hold words, as many as said, and the others numbers, set to the right."""
    table = Table(*head, title=title)
    for column in table.columns[words:]:
        column.justify = "right"
    return table


def print_summary(summary: Summary) -> None:
    """Yield by category, reasons of rejection, and where the results are."""
    console = Console()
    title = f"{summary.canvases} canvases, {summary.used} in the data set"
    table = make_table("category", "asked", "kept", "yield", title=title)
    lines = list(summary.per_category.items())
    for name, (asked, kept) in lines[:20]:
        table.add_row(Text(name), str(asked), str(kept), f"{kept / asked:.0%}")
    if len(lines) > 20:
        table.add_row(f"... {len(lines) - 20} more", "", "", "")
    share = summary.kept_regions / summary.regions if summary.regions else 0
    table.add_section()
    table.add_row("all", str(summary.regions), str(summary.kept_regions), f"{share:.0%}")
    console.print(table)
    if summary.rejections:
        console.print("rejected: " + ", ".join(f"{reason} {count}" for reason, count in summary.rejections.items()))
    if summary.missing:
        console.print(
            f"{summary.missing} canvases are missing: whoever draws the last compiles {summary.path / 'lvis.json'}, "
            f"or `mosaicfusion report {summary.path}` does",
            soft_wrap=True,
        )
        return
    console.print(f"{summary.instances} instances in {summary.path / 'lvis.json'}", soft_wrap=True)
    console.print(f"report: {summary.path / 'report.html'}", soft_wrap=True)


def print_profile(profile: Profile) -> None:
    """Stages by their own time; those beside the sampler overlap with it, so shares may add up to more than the whole."""
    table = make_table("stage", "calls", "seconds", "of the run", title=f"{profile.seconds:.1f} s in all")
    for total in profile.totals():
        share = total.own_seconds / profile.seconds
        table.add_row(total.name, str(total.calls), f"{total.own_seconds:.2f}", f"{share:.1%}")
    Console().print(table)
