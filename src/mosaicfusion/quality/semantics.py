"""Does a region show its category? Zero-shot classification of its picture among the vocabulary, by a CLIP model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mosaicfusion.categories import Category
from mosaicfusion.config import PromptConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.mosaic.prompts import render
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.judgements import RegionSemantics, read_semantics, write_semantics
from mosaicfusion.run.records import CanvasRecord

TEMPLATES = ("a photo of a single {name}",)
_CANVASES = 16  # read together: a batch of about 64 regions


class Clip(Protocol):
    """What is needed of a model; :func:`mosaicfusion.models.clip.load_clip` gives one."""

    name: str
    logit_scale: float

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """uint8 RGB (H, W, 3) each -> float32 (N, D) of length 1."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts -> float32 (N, D) of length 1."""
        ...


def choices(run: RunFolder, others: Iterable[Category] = ()) -> list[Category]:
    """The categories of a run, and those of ``others`` that are spoken of in other words; raises for fewer than two."""
    own = run.categories
    spoken = {category.display_name for category in own}
    among = [*own, *(category for category in others if category.display_name not in spoken)]
    check_choices(among)
    return among


def check_choices(among: Sequence[Category]) -> None:
    """Raise :class:`MosaicFusionError` for fewer than two categories, among which there is nothing to choose."""
    if len(among) < 2:
        raise MosaicFusionError(
            "a single category leaves nothing to choose, any picture shows it best; draw several, or give more to "
            "`mosaicfusion semantics` with --vocabulary"
        )


def check_templates(templates: Sequence[str]) -> None:
    """Raise :class:`MosaicFusionError` unless each holds {name}, as the template of a prompt does."""
    if not templates:
        raise MosaicFusionError("there is no template; write one a line, as in: a photo of a {name}")
    for template in templates:
        try:
            PromptConfig(template=template)
        except ValidationError as error:
            raise MosaicFusionError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def text_vectors(clip: Clip, vocabulary: Sequence[Category], templates: Sequence[str]) -> NDArray[np.float32]:
    """One vector a category, the mean over the templates, float32 (categories, D) of length 1."""
    check_templates(templates)
    sums = np.sum(
        [
            clip.encode_texts([render(template, c.display_name, c.definition_or_qualifier)[0] for c in vocabulary])
            for template in templates
        ],
        axis=0,
    )
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)


def judge_pictures(
    run: RunFolder,
    clip: Clip,
    among: Sequence[Category] | None = None,
    templates: Sequence[str] = TEMPLATES,
    on_progress: Callable[[float, int], None] | None = None,
) -> list[RegionSemantics]:
    """Judge every region of a run by its whole picture, with a mask or without one, and keep it in ``semantics.jsonl``.

    ``among``: the categories to choose from, those of the run if left out. Canvases without an image are passed over. The mask
    is not looked at, so that rejected regions are judged by the same measure. Raises :class:`MosaicFusionError`; then all
    stays as it was.
    """
    report = on_progress or (lambda done, total: None)
    among = choices(run) if among is None else among
    texts = text_vectors(clip, among, templates)
    judged: list[RegionSemantics] = []
    records, total, done = run.records(), int(run.done().sum()), 0
    while batch := list(islice(records, _CANVASES)):
        judged += _judge(batch, run, clip, texts, among)
        done += len(batch)
        report(done, total)
    write_semantics(run.path, judged)
    run.remember_output(run.manifest.output.model_copy(update={"clip": clip.name}))  # generate continues with it
    return judged


def is_judged(run: RunFolder, clip_name: str) -> bool:
    """Whether this model judged every region that has a mask."""
    judged = read_semantics(run.path) or {}
    return all(
        (record.index, k) in judged and judged[record.index, k].clip == clip_name
        for record in run.records()
        for k, region in enumerate(record.regions)
        if region.kept
    )


def _judge(
    records: Sequence[CanvasRecord],
    run: RunFolder,
    clip: Clip,
    texts: NDArray[np.float32],
    vocabulary: Sequence[Category],
) -> Iterator[RegionSemantics]:
    column = {category.name: k for k, category in enumerate(vocabulary)}
    places, crops = [], []
    for record in records:
        if record.file_name is None:
            continue
        image = run.read_image(record)
        for k, region in enumerate(record.regions):
            left, top, width, height = region.region_xywh
            places.append((record.index, k, column[region.category]))
            crops.append(image[top : top + height, left : left + width])
    if not crops:
        return
    similarity = clip.encode_images(crops) @ texts.T  # (regions, categories)
    likelihood = np.exp(clip.logit_scale * (similarity - similarity.max(axis=1, keepdims=True)))
    probability = likelihood / likelihood.sum(axis=1, keepdims=True)
    for (canvas, number, own), scores, parts in zip(places, similarity, probability, strict=True):
        yield RegionSemantics(
            canvas=canvas,
            region=number,
            category=vocabulary[own].name,
            clip=clip.name,
            score=round(float(scores[own]), 4),
            probability=round(float(parts[own]), 4),
            rank=1 + int(np.count_nonzero(scores > scores[own])),
            top=vocabulary[int(scores.argmax())].name,
        )


@dataclass(frozen=True)
class CategorySemantics:
    """Means over the regions of a category; ``first``: the part of them that is taken for it before all others."""

    category: str
    regions: int
    first: float
    probability: float
    score: float
    mistaken_for: str | None  # the commonest of the wrong ones, where there is any


def by_category(judged: Iterable[RegionSemantics]) -> list[CategorySemantics]:
    """What was judged, by category, the least recognised first."""
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
