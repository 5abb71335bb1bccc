"""Categories and vocabularies, from names or from the records of an LVIS or COCO json."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from mosaicfusion.errors import MosaicFusionError, first_line, is_printable

Frequency = Literal["r", "c", "f"]
FREQUENCIES: tuple[Frequency, ...] = get_args(Frequency)
MAX_NAME_LENGTH = 100
_SIMILAR = 0.67  # part of the letters that names share if one may be a slip of the other; pie and pipette share 0.6
MAX_ID = 2**63 - 1  # what numpy, Arrow and detectors hold


@dataclass(frozen=True)
class Category:
    """One category with the fields of LVIS.

    ``name`` keeps its LVIS spelling (``bow_(weapon)``); :attr:`display_name` is its form in a prompt. ``frequency`` is the
    number of training images in LVIS: r(are) 1-10, c(ommon) 11-100, f(requent) more.
    """

    id: int
    name: str
    synonyms: tuple[str, ...] = ()
    definition: str = ""
    frequency: Frequency | None = None
    synset: str | None = None
    prompt_name: str | None = None

    @property
    def display_name(self) -> str:
        """The name in a prompt: ``bow_(weapon)`` -> ``bow``, ``hot-air_balloon`` -> ``hot-air balloon``."""
        return self.prompt_name or display_name(self.name)

    @property
    def spellings(self) -> tuple[set[str], set[str], set[str]]:
        """The normalised spellings, in the order of look-up: LVIS name, display names, synonyms."""
        return (
            {normalize_name(self.name)},
            {normalize_name(self.display_name), normalize_name(display_name(self.name))},
            {normalize_name(display_name(synonym)) for synonym in self.synonyms},
        )

    @property
    def definition_or_qualifier(self) -> str:
        """The definition, or else the qualifier of an LVIS name: ``date_(fruit)`` -> ``fruit``."""
        return self.definition or qualifier(self.name)


def display_name(name: str) -> str:
    """Remove a qualifier in parentheses with everything after it, and replace underscores by spaces."""
    head = re.split(r"_?\(", name, maxsplit=1)[0]
    return " ".join((head or name).replace("_", " ").split())


def qualifier(name: str) -> str:
    """The qualifier in the parentheses of an LVIS name, or an empty string."""
    match = re.search(r"\((.+?)\)", name)
    return match[1].replace("_", " ") if match else ""


class Vocabulary(Sequence[Category]):
    """Categories with unique ids and names, in order, with look-up by name, display name or synonym.

    ``notes``: what was read as something else in their file. Raises :class:`MosaicFusionError` when empty, or when a name or an
    id occurs twice.
    """

    def __init__(
        self, categories: Iterable[Category], source: str = "the vocabulary", notes: Sequence[str] = ()
    ) -> None:
        self.categories = tuple(categories)
        self.source, self.notes = source, notes
        if not self.categories:
            raise MosaicFusionError(
                f"{source} holds no category; name at least one, such as --categories 'banana, teapot'"
            )
        for field, counts in (
            ("name", Counter(normalize_name(category.name) for category in self.categories)),
            ("id", Counter(str(category.id) for category in self.categories)),
        ):
            value, count = counts.most_common(1)[0]
            if count > 1:
                raise MosaicFusionError(f"{source} holds the {field} {value!r} {count} times; keep one")

    def __len__(self) -> int:
        return len(self.categories)

    def __iter__(self) -> Iterator[Category]:
        return iter(self.categories)

    def __getitem__(self, index: Any) -> Any:
        return self.categories[index]

    @cached_property
    def _spellings(self) -> tuple[dict[str, list[Category]], ...]:
        """Look-up tables in the order of use: LVIS name, display name, synonym."""
        tables: tuple[dict[str, list[Category]], ...] = ({}, {}, {})
        for category in self.categories:
            for table, spellings in zip(tables, category.spellings, strict=True):
                for spelling in spellings:
                    table.setdefault(spelling, []).append(category)
        return tables

    def find(self, name: str) -> Category:
        """The category called ``name``; an unknown or ambiguous name raises :class:`MosaicFusionError` with choices."""
        for table in self._spellings:
            found = table.get(normalize_name(name), [])
            if len(found) > 1:
                choices = ", ".join(category.name for category in found)
                raise MosaicFusionError(f"{name!r} may mean any of: {choices}; use one of these names")
            if found:
                return found[0]
        near = self.nearest(name)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise MosaicFusionError(f"{self.source} does not know {name[:MAX_NAME_LENGTH]!r}{hint}")

    def nearest(self, name: str, count: int = 5) -> list[str]:
        """Names with a similar spelling, best first; names that share a word come first."""
        known: dict[str, Category] = {}
        for table in reversed(self._spellings):
            known.update({spelling: found[0] for spelling, found in table.items()})
        near = nearest_spellings(name, known, 3 * count)
        return list(dict.fromkeys(known[spelling].display_name for spelling in near))[:count]

    def search(self, text: str) -> list[Category]:
        """Categories whose name, synonyms or definition contain ``text``, ignoring case."""
        key = normalize_name(text)
        return [c for c in self if any(key in normalize_name(part) for part in (c.name, *c.synonyms, c.definition))]

    def select(self, names: Iterable[str]) -> Vocabulary:
        """The categories with these names, in this order."""
        return Vocabulary((self.find(name) for name in names), self.source)

    def with_frequency(self, frequencies: Iterable[str]) -> Vocabulary:
        """The categories with one of these frequencies: r, c, f."""
        wanted = set(frequencies)
        if not wanted or wanted - set(FREQUENCIES):
            raise MosaicFusionError(
                f"frequency {','.join(sorted(wanted))!r} is not among r, c, f; such as --frequency r,c"
            )
        kept = [category for category in self if category.frequency in wanted]
        if not kept:
            raise MosaicFusionError(f"no category of {self.source} has frequency {','.join(sorted(wanted))}")
        return Vocabulary(kept, self.source)


@dataclass(frozen=True)
class Selection:
    """The main categories, each shown on a canvas in turn, and the partners, which fill its other regions."""

    main: Vocabulary
    partners: Vocabulary

    def __post_init__(self) -> None:
        """Refuse two vocabularies that use an id or a name for different categories."""
        Vocabulary(dict.fromkeys([*self.main, *self.partners]), "the main and partner categories together")


def from_names(names: Iterable[str]) -> Vocabulary:
    """Categories numbered from 1, for models with an open vocabulary."""
    return Vocabulary(
        (Category(i, check_name(name)) for i, name in enumerate(names, start=1)), "the list of categories"
    )


def check_name(name: str) -> str:
    """Strip the outer spaces of a name; raises :class:`MosaicFusionError` if it is unusable in a prompt.

    Names come from outside. They never become part of a path and are escaped in HTML, so any printable text is allowed.
    """
    if not isinstance(name, str):
        raise MosaicFusionError(f"category names are text, such as ['teapot', 'kite']; got {name!r:.80}")
    name = name.strip()
    if len(name) > MAX_NAME_LENGTH:
        raise MosaicFusionError(f"category name {name[:40]!r}... has {len(name)} characters; at most {MAX_NAME_LENGTH}")
    if not is_printable(name) or not re.search(r"[^\W_]", display_name(name)):
        raise MosaicFusionError(f"category name {name!r} must be printable and hold at least one letter or digit")
    return name


def split_names(text: str) -> list[str]:
    """Comma-separated names, or those of a .txt file with one name per line (# starts a comment)."""
    path = Path(text)
    if path.suffix == ".json":
        raise MosaicFusionError(f"{text:.200} is a json; --vocabulary reads its categories")
    try:
        is_file = path.suffix == ".txt" and path.is_file()
    except OSError:  # a list that is longer than any file name
        is_file = False
    names = read_lines(path) if is_file else text.split(",")
    if path.suffix == ".txt" and not is_file and "," not in text:
        raise MosaicFusionError(f"there is no file {text}")
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise MosaicFusionError("the list of categories is empty; such as --categories 'banana, teapot' or names.txt")
    return names


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without comments and empty ones."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MosaicFusionError(f"cannot read {path}: {first_line(error)}") from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def parse_category(record: Any, path: Path) -> Category:
    """A category of a json; ``path`` is for the message of the :class:`MosaicFusionError` for a record that is none."""
    if not isinstance(record, dict) or type(record.get("id")) is not int or not isinstance(record.get("name"), str):
        raise MosaicFusionError(f"{path}: category {json.dumps(record)[:80]} lacks an integer id or a name")
    if abs(record["id"]) > MAX_ID:
        raise MosaicFusionError(f"{path}: category {record['name']!r:.60} has the id {record['id']}; at most {MAX_ID}")
    frequency, synonyms, prompt_name = (record.get(key) for key in ("frequency", "synonyms", "prompt_name"))
    for key, value, fits, expected in (
        ("frequency", frequency, frequency in (None, *FREQUENCIES), "r, c or f"),
        ("synonyms", synonyms, isinstance(synonyms, list | None), "a list"),
        ("prompt_name", prompt_name, isinstance(prompt_name, str | None), "a text"),
    ):
        if not fits:
            raise MosaicFusionError(
                f"{path}: category {record['name']!r:.60} has {key} {value!r:.60}; {expected} expected"
            )
    return Category(
        id=record["id"],
        name=check_name(record["name"]),
        synonyms=tuple(str(synonym) for synonym in synonyms or ()),
        definition=str(record.get("def") or ""),
        frequency=frequency,
        synset=record.get("synset"),
        prompt_name=check_name(prompt_name) if prompt_name else None,
    )


def normalize_name(name: str) -> str:
    """The name in lower case, with single spaces for underscores and repeated spaces."""
    return " ".join(name.casefold().replace("_", " ").split())


def nearest_spellings(name: str, known: Iterable[str], close: int = 5) -> list[str]:
    """Those of the normalized names ``known`` that share a word with ``name``, then up to ``close`` of a similar spelling."""
    key, known = normalize_name(name), list(known)
    words = set(key.split())
    sharing = [spelling for spelling in known if words & set(spelling.split())]
    return list(dict.fromkeys([*sharing, *difflib.get_close_matches(key, known, n=close, cutoff=_SIMILAR)]))
