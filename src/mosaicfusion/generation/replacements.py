"""New canvases for those that people rejected."""

from __future__ import annotations

from collections import Counter

from mosaicfusion.dataset.thresholds import apply_reviews
from mosaicfusion.generation.canvas_sampler import make_plan
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.reviews import Reviews, Verdict, append, now

_WHO = "retry"  # says of a canvas that another one is there for it


def grow_by_rejected(run: RunFolder) -> RunFolder:
    """Let a run grow by a canvas for each one of which a review left nothing, with the same main category, once.

    A canvas shows the same whenever it is generated, so the rejected one stays, and a new one comes at the end.
    """
    reviews = Reviews.read(run.path)
    plan = make_plan(run.manifest, 8)
    spoken_of = reviews.canvases()
    before = [record for record in run.records() if record.index in spoken_of]
    after = apply_reviews(before, reviews, {category.id: category for category in run.categories})
    rejected = [
        old.index
        for old, new in zip(before, after, strict=True)
        if any(region.kept for region in old.regions)
        and not any(region.kept for region in new.regions)
        and reviews.of(_WHO, (old.index, None)) is None
    ]
    if not rejected:
        return run
    more = Counter(plan.main_position(index) for index in rejected)
    grown = run.continue_with(
        run.manifest.grown_to([count + more[position] for position, count in enumerate(run.manifest.counts)])
    )
    append(run.path, [Verdict(index, None, "reject", _WHO, now(), "replaced") for index in rejected])
    return grown
