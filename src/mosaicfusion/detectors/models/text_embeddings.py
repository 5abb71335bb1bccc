"""Text embeddings of a vocabulary: the classifier of an open-vocabulary detector, in one safetensors file.

The file's header holds the categories, the prompt templates and the CLIP model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from mosaicfusion.models.zero_shot import TEMPLATES, check_templates, text_vectors
from mosaicfusion.mosaic.prompts import render

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress

_VECTORS, _HEADER = "text_embeddings", "identity"
_CHUNK = 64  # categories embedded between two progress reports


@dataclass(frozen=True)
class Identity:
    """Everything that determines the vectors.

    ``categories``: names in the order of the rows; ``texts``: 16 hex digits over all prompts; ``clip``: the model's name, as
    given by the user; ``clip_digest``: 16 hex digits over the model's files.
    """

    categories: tuple[str, ...]
    templates: tuple[str, ...]
    texts: str
    clip: str
    clip_digest: str


@dataclass(frozen=True)
class TextEmbeddings:
    """``vectors``: float32 (C, D) of length 1, one row per category, the mean over the templates; ``source``: the file."""

    vectors: NDArray[np.float32]
    identity: Identity
    source: Path

    def by_label(self, classes: ClassList) -> Tensor:
        """float32 (C, D): the vectors of ``classes``, label k in row k - 1. The file may contain other categories too.

        Raises :class:`MosaicFusionError` naming the categories that the file lacks.
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
        """Raise :class:`MosaicFusionError` unless the CLIP model ``name`` made them: vectors of two models cannot be compared."""
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
    on_progress: OnProgress | None = None,
) -> TextEmbeddings:
    """Embed a vocabulary into the file ``path``; an existing file with the same identity is read instead.

    ``clip``: see :func:`mosaicfusion.models.clip.load_clip`. Raises :class:`MosaicFusionError`, also if ``path`` holds anything
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
        existing = read_text_embeddings(path)
        _require_same(existing.identity, identity, path)
        return existing
    model, vectors = load_clip(clip, device), []
    for start in range(0, len(vocabulary), _CHUNK):
        vectors.append(text_vectors(model, vocabulary[start : start + _CHUNK], templates))
        if on_progress is not None:
            on_progress(min(start + _CHUNK, len(vocabulary)), len(vocabulary))
    embeddings = TextEmbeddings(np.concatenate(vectors), identity, path)
    header = {_HEADER: msgspec.json.encode(identity).decode()}
    write_atomic(path, save({_VECTORS: embeddings.vectors}, metadata=header))
    return embeddings


def read_text_embeddings(path: Path) -> TextEmbeddings:
    """Read a file of :func:`embed_text`; raises :class:`MosaicFusionError` if it is missing, damaged or of another kind."""
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


def _require_same(existing: Identity, requested: Identity, path: Path) -> None:
    """Raise if anything but the model's name differs: a model can have several names, such as a hub id and a local folder."""
    parts: dict[str, tuple[Any, Any]] = {
        "categories": (existing.categories, requested.categories),
        "templates": (existing.templates, requested.templates),
        "definitions or display names": (existing.texts, requested.texts),
        "CLIP model": (existing.clip_digest, requested.clip_digest),
    }
    differing = [name for name, (one, other) in parts.items() if one != other]
    if differing:
        raise MosaicFusionError(
            f"{path} holds the embeddings of other {differing[0]}; choose another file, or remove this one first"
        )
