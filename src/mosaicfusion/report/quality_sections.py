"""Sections of the report on what was computed about a run's images: failures, semantics, diversity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.quality import diversity as kept
from mosaicfusion.quality.diversity import CategoryDiversity, Diversity, read_diversity
from mosaicfusion.quality.failures import (
    FLAG_SHARE,
    LARGE_AREA,
    LOW_CONTRAST,
    LOW_RANK,
    MIN_REGIONS,
    SIDES,
    SMALL_AREA,
    CategoryFailures,
    Example,
    Kind,
    area_part,
    map_failures,
)
from mosaicfusion.quality.semantics import by_category
from mosaicfusion.report.examples import example
from mosaicfusion.report.markup import Part, meter, paragraph, percent, section, share, spoken, table
from mosaicfusion.report.sheet import reason_name
from mosaicfusion.report.stats import RunStats
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.judgements import RegionSemantics, read_semantics

_EXAMPLES = 6  # pictures of each kind
_MEANINGS: dict[Kind, str] = {
    "entangled": f"The attention spreads: the score is below {LOW_CONTRAST}, and the mask covers more than {LARGE_AREA:.0%} of "
    f"its region or reaches {SIDES} of its sides; or the mask fills the region or falls into parts.",
    "small": f"The mask covers less than {SMALL_AREA:.0%} of its region, or was rejected as too small or empty.",
    "abstract": f"The model may not know the word: the score is below {LOW_CONTRAST} on a mask of ordinary size, or the category "
    f"is not among the first {LOW_RANK} that CLIP sees in the picture.",
}


def failures(stats: RunStats, folder: Path) -> Part | None:
    """The paper's three kinds of failure by category, with the worst examples."""
    if not stats.asked:
        return None
    try:
        judged = read_semantics(folder)
    except MosaicFusionError:
        judged = None  # its own section says so
    found = map_failures(RunFolder.open(folder).records(), judged)
    flagged = [category for category in found if category.flags]
    enough = sum(category.regions >= MIN_REGIONS for category in found)
    rule = (
        f"Flagged are categories with at least {FLAG_SHARE:.0%} of their objects affected; {len(flagged):,} of the {enough:,} "
        f"with {MIN_REGIONS} objects or more. Kept and rejected objects count, before any threshold of the data set."
    )
    if judged is None:
        rule += " What CLIP sees was not computed: mosaicfusion semantics."
    head = ("category", "flags", "objects", "entangled", "small", "abstract")
    rows = map(_failure_row, flagged)
    return section(
        "Failures",
        paragraph(rule, "note"),
        table("Failures per category", head, rows, numbers=4) if flagged else "",
        *(_worst(kind, found, judged or {}, folder) for kind in _MEANINGS),
    )


def semantics(stats: RunStats, folder: Path) -> Part | None:
    """Whether CLIP takes the regions for their categories."""

    def show() -> Part | None:
        judged = read_semantics(folder)
        if not judged:
            return None
        first = sum(region.rank == 1 for region in judged.values())
        note = (
            f"CLIP takes {share(first, len(judged))} of {len(judged):,} objects for their category first. Least recognised on "
            "top. Probability and rank are among all categories; the score is the cosine similarity of picture and name."
        )
        head = ("category", "mistaken for", "objects", "first", "probability", "score")
        rows = (
            (
                escape(spoken(row.category)),
                escape(spoken(row.mistaken_for)) if row.mistaken_for else "–",
                f"{row.regions:,}",
                meter(row.first) + percent(row.first),
                f"{row.probability:.2f}",
                f"{row.score:.3f}",
            )
            for row in by_category(judged.values())
        )
        return section("Semantics", paragraph(note, "note"), table("Semantics per category", head, rows, numbers=4))

    return _or_warning("Semantics", show)


def diversity(stats: RunStats, folder: Path) -> Part | None:
    """How varied the instances of a category are, and how far they are from real ones."""

    def show() -> Part | None:
        result = read_diversity(folder)
        if result is None:
            return None
        rows = [_diversity_row(category, result) for category in kept.ranked(result)]
        head = ["category", "instances", "distance", "Vendi score"]
        if result.against:
            head += ["real distance", "equal numbers", "drawn Vendi", "real Vendi", "KID × 1000"]
        return section(
            "Diversity",
            *(paragraph(text, "note") for text in _diversity_notes(result, len(rows))),
            _gap_tiles(result),
            table("Diversity per category", head, rows, numbers=len(head) - 1) if rows else "",
        )

    return _or_warning("Diversity", show)


def _or_warning(title: str, show: Callable[[], Part | None]) -> Part | None:
    """A damaged file is said on the page, which has other things to show."""
    try:
        return show()
    except MosaicFusionError as error:
        return section(title, paragraph(str(error), "warning"))


def _failure_row(category: CategoryFailures) -> tuple[str, ...]:
    flags = " ".join(f'<span class="badge out">{kind}</span>' for kind in category.flags)
    shares = (percent(category.share(kind)) for kind in _MEANINGS)
    return (escape(spoken(category.category)), flags, f"{category.regions:,}", *shares)


def _worst(
    kind: Kind, found: Sequence[CategoryFailures], judged: Mapping[tuple[int, int], RegionSemantics], folder: Path
) -> str:
    """A heading, what is measured, and pictures of different categories."""
    affected = sum(category.counts[kind] for category in found)
    total = sum(category.regions for category in found)
    worst = sorted((c.worst[kind] for c in found if kind in c.worst), key=lambda one: -one.severity)[:_EXAMPLES]
    pictures = "".join(example(one.record, one.region, folder, _finding(kind, one, judged)) for one in worst)
    shown = f'<div class="examples">{pictures}</div>' if pictures else ""
    text = f"{affected:,} of {total:,} objects. {_MEANINGS[kind]}"
    return f"<h3>{kind.capitalize()}</h3>{paragraph(text, 'note')}{shown}"


def _finding(kind: Kind, one: Example, judged: Mapping[tuple[int, int], RegionSemantics]) -> str:
    """What was measured on an example, in a few words."""
    region, seen = one.record.regions[one.region], judged.get((one.record.index, one.region))
    if kind == "abstract" and seen and seen.rank > LOW_RANK:
        return f"rank {seen.rank}; CLIP sees {spoken(seen.top)}"
    if not region.kept:
        return reason_name(region.reason)
    if kind == "small":
        return f"{area_part(region):.0%} of the region"
    return f"score {region.score:.2f}, {area_part(region):.0%} of the region"


def _diversity_notes(result: Diversity, shown: int) -> list[str]:
    crops = "with the background greyed out" if result.mask_background else "with their background"
    few = len(result.categories) - shown
    notes = [
        f"{result.instances:,} crops of instances, {crops}, as features of {result.features}: mean cosine distance of all "
        f"pairs {result.distance:.3f}, Vendi score {result.vendi:.1f}.",
        "By category, the least varied on top. The Vendi score is the effective number of different instances; it grows with "
        "their number." + (f" Fewer than {kept.MIN_INSTANCES} instances: {few:,} categories." if few else ""),
    ]
    if result.against and result.gap is None:
        notes.append(
            f"Against {result.against}: {result.pairs:,} pairs of one category each, and figures of the whole set need "
            f"{kept.MIN_PAIRS}."
        )
    elif result.gap:
        notes.append(
            f"Against {result.against}, equally many of every category ({result.gap.pairs:,} pairs). FID falls with the number "
            "of instances, so it is measured between halves, beside that of two halves of the real set."
        )
    if result.unmatched:
        notes.append(f"Not in the real set: {len(result.unmatched):,} categories.")
    return notes


def _gap_tiles(result: Diversity) -> str:
    if (gap := result.gap) is None:
        return ""
    cells = [
        ("FID", f"{gap.fid:.1f}", f"real against real: {gap.fid_floor:.1f}"),
        ("KID × 1000", f"{1000 * gap.kid:.1f}", "0 for one distribution"),
        ("Precision, recall", f"{gap.precision:.2f}, {gap.recall:.2f}", "drawn near real, real near drawn"),
        ("Real or drawn", percent(gap.classifier), "told right by a linear classifier; 50 % is guessing"),
    ]
    shown = "".join(
        f"<div><dt>{name}</dt><dd><b>{value}</b><span>{note}</span></dd></div>" for name, value, note in cells
    )
    return f'<dl class="tiles" aria-label="Against the real set">{shown}</dl>'


def _diversity_row(category: CategoryDiversity, result: Diversity) -> list[str]:
    row = [escape(spoken(category.category)), f"{category.instances:,}"]
    row += [f"{category.distance:.3f}", f"{category.vendi:.2f}"]
    if result.against and (gap := category.against):
        row += [f"{gap.distance_real:.3f}", f"{gap.instances:,}", f"{gap.vendi_synthetic:.2f}", f"{gap.vendi_real:.2f}"]
        row += [f"{1000 * gap.kid:.1f}"]
    elif result.against:
        row += ["–"] * 5
    return row
