"""Choosing the categories of a run from those that the model can generate."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mosaicfusion.arguments import checked
from mosaicfusion.categories import Category, Selection, Vocabulary, from_names, split_names
from mosaicfusion.dataset.lvis import frequency_of
from mosaicfusion.dataset.stats import count_categories
from mosaicfusion.dataset.vocabulary import read_vocabulary
from mosaicfusion.errors import MosaicFusionError, counted, first_few
from mosaicfusion.models.hub import known_categories_file

_MAX_NAMED = 10  # unknown categories in a message


@checked
def vocabulary_for(
    model: str, names: str | Sequence[str] | None = None, file: str | Path | None = None, skip_unknown: bool = False
) -> Vocabulary:
    """The vocabulary of a json file or of a list of names, or all categories of a closed model.

    A closed model (one with a ``categories.json``, such as the bundled one) refuses unknown categories, with the nearest known
    ones, or leaves out those of a file with ``skip_unknown``.
    """
    names = split_names(names) if isinstance(names, str) else names
    closed_file = known_categories_file(model)
    closed = Vocabulary(read_vocabulary(closed_file), f"the model {model!r}") if closed_file else None
    requested = read_vocabulary(file) if file else from_names(names) if names is not None else None
    if requested is None:
        if closed is None:
            raise MosaicFusionError(f"{model} accepts any category; name some with --categories or --vocabulary")
        return closed
    if closed is None:
        return requested
    known = _known(closed, requested, skip_unknown and file is not None, from_file=file is not None)
    if names is not None:
        return Vocabulary(known.values(), "the list of categories")
    # The file's ids and names, with the words in prompts that the model was trained with.
    named = (replace(one, prompt_name=known[one.id].display_name) for one in requested if one.id in known)
    unknown = [one.name for one in requested if one.id not in known]
    left_out = f"{closed.source} does not know {counted(len(unknown), 'category')}, left out: {first_few(unknown)}"
    return Vocabulary(named, requested.source, [*requested.notes, *([left_out] if unknown else [])])


def _known(closed: Vocabulary, requested: Vocabulary, skip_unknown: bool, from_file: bool) -> dict[int, Category]:
    """By id of each requested category, the category of the model; raises :class:`MosaicFusionError` that lists unknown ones."""
    known: dict[int, Category] = {}
    unknown: list[str] = []
    for category in requested:
        try:
            known[category.id] = closed.find(category.prompt_name or category.name)
        except MosaicFusionError as error:
            unknown.append(str(error).removeprefix(f"{closed.source} "))
    if not unknown or (skip_unknown and known):
        return known
    lines = unknown[0] if len(unknown) == 1 else "\n  " + "\n  ".join(unknown[:_MAX_NAMED])
    more = f"\n  and {len(unknown) - _MAX_NAMED} more" if len(unknown) > _MAX_NAMED else ""
    raise MosaicFusionError(
        f"{closed.source} {lines}{more}\n`mosaicfusion categories --search WORD` lists its {len(closed)} categories; a model "
        "with an open vocabulary, such as Stable Diffusion, accepts any: name one with --model"
        + (_offer([one.name for one in requested if one.id in known]) if from_file else "")
    )


def _offer(known: Sequence[str]) -> str:
    """How to go on with the categories of a file that the model knows."""
    names = [name for name in known if "," not in name]
    if not names:
        return ""
    if len(names) > _MAX_NAMED:
        return f"\nor go on with the {len(names)} that it knows: name those that you want with --main"
    return f"\nor go on with those that it knows: --main {shlex.quote(', '.join(names))}"


def with_counted_frequencies(vocabulary: Vocabulary, path: Path) -> Vocabulary:
    """A vocabulary in which each category has a frequency: its own, or, if none has, by the number of its images in a json.

    ``path``: the LVIS or COCO json that the vocabulary comes from. LVIS' rule: rare up to 10 images, common up to 100, else
    frequent. Raises :class:`MosaicFusionError`.
    """
    if any(category.frequency for category in vocabulary):
        return vocabulary
    counts = count_categories(path, vocabulary)
    counted = (replace(one, frequency=frequency_of(counts[one.name].images)) for one in vocabulary)
    return Vocabulary(counted, vocabulary.source)


def select(categories: str | Path | Sequence[str] | Selection | Vocabulary | None, model: str) -> Selection:
    """The ``categories`` argument of :func:`mosaicfusion.generate` as a selection; plain names are both main and partners.

    A text is split at its commas, as on the command line. A path is a .txt file of names, or a json with categories.
    """
    if isinstance(categories, Selection):
        return categories
    if isinstance(categories, str | Path):
        path = Path(categories)
        categories = vocabulary_for(model, file=path) if path.suffix == ".json" else split_names(str(categories))
    if not isinstance(categories, Vocabulary):
        categories = vocabulary_for(model, categories)
    return Selection(categories, categories)
