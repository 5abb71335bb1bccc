"""Choosing the categories of a run from those that the model can generate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mosaicfusion.categories import Selection, Vocabulary, from_json_file, from_names
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.hub import known_categories_file


def vocabulary_for(model: str, names: Sequence[str] | None = None, file: Path | None = None) -> Vocabulary:
    """The vocabulary of a json file or of a list of names, or all categories of a closed model.

    A closed model (one with a ``categories.json``, such as the bundled one) refuses unknown names, with the nearest known ones.
    """
    closed_file = known_categories_file(model)
    closed = Vocabulary(from_json_file(closed_file), f"the model {model!r}") if closed_file else None
    requested = from_json_file(file) if file else from_names(names) if names is not None else None
    if requested is None:
        if closed is None:
            raise MosaicFusionError(f"{model} accepts any category; name some with --categories or --vocabulary")
        return closed
    if closed is None:
        return requested
    if names is not None:
        return Vocabulary((closed.find(category.name) for category in requested), "the list of categories")
    # The file's ids and names, with the words in prompts that the model was trained with.
    known = {category.id: closed.find(category.prompt_name or category.name).display_name for category in requested}
    return Vocabulary((replace(category, prompt_name=known[category.id]) for category in requested), requested.source)


def select(categories: Sequence[str] | Selection | Vocabulary | None, model: str) -> Selection:
    """The ``categories`` argument of :func:`mosaicfusion.generate` as a selection; plain names are both main and partners."""
    if isinstance(categories, Selection):
        return categories
    if isinstance(categories, str):
        raise MosaicFusionError(f"categories is the text {categories!r}; give a list of names")
    if not isinstance(categories, Vocabulary):
        categories = vocabulary_for(model, categories)
    return Selection(categories, categories)
