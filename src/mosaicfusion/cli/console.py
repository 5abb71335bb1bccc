"""Progress bars and short tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text, TextType

from mosaicfusion.generation.events import Event, Progress
from mosaicfusion.masks.rejection import reason_name

if TYPE_CHECKING:
    from mosaicfusion.generation.build_dataset import Summary
    from mosaicfusion.profiling import Profile


class ProgressBar:
    """A progress bar with rate and time left, for canvases or anything else that is counted."""

    def __init__(self, doing: str, unit: str, before: str = "loading the model") -> None:
        self._doing, self._unit, self._before = doing, unit, before

    def __enter__(self) -> Self:
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
        self._begin: float | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.update(self._task, visible=self._begin is not None)
        self._bar.stop()

    def show(self, done: float, total: int) -> None:
        """Show ``done`` of ``total``; the first may be fractional."""
        if self._begin is None:  # items of an earlier run do not count for the rate
            self._begin = done
            self._bar.reset(self._task, total=total, completed=int(done), description=self._doing)
        elapsed = self._bar.tasks[0].elapsed or 0
        rate = f"{(done - self._begin) / elapsed * 60:.1f}/min" if elapsed > 1 else ""
        self._bar.update(self._task, completed=done, count=f"{int(done)}/{total}", rate=rate)


class GenerationBar(ProgressBar):
    """The progress bar of a generation job."""

    def __init__(self, on_ray: bool = False) -> None:
        super().__init__("generating", "canvases", "starting the workers" if on_ray else "loading the model")

    def on_event(self, event: Event) -> None:
        """Show the progress of a job."""
        if isinstance(event, Progress):
            self.show(event.done, event.total)


def make_table(*head: str, title: TextType | None = None, words: int = 1) -> Table:
    """A table with ``words`` columns of text, and columns of right-aligned numbers after them."""
    table = Table(*head, title=title)
    for column in table.columns[words:]:
        column.justify = "right"
    return table


def print_summary(summary: Summary) -> None:
    """Print the yield by category, the reasons of rejection, and the paths of the results."""
    console = Console()
    title = f"{summary.canvases} canvases, {summary.used} in the data set"
    table = make_table("category", "requested", "kept", "yield", title=title)
    lines = list(summary.per_category.items())
    for name, (requested, kept) in lines[:20]:
        table.add_row(Text(name), str(requested), str(kept), f"{kept / requested:.0%}")
    if len(lines) > 20:
        table.add_row(f"... {len(lines) - 20} more", "", "", "")
    share = summary.kept_regions / summary.regions if summary.regions else 0
    table.add_section()
    table.add_row("all", str(summary.regions), str(summary.kept_regions), f"{share:.0%}")
    console.print(table)
    if summary.rejections:
        reasons = ", ".join(f"{count} {reason_name(reason)}" for reason, count in summary.rejections.items())
        console.print(f"regions rejected: {reasons}", markup=False)
    if summary.missing:
        console.print(
            f"{summary.missing} canvases are missing: the process that generates the last one compiles "
            f"{summary.path / 'lvis.json'}, or `mosaicfusion report {summary.path}` does",
            markup=False,
            soft_wrap=True,
        )
        return
    _print_output(console, summary)
    console.print(f"{summary.instances} instances in {summary.path / 'lvis.json'}", markup=False, soft_wrap=True)
    console.print(f"report: {summary.path / 'report.html'}", markup=False, soft_wrap=True)


def _print_output(console: Console, summary: Summary) -> None:
    """Print the settings in force, and the canvases that they leave out."""
    output = summary.output
    thresholds = {"--min-quality": output.min_quality, "--min-semantics": output.min_semantics}
    parts = [f"--policy {output.policy}", *(f"{name} {value:g}" for name, value in thresholds.items() if value)]
    left_out = summary.canvases - summary.used
    text = f"in force: {', '.join(parts)}"
    if left_out and output.policy == "drop":
        text += f"; {left_out} canvases with a rejected region are left out, --policy not_exhaustive keeps them"
    elif left_out:
        text += f"; {left_out} canvases without any object are left out"
    console.print(text, markup=False, soft_wrap=True)
    if not summary.used and summary.canvases:
        hint = "`mosaicfusion explain` shows why masks fail; other --template, --steps or --guidance may help"
        console.print(f"no canvas is in the data set: {hint}", markup=False, soft_wrap=True)


def print_profile(profile: Profile) -> None:
    """Print the stages by their own time; some run beside the sampler, so shares may add up to more than 100 %."""
    table = make_table("stage", "calls", "seconds", "share", title=f"{profile.seconds:.1f} s in total")
    for total in profile.totals():
        share = total.own_seconds / profile.seconds
        table.add_row(total.name, str(total.calls), f"{total.own_seconds:.2f}", f"{share:.1%}")
    Console().print(table)
