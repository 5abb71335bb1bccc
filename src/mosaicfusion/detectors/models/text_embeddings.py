"""Text embeddings of a vocabulary: the classifier of an open-vocabulary detector, in one safetensors file.

The file's header says of which categories, in which words, and by which CLIP model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor, from_numpy

from mosaicfusion.categories import Category
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.errors import MosaicFusionError, shown
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.identity import fingerprint
from mosaicfusion.models.clip import find_clip, load_clip
from mosaicfusion.models.hub import digest
from mosaicfusion.mosaic.prompts import render
from mosaicfusion.quality.semantics import TEMPLATES, check_templates, text_vectors

_VECTORS, _HEADER = "text_embeddings", "identity"
_CATEGORIES = 64  # embedded between two reports of progress


@dataclass(frozen=True)
class Identity:
    """What decides the vectors. ``categories``: names in the order of the rows; ``texts``: 16 hex digits over all prompts;
    ``clip``: the model as the user named it; ``clip_digest``: 16 hex digits over its files.
    """

    categories: tuple[str, ...]
    templates: tuple[str, ...]
    texts: str
    clip: str
    clip_digest: str


@dataclass(frozen=True)
class TextEmbeddings:
    """``vectors``: float32 (C, D) of length 1, one row a category, the mean over the templates; ``source``: their file."""

    vectors: NDArray[np.float32]
    identity: Identity
    source: Path

    def by_label(self, classes: ClassList) -> Tensor:
        """float32 (C, D): the rows of ``classes`` by label, label k in row k - 1. The file may hold other categories too.

        Raises :class:`MosaicFusionError` that names the categories which the file lacks.
        """
        rows = {name: row for row, name in enumerate(self.identity.categories)}
        missing = [name for name in classes.names if name not in rows]
        if missing:
            first = ", ".join(shown(name) for name in missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise MosaicFusionError(
                f"{self.source} has no text embedding of {len(missing)} of the {len(classes)} categories of "
                f"{classes.source} ({first}); embed the names of that list with `mosaicfusion embed-text`"
            )
        return from_numpy(self.vectors[[rows[name] for name in classes.names]])

    def require_clip(self, name: str) -> None:
        """Raise :class:`MosaicFusionError` unless the CLIP model ``name`` made them: vectors of two models do not compare."""
        if digest(find_clip(name)) != self.identity.clip_digest:
            raise MosaicFusionError(
                f"{self.source} was made by the CLIP model {shown(self.identity.clip)}, the detector's is {shown(name)}; "
                f"make embeddings with `mosaicfusion embed-text --clip {name}`"
            )


def embed_text(
    path: Path,
    vocabulary: Sequence[Category],
    clip: str = "mini",
    templates: Sequence[str] = TEMPLATES,
    device: str = "auto",
    on_progress: Callable[[float, int], None] | None = None,
) -> TextEmbeddings:
    """The embeddings of a vocabulary, from ``path`` if it holds them already, else made and kept there.

    ``clip``: see :func:`mosaicfusion.models.clip.load_clip`. Raises :class:`MosaicFusionError`; also for a file that holds something
    else, which is never overwritten.
    """
    check_templates(templates)
    identity = Identity(
        categories=tuple(category.name for category in vocabulary),
        templates=tuple(templates),
        texts=fingerprint(
            [[render(t, c.display_name, c.definition_or_qualifier)[0] for c in vocabulary] for t in templates]
        ),
        clip=clip,
        clip_digest=digest(find_clip(clip)),
    )
    if path.exists():
        held = read_text_embeddings(path)
        _require_same(held.identity, identity, path)
        return held
    model, vectors = load_clip(clip, device), []
    for start in range(0, len(vocabulary), _CATEGORIES):
        vectors.append(text_vectors(model, vocabulary[start : start + _CATEGORIES], templates))
        if on_progress is not None:
            on_progress(min(start + _CATEGORIES, len(vocabulary)), len(vocabulary))
    embeddings = TextEmbeddings(np.concatenate(vectors), identity, path)
    header = {_HEADER: msgspec.json.encode(identity).decode()}
    write_atomic(path, save({_VECTORS: embeddings.vectors}, metadata=header))
    return embeddings


def read_text_embeddings(path: Path) -> TextEmbeddings:
    """What :func:`embed_text` wrote; raises :class:`MosaicFusionError` for a file that is missing, damaged or another."""
    try:
        with safe_open(path, framework="numpy") as file:
            identity = msgspec.json.decode((file.metadata() or {}).get(_HEADER, "{}"), type=Identity)
            vectors = file.get_tensor(_VECTORS)
    except (OSError, SafetensorError, msgspec.DecodeError, TypeError) as error:
        raise MosaicFusionError(
            f"{path} holds no text embeddings ({error!s:.120}); make them with `mosaicfusion embed-text`"
        ) from None
    if vectors.ndim != 2 or len(vectors) != len(identity.categories) or not np.isfinite(vectors).all():
        raise MosaicFusionError(
            f"{path}: text embeddings of shape {vectors.shape} for {len(identity.categories)} categories are damaged; "
            "make them again with `mosaicfusion embed-text`"
        )
    return TextEmbeddings(vectors.astype(np.float32), identity, path)


def _require_same(held: Identity, wanted: Identity, path: Path) -> None:
    """The same model may go by several names, as a hub id and its local folder."""
    parts: dict[str, tuple[Any, Any]] = {
        "categories": (held.categories, wanted.categories),
        "templates": (held.templates, wanted.templates),
        "definitions or spoken names": (held.texts, wanted.texts),
        "CLIP model": (held.clip_digest, wanted.clip_digest),
    }
    differing = [what for what, (one, other) in parts.items() if one != other]
    if differing:
        raise MosaicFusionError(
            f"{path} holds the embeddings of other {differing[0]}; choose another file, or remove this one first"
        )
