"""The sections of the report, in order.

To add one, write a function that returns a :class:`~mosaicfusion.report.section.Section` with a template of its own, or
:func:`~mosaicfusion.report.section.message`, and put it into SECTIONS or pass a list of your own to
:func:`mosaicfusion.report.html.write_report`.
"""

from __future__ import annotations

from typing import Any

from mosaicfusion.dataset.thresholds import thresholds_of
from mosaicfusion.report.images import canvas_card
from mosaicfusion.report.quality_sections import agreement, background, diversity, failures, semantics
from mosaicfusion.report.section import Section, SectionBuilder, message
from mosaicfusion.report.stats import RunStats
from mosaicfusion.report.text import full_name
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.manifest import Manifest

_MAX_NAMES = 12


def heading(run: RunFolder, stats: RunStats) -> Section:
    """Name, categories and the main settings; all others fold out."""
    manifest = run.manifest
    config, sampling = manifest.config, manifest.config.sampling
    names = [full_name(category.name) for category in manifest.categories.main]
    partners = {category.name for category in manifest.categories.partners}
    same = partners == {category.name for category in manifest.categories.main}
    data = {
        "run_name": run.path.resolve().name,
        "names": names[:_MAX_NAMES],
        "unnamed": max(0, len(names) - _MAX_NAMES),
        "partners": 0 if same else len(partners),
        "facts": {
            "model": config.model,
            "seed": config.seed,
            "scheduler": sampling.scheduler,
            "steps": sampling.steps,
            "guidance": sampling.guidance,
        },
        "stats": stats,
        "planned": manifest.total,
        "settings": _settings(manifest, stats),
    }
    return Section("heading.html.j2", data)


def _settings(manifest: Manifest, stats: RunStats) -> dict[str, dict[str, Any]]:
    """All values of the manifest except the categories, by group; new settings appear without a change here."""
    config = manifest.config.model_dump(mode="json")
    groups = {key: value for key, value in config.items() if isinstance(value, dict)}
    single = {key: value for key, value in config.items() if key not in groups}
    fewest, most = min(manifest.counts), max(manifest.counts)
    single |= {"canvases_per_category": most if fewest == most else f"{fewest} to {most}"}
    single |= {**manifest.output.model_dump(mode="json"), "policy": stats.policy}
    model = manifest.model.model_dump(mode="json", exclude_none=True)
    return {"run": single, **groups, "model": model, "versions": manifest.versions}


def totals(run: RunFolder, stats: RunStats) -> Section:
    """Totals of canvases and instances, and the yield."""
    thresholds = thresholds_of(run.manifest.output)
    return Section("totals.html.j2", {"stats": stats, "planned": run.manifest.total, "thresholds": thresholds})


def canvases(run: RunFolder, stats: RunStats) -> Section:
    """Images with their masks, which a check box hides without a script."""
    if not stats.sample:
        text = "The run holds no canvas yet." if stats.canvases == 0 else "No canvas is shown, as requested."
        return message("Canvases", "empty", text)
    cards = [canvas_card(record, run.path, stats.policy) for record in stats.sample]
    return Section("canvases.html.j2", {"stats": stats, "cards": cards}, "Canvases")


def categories(run: RunFolder, stats: RunStats) -> Section | None:
    """Yield per category, best first."""
    if not stats.categories:
        return None
    tallies = sorted(stats.categories.values(), key=lambda tally: (-tally.yield_, -tally.requested, tally.name))
    return Section("categories.html.j2", {"tallies": tallies}, "Categories")


def rejections(run: RunFolder, stats: RunStats) -> Section | None:
    """Counts of the reasons of rejection, and the cost of the policy."""
    if not stats.requested:
        return None
    if not stats.reasons:
        return message("Rejections", "empty", "No object was rejected.")
    return Section("rejections.html.j2", {"stats": stats}, "Rejections")


def distributions(run: RunFolder, stats: RunStats) -> Section:
    """Area, quality, score and position of the kept masks."""
    if not stats.kept:
        return message("Distributions", "empty", "No object was kept, so there is nothing to count.")
    data = {
        "kept": stats.kept,
        "areas": stats.areas.tolist(),
        "scores": stats.scores.tolist(),
        "qualities": stats.qualities.tolist(),
        "centres": stats.centres.tolist(),
        "canvas_hw": stats.sizes.most_common(1)[0][0],
    }
    return Section("distributions.html.j2", data, "Distributions")


SECTIONS: tuple[SectionBuilder, ...] = (
    heading,
    totals,
    canvases,
    categories,
    rejections,
    distributions,
    agreement,
    failures,
    semantics,
    background,
    diversity,
)
