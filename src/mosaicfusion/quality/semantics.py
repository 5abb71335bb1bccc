"""Does a region show its category? Zero-shot classification of its picture among the vocabulary, by a CLIP model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from mosaicfusion.config import PromptConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.prompts import render
from mosaicfusion.records import CanvasRecord, RunFolder, write_atomic
from mosaicfusion.vocabulary import Category

FILE_NAME = "semantics.jsonl"
TEMPLATES = ("a photo of a single {name}",)
_CANVASES = 16  # read together: a batch of about 64 regions


class Clip(Protocol):
    """What is needed of a model; :func:`mosaicfusion.clip.load_clip` gives one."""

    logit_scale: float

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """uint8 RGB (H, W, 3) each -> float32 (N, D) of length 1."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts -> float32 (N, D) of length 1."""
        ...


@dataclass(frozen=True)
class RegionSemantics:
    """One line of ``semantics.jsonl``: region number ``region`` of canvas ``canvas``, kept or rejected.

    ``score``: cosine similarity of picture and category, in [-1, 1]. ``probability``: that of the category among the
    vocabulary, in [0, 1]. ``rank``: its place among them, from 1. ``top``: the likeliest category.
    """

    canvas: int
    region: int
    category: str
    score: float
    probability: float
    rank: int
    top: str


def choices(run: RunFolder, others: Iterable[Category] = ()) -> list[Category]:
    """The categories of a run, and those of ``others`` that are spoken of in other words; raises for fewer than two."""
    header = run.header["categories"]
    own = {c["id"]: Category.from_json(c) for kind in ("main", "partners") for c in header[kind]}
    spoken = {category.readable for category in own.values()}
    among = [*own.values(), *(category for category in others if category.readable not in spoken)]
    if len(among) < 2:
        raise MosaicFusionError(
            f"{run.path} has a single category, so any picture shows it best; give more to choose among with --vocabulary"
        )
    return among


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
            clip.encode_texts([render(template, c.readable, c.explanation)[0] for c in vocabulary])
            for template in templates
        ],
        axis=0,
    )
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)


def judge_regions(
    run: RunFolder,
    clip: Clip,
    vocabulary: Sequence[Category],
    templates: Sequence[str] = TEMPLATES,
    on_progress: Callable[[float, int], None] = lambda done, total: None,
) -> Iterator[RegionSemantics]:
    """Judge every region of a run by its whole picture, with a mask or without one, in the order of the records.

    ``vocabulary`` holds the categories of the run and maybe more. Canvases without an image are passed over. The score does
    not see the mask, so that rejected regions are judged by the same measure.
    """
    texts = text_vectors(clip, vocabulary, templates)
    column = {category.name: k for k, category in enumerate(vocabulary)}
    total = sum(1 for _ in run.records())
    batch: list[CanvasRecord] = []
    for done, record in enumerate(run.records(), start=1):
        batch.append(record)
        if len(batch) == _CANVASES or done == total:
            yield from _judge(batch, run.path, clip, texts, column, vocabulary)
            on_progress(done, total)
            batch = []


def _judge(
    records: Sequence[CanvasRecord],
    folder: Path,
    clip: Clip,
    texts: NDArray[np.float32],
    column: dict[str, int],
    vocabulary: Sequence[Category],
) -> Iterator[RegionSemantics]:
    places, crops = [], []
    for record in records:
        if record.file_name is None:
            continue
        image = read_image(folder, record.file_name)
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
            score=round(float(scores[own]), 4),
            probability=round(float(parts[own]), 4),
            rank=1 + int(np.count_nonzero(scores > scores[own])),
            top=vocabulary[int(scores.argmax())].name,
        )


def read_image(folder: Path, name: str) -> NDArray[np.uint8]:
    """A canvas as uint8 RGB (H, W, 3); raises :class:`MosaicFusionError` if it is missing or unreadable."""
    try:
        with Image.open(folder / name) as file:
            return np.asarray(file.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise MosaicFusionError(f"cannot read {folder / name}: {error}") from None


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


def write_semantics(folder: Path, judged: Sequence[RegionSemantics]) -> Path:
    """Keep the result in a run folder, whole or not at all."""
    lines = "".join(json.dumps(asdict(line), ensure_ascii=False) + "\n" for line in judged)
    path = folder / FILE_NAME
    write_atomic(path, lines.encode())
    return path


def read_semantics(folder: Path) -> dict[tuple[int, int], RegionSemantics] | None:
    """(canvas, region) -> what was judged, or ``None`` if nothing was; raises :class:`MosaicFusionError` when damaged."""
    path = folder / FILE_NAME
    try:
        with path.open(encoding="utf-8") as lines:
            judged = [_from_line(line) for line in lines]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise MosaicFusionError(f"{path} is damaged ({error}); run `mosaicfusion semantics` again") from None
    return {(line.canvas, line.region): line for line in judged}


def _from_line(line: str) -> RegionSemantics:
    values: dict[str, Any] = json.loads(line)
    kinds: dict[str, Callable[[Any], Any]] = {"canvas": int, "region": int, "category": str}
    kinds |= {"score": float, "probability": float, "rank": int, "top": str}
    return RegionSemantics(**{key: kind(values[key]) for key, kind in kinds.items()})
