"""Which categories a run draws, out of those that the model may be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mosaicfusion.categories import Selection, Vocabulary, from_json_file, from_names
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.hub import known_categories_file


def vocabulary_for(model: str, names: Sequence[str] | None = None, file: Path | None = None) -> Vocabulary:
    """The categories a model may be asked for: of a json file, of a list of names, or all that a closed model knows.

    A closed model (one with a ``categories.json``, as the bundled one) refuses what it does not know, and names the nearest.
    """
    closed_file = known_categories_file(model)
    closed = Vocabulary(from_json_file(closed_file), f"the model {model!r}") if closed_file else None
    wanted = from_json_file(file) if file else from_names(names) if names is not None else None
    if wanted is None:
        if closed is None:
            raise MosaicFusionError(f"{model} can draw anything; say what, with --categories or --vocabulary")
        return closed
    if closed is None:
        return wanted
    if names is not None:
        return Vocabulary((closed.find(category.name) for category in wanted), "the list of categories")
    # The file's ids and names, asked for in the words that the model was trained with.
    known = {category.id: closed.find(category.prompt_name or category.name).display_name for category in wanted}
    return Vocabulary((replace(category, prompt_name=known[category.id]) for category in wanted), wanted.source)


def select(categories: Sequence[str] | Selection | Vocabulary | None, model: str) -> Selection:
    """What :func:`mosaicfusion.generate` was given, as a selection; names lead and fill alike."""
    if isinstance(categories, Selection):
        return categories
    if isinstance(categories, str):
        raise MosaicFusionError(f"categories is the text {categories!r}; give a list of names")
    if not isinstance(categories, Vocabulary):
        categories = vocabulary_for(model, categories)
    return Selection(categories, categories)
