"""Zero-shot classification by a CLIP model: of the regions of a run, to find those that do not show their category, and of
windows of the background, to find objects that nobody asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.arguments import checked, listed
from mosaicfusion.categories import Category
from mosaicfusion.dataset.vocabulary import read_vocabulary
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.clip import load_clip
from mosaicfusion.models.hub import BUNDLED_CATEGORIES
from mosaicfusion.models.zero_shot import TEMPLATES, Clip, text_vectors
from mosaicfusion.quality.background import background_windows, find_categories
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord
from mosaicfusion.run.semantics import (
    BackgroundSemantics,
    RegionSemantics,
    read_background,
    read_semantics,
    write_semantics,
)

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress

_CANVASES = 16  # in a batch, which is about 64 regions


def choices(run: RunFolder, others: Iterable[Category] | str | Path | None = None) -> list[Category]:
    """The vocabulary: the categories of a run, and those of ``others`` that are called otherwise.

    ``others``: by default the categories of the bundled model, because a choice among the few of a run says little: between a
    kite and a drum, nearly everything is one of the two. Raises :class:`MosaicFusionError` for fewer than two.
    """
    own = run.categories
    called = set().union(*(spellings for category in own for spellings in category.spellings))
    if others is None or isinstance(others, str | Path):
        others = read_vocabulary(others or BUNDLED_CATEGORIES)
    vocabulary = [*own, *(category for category in others if called.isdisjoint(set().union(*category.spellings)))]
    if len(vocabulary) < 2:
        raise MosaicFusionError(
            f"classification needs at least two categories, and there is only {vocabulary[0].name}; leave --vocabulary out, or "
            "name a json with other categories"
        )
    return vocabulary


@checked
def classify_regions(
    run: RunFolder | str | Path,
    clip: Clip | str = "mini",
    others: Iterable[Category] | str | Path | None = None,
    templates: str | Sequence[str] = TEMPLATES,
    on_progress: OnProgress | None = None,
) -> list[RegionSemantics]:
    """Classify the image of every region of a run, and write the result to ``semantics.jsonl``; that of backgrounds beside it.

    ``clip``: a model, or its name, as for :func:`mosaicfusion.models.clip.load_clip`. ``others``: what to choose from beside the
    run's own categories, or a json with these; see :func:`choices`. ``templates``: one or several, with {name}. Canvases without
    an image are skipped. Masks are not used, so that kept and rejected regions are treated alike. Raises
    :class:`MosaicFusionError`; then nothing has changed.
    """
    report = on_progress or (lambda done, total: None)
    run = RunFolder.of(run)
    vocabulary = choices(run, others)
    clip = load_clip(clip) if isinstance(clip, str) else clip
    texts = text_vectors(clip, vocabulary, listed(templates))
    classified: list[RegionSemantics] = []
    background: list[BackgroundSemantics] = []
    records, total, done = run.records(), int(run.done().sum()), 0
    while batch := list(islice(records, _CANVASES)):
        classified += _classify(batch, run, clip, texts, vocabulary)
        background += _search_background(batch, run, clip, texts)
        done += len(batch)
        report(done, total)
    write_semantics(run.path, classified, background)
    run.remember_output(run.manifest.output.model_copy(update={"clip": clip.name}))  # generate continues with it
    return classified


def is_classified(run: RunFolder, clip_name: str, background: bool = False) -> bool:
    """True if this CLIP model has classified every region that has a mask, and the ``background`` of each canvas."""
    regions, searched = read_semantics(run.path) or {}, read_background(run.path) or {}
    for record in run.records():
        lines: list[RegionSemantics | BackgroundSemantics | None] = [
            regions.get((record.index, k)) for k, region in enumerate(record.regions) if region.kept
        ]
        if background and record.file_name is not None:
            lines.append(searched.get(record.index))
        if any(line is None or line.clip != clip_name for line in lines):
            return False
    return True


def _classify(
    records: Sequence[CanvasRecord],
    run: RunFolder,
    clip: Clip,
    texts: NDArray[np.float32],
    vocabulary: Sequence[Category],
) -> Iterator[RegionSemantics]:
    column = {category.id: k for k, category in enumerate(run.categories)}  # they come first in the vocabulary
    regions, crops = [], []
    for record in records:
        if record.file_name is None:
            continue
        image = run.read_image(record)
        for k, region in enumerate(record.regions):
            left, top, width, height = region.region_xywh
            regions.append((record.index, k, column[region.category_id]))
            crops.append(image[top : top + height, left : left + width])
    if not crops:
        return
    similarity, probability = compare(clip, crops, texts)
    for (canvas, number, own), scores, probabilities in zip(regions, similarity, probability, strict=True):
        yield RegionSemantics(
            canvas=canvas,
            region=number,
            category=vocabulary[own].name,
            clip=clip.name,
            score=round(float(scores[own]), 4),
            probability=round(float(probabilities[own]), 4),
            rank=1 + int(np.count_nonzero(scores > scores[own])),
            top=vocabulary[int(scores.argmax())].name,
            choices=len(vocabulary),
        )


def _search_background(
    records: Sequence[CanvasRecord], run: RunFolder, clip: Clip, texts: NDArray[np.float32]
) -> Iterator[BackgroundSemantics]:
    for record in records:
        if record.file_name is None:
            continue
        windows, probability = background_windows(record), np.zeros((0, len(texts)), np.float32)
        if windows:
            image = run.read_image(record)
            crops = [image[top : top + height, left : left + width] for left, top, width, height in windows]
            probability = compare(clip, crops, texts)[1]
        found = find_categories(windows, probability, run.categories)
        yield BackgroundSemantics(record.index, clip.name, len(windows), found)


def compare(
    clip: Clip, crops: Sequence[NDArray[np.uint8]], texts: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Similarities and probabilities of images, float32 (images, categories) each."""
    similarity = clip.encode_images(crops) @ texts.T
    likelihood = np.exp(clip.logit_scale * (similarity - similarity.max(axis=1, keepdims=True)))
    return similarity, likelihood / likelihood.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class CategorySemantics:
    """Means over the regions of a category.

    ``first``: the share of them with rank 1. ``mistaken_for``: the most frequent wrong category of rank 1, or ``None``.
    """

    category: str
    regions: int
    first: float
    probability: float
    score: float
    mistaken_for: str | None


def by_category(judged: Iterable[RegionSemantics]) -> list[CategorySemantics]:
    """Summaries by category, the least recognised first."""
    groups: dict[str, list[RegionSemantics]] = {}
    for region in judged:
        groups.setdefault(region.category, []).append(region)
    rows = []
    for name, regions in groups.items():
        wrong = Counter(region.top for region in regions if region.top != name)
        rows.append(
            CategorySemantics(
                category=name,
                regions=len(regions),
                first=sum(region.rank == 1 for region in regions) / len(regions),
                probability=sum(region.probability for region in regions) / len(regions),
                score=sum(region.score for region in regions) / len(regions),
                mistaken_for=wrong.most_common(1)[0][0] if wrong else None,
            )
        )
    return sorted(rows, key=lambda row: (row.first, row.probability, row.category))
