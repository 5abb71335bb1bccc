"""Progress bars and short tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text, TextType

from mosaicfusion.cli.speech import is_quiet
from mosaicfusion.errors import counted, first_few, printable
from mosaicfusion.generation.bar import GenerationBar
from mosaicfusion.masks.rejection import reason_name
from mosaicfusion.progress import ProgressBar

if TYPE_CHECKING:
    from mosaicfusion.generation.build_dataset import Summary
    from mosaicfusion.generation.preview import Preview
    from mosaicfusion.profiling import Profile


_MAX_ROWS = 20
LOST = "images were deleted: the command that generated this run generates their {} again"


def progress_bar(doing: str, unit: str, before: str = "loading the model") -> ProgressBar:
    """A :class:`ProgressBar` on the standard error, which ``--quiet`` hides."""
    return ProgressBar(doing, unit, before, Console(stderr=True, quiet=is_quiet()))


def generation_bar(on_ray: bool = False) -> GenerationBar:
    """The :class:`GenerationBar` of a job, which ``--quiet`` hides."""
    return GenerationBar(on_ray, Console(stderr=True, quiet=is_quiet()))


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
    _print_short(console, summary)
    console.print(
        f"{counted(summary.instances, 'instance')} in {summary.path / 'lvis.json'}", markup=False, soft_wrap=True
    )
    console.print(f"report: {summary.path / 'report.html'}", markup=False, soft_wrap=True)


def _print_output(console: Console, summary: Summary) -> None:
    """Print the settings in force, and the canvases that they leave out."""
    output = summary.output
    thresholds = {"--min-quality": output.min_quality, "--min-semantics": output.min_semantics}
    parts = [f"--policy {output.policy}", *(f"{name} {value:g}" for name, value in thresholds.items() if value)]
    left_out = summary.canvases - summary.used
    text = f"in force: {', '.join(parts)}"
    if left_out and output.policy == "drop":
        text += f"; left out: {counted(left_out, 'canvas')} with a rejected region, --policy not_exhaustive keeps them"
    elif left_out:
        text += f"; left out: {counted(left_out, 'canvas')} without any object"
    console.print(text, markup=False, soft_wrap=True)
    if not summary.used and summary.canvases:
        hint = "`mosaicfusion explain` shows why masks fail; other --template, --steps or --guidance may help"
        console.print(f"no canvas is in the data set: {hint}", markup=False, soft_wrap=True)


def _print_short(console: Console, summary: Summary) -> None:
    """Print which categories have fewer instances than wanted."""
    if not summary.short:
        return
    lacking = [f"{name} ({have} of {wanted})" for name, (have, wanted) in summary.short.items()]
    console.print(
        f"fewer instances than wanted, as too many masks are rejected: {first_few(lacking)}; a higher "
        "--canvases-per-category lets them have more canvases",
        markup=False,
        soft_wrap=True,
    )


def print_preview(preview: Preview) -> None:
    """Print the size of a job and the prompts of its first canvases."""
    console = Console()
    table = make_table("to generate", "", title="nothing was generated")
    table.add_row("canvases", f"{preview.canvases:,}")
    table.add_row("objects requested", f"{preview.objects:,}")
    table.add_row("U-Net calls of one region", f"{preview.unet_calls:,}")
    table.add_row("disk, about", f"{max(1, round(preview.megabytes)):,} MB")
    console.print(table)
    if len(set(preview.per_category.values())) > 1:
        counts = sorted(preview.per_category.items(), key=lambda item: (-item[1], item[0]))
        each = make_table("main category", "canvases", title="if all masks are kept")
        for name, count in counts[:_MAX_ROWS]:
            each.add_row(Text(name), str(count))
        if len(counts) > _MAX_ROWS:
            each.add_row(f"... {len(counts) - _MAX_ROWS} more", "")
        console.print(each)
    prompts = make_table("canvas", "prompt", "box (x, y, width, height)", title="the first canvases", words=3)
    for index, regions in enumerate(preview.first):
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
