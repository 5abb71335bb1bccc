"""Matching the categories of two data sets: by synset, then name, then synonym."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import structs

from mosaicfusion.categories import display_name, nearest_spellings, normalize_name, qualifier
from mosaicfusion.dataset.coco import CategoryRef
from mosaicfusion.errors import MosaicFusionError


class Matcher:
    """Finds categories among known ones; ids and positions are ignored.

    Four keys are tried in turn, and the first with a match decides: the synset; the name, without regard to case and
    underscores; the display name, without an LVIS qualifier (``bow_(weapon)`` is a ``bow``); synonyms of either side. The
    last two do not count if both categories have a synset or a qualifier and these differ, since the meanings differ too.

    ``choices`` take precedence over all keys: ``{"bow": "bow_(weapon)"}``, with ``""`` for a category to be added as new, and an
    id such as ``"7"`` where several known categories have one name.
    """

    def __init__(self, known: Iterable[CategoryRef], choices: Mapping[str, str] | None = None) -> None:
        self.choices = {normalize_name(name): other for name, other in (choices or {}).items()}
        self._tables: list[dict[str, list[CategoryRef]]] = [{}, {}, {}, {}]
        self._by_id: dict[int, CategoryRef] = {}
        self._used: set[str] = set()
        self._next_id = 1
        for category in known:
            self._enter(category)

    def _enter(self, category: CategoryRef) -> None:
        self._next_id = max(self._next_id, category.id + 1)
        self._by_id[category.id] = category
        for table, keys in zip(self._tables, _keys(category), strict=True):
            for key in keys:
                table.setdefault(key, []).append(category)

    def find(self, category: CategoryRef) -> list[CategoryRef]:
        """The known categories that match: none (``category`` is new), one, or several (it is ambiguous)."""
        key = normalize_name(category.name)
        if key in self.choices:
            self._used.add(key)
            return self._chosen(category.name, self.choices[key])
        for stage, (table, keys) in enumerate(zip(self._tables, _keys(category), strict=True)):
            found = {other.id: other for key in keys for other in table.get(key, [])}
            if stage >= 2:
                found = {id_: other for id_, other in found.items() if not _differ_in_meaning(category, other)}
            if found:
                return list(found.values())
        return []

    def _chosen(self, name: str, other: str) -> list[CategoryRef]:
        found = self._tables[1].get(normalize_name(other), []) if other else []
        exact = [category for category in found if category.name == other]
        if other and not found and other.isdecimal() and len(other) < 20:
            found = [self._by_id[int(other)]] if int(other) in self._by_id else []
        if other and not found:
            near = nearest_spellings(other, self._tables[1])
            hint = f"; nearest: {', '.join(self._tables[1][one][0].name for one in near)}" if near else ""
            raise MosaicFusionError(
                f"--match {name}={other}: no category is called {other!r}; give its full name{hint}"
            )
        return exact if len(exact) == 1 else found

    def name_of(self, id_: int) -> str:
        """The name of a known category."""
        return self._by_id[id_].name

    def ids(self, categories: Iterable[CategoryRef], source: str) -> tuple[dict[int, int], list[CategoryRef]]:
        """For each of a source's categories its id among the known ones; new ones get the next ids and become known.

        Returns the ids by the source's own, and the source's categories that are new. Raises :class:`MosaicFusionError` with
        the options if a category is ambiguous.
        """
        ids: dict[int, int] = {}
        new: list[CategoryRef] = []
        open_questions = []
        for category in categories:
            found = self.find(category)
            if len(found) > 1:
                names = [other.name for other in found]
                choices = [str(one.id) if names.count(one.name) > 1 else one.name for one in found]
                options = [f"--match '{category.name}={choice}'" for choice in choices]
                open_questions.append(" or ".join([*options, f"--match '{category.name}=' to add it as new"]))
            elif found:
                ids[category.id] = found[0].id
            else:
                ids[category.id] = self._next_id + len(new)
                new.append(category)
        if open_questions:
            raise MosaicFusionError(
                f"categories of {source} are ambiguous; choose one for each:\n  " + "\n  ".join(open_questions)
            )
        for category in new:  # only now, since the categories of one source differ from one another
            self._enter(structs.replace(category, id=ids[category.id]))
        return ids, new

    def require_all_used(self) -> None:
        """Raise :class:`MosaicFusionError` if no source has a name in ``choices``."""
        if unused := sorted(self.choices.keys() - self._used):
            raise MosaicFusionError(
                f"--match names {', '.join(unused)}, which no source has; give an added category's name"
            )


def _differ_in_meaning(one: CategoryRef, other: CategoryRef) -> bool:
    """True if two categories with similar names have different synsets or qualifiers."""
    meanings = ((normalize_name(c.synset or ""), normalize_name(qualifier(c.name))) for c in (one, other))
    return any(a and b and a != b for a, b in zip(*meanings, strict=True))


def _keys(category: CategoryRef) -> tuple[set[str], ...]:
    """The keys of a category in each of the tables."""
    name, shown = normalize_name(category.name), normalize_name(display_name(category.name))
    synonyms = {normalize_name(display_name(synonym)) for synonym in category.synonyms or []}
    synset = {normalize_name(category.synset)} if category.synset else set()
    return synset, {name}, {shown}, {name, shown, *synonyms}
