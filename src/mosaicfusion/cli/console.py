"""Progress bars and short tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text, TextType

from mosaicfusion.cli.speech import is_quiet, note
from mosaicfusion.errors import counted, first_few, printable
from mosaicfusion.generation.bar import GenerationBar
from mosaicfusion.generation.events import Event, Note
from mosaicfusion.masks.rejection import reason_name
from mosaicfusion.progress import ProgressBar

if TYPE_CHECKING:
    from mosaicfusion.generation.build_dataset import Aim, Summary
    from mosaicfusion.generation.preview import Preview
    from mosaicfusion.profiling import Profile


_MAX_ROWS = 20
_MAX_NAMED = 10  # categories in a command to be copied
_MAX_TRIES = 4  # times as many canvases, where hardly any mask was kept: more would not help
LOST = "images were deleted: the command that generated this run generates their {} again"


def progress_bar(doing: str, unit: str, before: str = "loading the model") -> ProgressBar:
    """A :class:`ProgressBar` on the standard error, which ``--quiet`` hides."""
    return ProgressBar(doing, unit, before, Console(stderr=True, quiet=is_quiet()))


class _NotingBar(GenerationBar):
    def on_event(self, event: Event) -> None:
        if isinstance(event, Note):
            note(event.text)
        super().on_event(event)


def generation_bar(on_ray: bool = False) -> GenerationBar:
    """The :class:`GenerationBar` of a job, which ``--quiet`` hides, and its notes."""
    return _NotingBar(on_ray, Console(stderr=True, quiet=is_quiet()))


def make_table(*head: str, title: TextType | None = None, words: int = 1) -> Table:
    """A table with ``words`` columns of text, and columns of right-aligned numbers after them."""
    table = Table(*head, title=title)
    for column in table.columns[words:]:
        column.justify = "right"
    return table


def percent(value: float | None) -> str:
    """An AP in percent, ``-`` where no instance is annotated."""
    return "-" if value is None else f"{100 * value:.1f}"


def print_summary(summary: Summary) -> None:
    """Print the yield by category, the reasons of rejection, and the paths of the results."""
    console = Console()
    title = f"{counted(summary.canvases, 'canvas')}, {summary.used} in the data set"
    table = make_table("category", "requested", "kept", "yield", title=title)
    lines = list(summary.per_category.items())
    if len(lines) > _MAX_ROWS:  # those that need attention
        lines.sort(key=lambda line: line[1].yield_)
    for name, tally in lines[:_MAX_ROWS]:
        table.add_row(Text(printable(name)), str(tally.requested), str(tally.kept), f"{tally.yield_:.0%}")
    if len(lines) > _MAX_ROWS:
        table.add_row(f"... {len(lines) - _MAX_ROWS} more, of a higher yield", "", "", "")
    share = summary.kept_regions / summary.regions if summary.regions else 0
    table.add_section()
    table.add_row("all", str(summary.regions), str(summary.kept_regions), f"{share:.0%}")
    console.print(table)
    if summary.rejections:
        reasons = printable(", ".join(f"{count} {reason_name(reason)}" for reason, count in summary.rejections.items()))
        console.print(f"regions rejected: {reasons}", markup=False)
    if summary.missing:
        console.print(
            f"missing: {counted(summary.missing, 'canvas')}; the process that generates the last one compiles "
            f"{summary.path / 'lvis.json'}, or `mosaicfusion report {summary.path}` does",
            markup=False,
            soft_wrap=True,
        )
        return
    _print_output(console, summary)
    if summary.lost:
        console.print(LOST.format(counted(summary.lost, "canvas")), soft_wrap=True)
    if any(aim.real for aim in summary.aims.values()):
        _print_aims(console, summary.aims, "with the real instances of --balance")
    _print_short(console, summary)
    console.print(
        f"{counted(summary.instances, 'instance')} in {summary.path / 'lvis.json'}", markup=False, soft_wrap=True
    )
    console.print(f"report: {summary.path / 'report.html'}", markup=False, soft_wrap=True)


def _print_output(console: Console, summary: Summary) -> None:
    """Print the settings in force, and the canvases that they leave out."""
    from mosaicfusion.dataset.thresholds import thresholds_of

    output, thresholds = summary.output, thresholds_of(summary.output)
    left_out = summary.canvases - summary.used
    text = f"in force: --policy {output.policy}" + (f", {thresholds}" if thresholds else "")
    if output.mark_background:
        text += f"; {counted(summary.marked, 'canvas')} with a category on the background"
    if left_out and output.policy == "drop":
        text += f"; left out: {counted(left_out, 'canvas')} with an object without a mask, --policy not_exhaustive keeps them"
    elif left_out:
        text += f"; left out: {counted(left_out, 'canvas')} without any object"
    console.print(text, markup=False, soft_wrap=True)
    if not summary.used and summary.canvases:
        hint = "`mosaicfusion explain` shows why masks fail; other --template, --steps or --guidance may help"
        console.print(f"no canvas is in the data set: {hint}", markup=False, soft_wrap=True)


def _print_aims(console: Console, aims: Mapping[str, Aim], title: str) -> None:
    """Print what there is, what is wanted and what comes of it; and which categories get more than they need, and why."""
    table = make_table("category", "real", "synthetic", "wanted", "after", "canvases", title=title)
    lines = sorted(aims.items(), key=lambda line: (-line[1].canvases, line[0]))
    for name, aim in lines[:_MAX_ROWS]:
        table.add_row(Text(printable(name)), *map(str, aim))
    if len(lines) > _MAX_ROWS:
        table.add_row(f"... {len(lines) - _MAX_ROWS} more", "", "", "", "", "")
    console.print(table)
    surplus = {name: aim.after - max(aim.wanted, aim.real) for name, aim in aims.items()}
    more = [f"{name} +{count}" for name, count in surplus.items() if count > 0 and aims[name].after > aims[name].real]
    needed = [name for name, aim in aims.items() if aim.canvases and not surplus[name] > 0]
    if more and needed:
        names = ", ".join(needed)
        alone = (
            f"; --main {shlex.quote(names)} --partners main generates only these" if len(needed) <= _MAX_NAMED else ""
        )
        note(f"more than wanted, as partners on the canvases of others: {first_few(more)}{alone}")


def _print_short(console: Console, summary: Summary) -> None:
    """Print which categories have fewer instances than wanted, after how many canvases, and a number to try."""
    from mosaicfusion.dataset.thresholds import thresholds_of

    lacking = {name: aim for name, aim in summary.aims.items() if aim.lacking}
    if not lacking:
        return
    texts = [
        f"{name} ({aim.synthetic} of {aim.wanted - aim.real} after {counted(aim.canvases, 'canvas')})"
        for name, aim in lacking.items()
    ]
    most = max(aim.canvases * min(_MAX_TRIES, 1 + aim.lacking / max(1, aim.synthetic)) for aim in lacking.values())
    thresholds = thresholds_of(summary.output)
    lower = f", or less than {thresholds}" if thresholds else ""
    console.print(
        f"fewer instances than wanted, as too many masks are rejected: {first_few(texts)}, the limit; try "
        f"--canvases-per-category {ceil(most) + 1}{lower}",
        markup=False,
        soft_wrap=True,
    )


def print_preview(preview: Preview) -> None:
    """Print the size of a job and the prompts of its first canvases."""
    console = Console()
    table = make_table("to generate", "", title="nothing was generated")
    table.add_row("canvases", f"{preview.canvases:,}")
    if preview.existing:
        table.add_row("canvases that exist", f"{preview.existing:,}")
    table.add_row("objects requested", f"{preview.objects:,}")
    table.add_row("U-Net calls of one region", f"{preview.unet_calls:,}")
    if preview.background_calls:
        table.add_row("U-Net calls of a whole canvas", f"{preview.background_calls:,}")
    table.add_row("disk, about", f"{ceil(preview.megabytes):,} MB")
    console.print(table)
    if preview.aims:
        _print_aims(
            console, preview.aims, "if masks are kept as before" if preview.existing else "if all masks are kept"
        )
    if not preview.canvases:
        console.print("nothing to do: all canvases exist")
        return
    prompts = make_table("canvas", "prompt", "box (x, y, width, height)", title="the first canvases", words=3)
    for index, regions in preview.first.items():
        for one in regions:
            box = ", ".join(map(str, one.region.box_xywh))
            prompts.add_row(str(index), Text(one.prompt), box)
        prompts.add_section()
    console.print(prompts)
    console.print("the progress bar of the job shows its rate and the time left", markup=False, soft_wrap=True)


def print_profile(profile: Profile) -> None:
    """Print the stages by their own time; some run beside the sampler, so shares may add up to more than 100 %."""
    table = make_table("stage", "calls", "seconds", "share", title=f"{profile.seconds:.1f} s in total")
    for total in profile.totals():
        share = total.own_seconds / profile.seconds
        table.add_row(total.name, str(total.calls), f"{total.own_seconds:.2f}", f"{share:.1%}")
    Console().print(table)
