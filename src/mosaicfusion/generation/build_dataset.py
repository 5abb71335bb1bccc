"""Compiling the data set and the report of a run from its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from mosaicfusion.arguments import checked
from mosaicfusion.config import OutputSettings
from mosaicfusion.dataset.lvis import write_lvis
from mosaicfusion.dataset.thresholds import accepted
from mosaicfusion.errors import MosaicFusionError, counted
from mosaicfusion.files.atomic import write_atomic, write_stream
from mosaicfusion.report.html import MAX_CANVASES, render_report
from mosaicfusion.report.notebook import render_view, run_pictures
from mosaicfusion.report.stats import CategoryTally, RunStats
from mosaicfusion.report.text import share
from mosaicfusion.run.failures import MESSAGES, NAN_ADVICE
from mosaicfusion.run.folder import RunFolder


class Aim(NamedTuple):
    """Instances of a main category: those of the json of ``balance``, the synthetic ones, those that are wanted together.

    ``after``: expected together once the planned canvases exist. ``canvases``: number of its own, planned or existing.
    """

    real: int
    synthetic: int
    wanted: int
    after: int
    canvases: int

    @property
    def lacking(self) -> int:
        """Instances that are still to be generated."""
        return max(0, self.wanted - self.real - self.synthetic)


@dataclass(frozen=True)
class Summary:
    """Counts of a run. ``used`` canvases are in lvis.json; ``rejections`` counts regions by reason.

    ``per_category``: the counts of each category's regions, by name. ``aims``: where instances are wanted, the :class:`Aim` of
    each main category. ``missing`` canvases do not exist; ``failed`` counts
    those of them that could not be generated, by message. If more are missing, lvis.json is not written yet.
    ``lost`` canvases belong to parts of which an image was deleted; the command that generated them does so again.
    ``output``: the settings that the counts refer to. ``generated``: canvases that this call generated. ``marked``: canvases with
    a category that is seen on their background.
    """

    path: Path
    canvases: int
    used: int
    regions: int
    kept_regions: int
    instances: int
    rejections: dict[str, int]
    per_category: dict[str, CategoryTally]
    output: OutputSettings = field(default_factory=OutputSettings)
    missing: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    generated: int = 0
    marked: int = 0
    aims: dict[str, Aim] = field(default_factory=dict)

    @property
    def short(self) -> dict[str, tuple[int, int]]:
        """The synthetic instances that there are and those that were wanted, of each category that lacks some."""
        return {name: (aim.synthetic, aim.wanted - aim.real) for name, aim in self.aims.items() if aim.lacking}

    def _repr_html_(self) -> str:
        """What a notebook shows: the yield by category, and a few canvases."""
        facts = [
            f"{counted(self.canvases, 'canvas')}, {self.used} in the data set",
            counted(self.instances, "instance"),
        ]
        rows = [
            (name, tally.requested, tally.kept, share(tally.kept, tally.requested))
            for name, tally in self.per_category.items()
        ]
        pictures = run_pictures(RunFolder.open(self.path))
        return render_view(f"Run {self.path}", facts, ("category", "requested", "kept", "yield"), rows, pictures)


@checked
def build_dataset(run: RunFolder | str | Path, output: OutputSettings | Mapping[str, Any] | None = None) -> Summary:
    """Write ``lvis.json`` and ``report.html`` from the parts of a run, which may be unfinished.

    ``output``: the explicitly set fields replace those that the data set was last compiled with; run.json keeps the result.
    Raises :class:`MosaicFusionError`; then nothing has changed.
    """
    run = RunFolder.of(run)
    settings = run.manifest.output.updated(None if output is None else OutputSettings.of(output))
    stats = RunStats(settings.policy)
    records = stats.watch(accepted(run, settings), MAX_CANVASES)  # one pass for the json and the counts

    def write(file: IO[bytes]) -> None:
        write_lvis(file, records, run.categories, settings.policy, settings.masks)
        if stats.without_image == stats.canvases > 0:
            raise MosaicFusionError(f"no canvas in {run.path} has an image: {MESSAGES['nan']}; {NAN_ADVICE}")
        pages.append(render_report(run.with_output(settings), stats))  # before lvis.json is replaced: both or neither

    pages: list[bytes] = []
    write_stream(run.path / "lvis.json", write)
    run.remember_output(settings)
    write_atomic(run.path / "report.html", pages[0])
    return _summary(run, stats)


def summarize(run: RunFolder) -> Summary:
    """Count the parts of a run, by its own output settings."""
    stats = RunStats(run.manifest.output.policy)
    return _summary(run, stats.read(accepted(run), max_canvases=0))


def _summary(run: RunFolder, stats: RunStats) -> Summary:
    tallies = sorted(stats.categories.values(), key=lambda tally: tally.name)
    return Summary(
        path=run.path,
        canvases=stats.canvases,
        used=stats.used,
        regions=stats.requested,
        kept_regions=stats.kept,
        instances=stats.instances,
        output=run.manifest.output,
        rejections=dict(stats.reasons.most_common()),
        per_category={tally.name: tally for tally in tallies},
        marked=stats.marked,
        lost=sum(len(part) for part in run.without_image()),
    )
