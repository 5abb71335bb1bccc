"""Lists of prompts by category: reading them, and writing them by rules or with a language model.

The file is a JSON object: ``{"teapot": ["a photo of a single {name} on a shelf", "an old teapot in the rain"]}``. A line holds
``{name}``, or the category's name itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosaicfusion.categories import Category, Selection, Vocabulary
from mosaicfusion.config import RunConfig, check_template
from mosaicfusion.errors import MosaicFusionError, shown
from mosaicfusion.files.remote import as_path
from mosaicfusion.identity import fingerprint
from mosaicfusion.settings import read_settings

Write = Callable[[Category, int], list[str]]
"""A language model: lines about a category, of which there are to be a number. See :mod:`mosaicfusion.models.language`."""

_MAX_WORDS = 40  # of a line; text encoders of CLIP's kind take 77 tokens
_ROUNDS = 3  # calls of a language model for a category

# What fits any category: how and where a picture is taken. Colours and materials would make another thing of many of them.
_KINDS = ("a photo", "a close-up photo", "a snapshot", "a detailed photo", "a casual photo", "a professional photo")
_VIEWS = ("", "seen from the side", "seen from above", "seen from the front", "at an angle", "from a low viewpoint")
_LIGHTS = ("in soft daylight", "in bright sunlight", "in warm evening light", "on an overcast day", "in studio light")
_PLACES = (
    "",
    "in front of a plain background",
    "outdoors",
    "indoors",
    "with a blurred background",
    "in a natural setting",
)


def with_prompts(config: RunConfig, selection: Selection, path: str | Path) -> RunConfig:
    """``config`` with the prompts of a file; see :func:`read_prompts`."""
    lists = read_prompts(path, dict.fromkeys([*selection.main, *selection.partners]))
    return config.model_copy(update={"prompt": config.prompt.model_copy(update={"by_category": lists})})


def read_prompts(path: str | Path, categories: Iterable[Category]) -> dict[str, tuple[str, ...]]:
    """Read the templates of some categories, by their name; categories that the file lacks are left out.

    Names in the file may be display names or synonyms; those of other categories do not matter. Raises
    :class:`MosaicFusionError` for a file or a line that cannot be used.
    """
    lists = read_settings(as_path(path))
    vocabulary = Vocabulary(categories)
    found: dict[str, tuple[str, ...]] = {}
    for name, lines in lists.items():
        try:
            category = vocabulary.find(name)
        except MosaicFusionError:
            continue  # a file may serve several runs
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            raise MosaicFusionError(f"{path}: the prompts of {name!r:.60} are {shown(lines)}; give a list of lines")
        found[category.name] = tuple(_template_of(line, category, f"{path}: {name!r:.60}") for line in lines)
    if not found:
        raise MosaicFusionError(
            f"{path} has prompts of {shown(sorted(lists))}, none of which is a category of this run"
        )
    return found


def _template_of(line: str, category: Category, where: str) -> str:
    template = as_template(line, category)
    if template is None:
        raise MosaicFusionError(
            f"{where}: the line {shown(line)} has neither {{name}} nor {category.display_name!r:.60}; without the name no mask "
            "can be read"
        )
    try:
        return check_template(template)
    except ValueError as error:
        raise MosaicFusionError(f"{where}: {error}") from None


def as_template(line: str, category: Category) -> str | None:
    """A line with ``{name}`` in place of the category's name; ``None`` if it has neither. Only the first mention counts."""
    if "{name}" in line:
        return line
    name = re.escape(category.display_name).replace(r"\ ", r"[\s_-]+")
    template, count = re.subn(rf"(?<!\w){name}(?!\w)", "{name}", line, count=1, flags=re.IGNORECASE)
    return template if count else None


@dataclass(frozen=True)
class PromptLists:
    """Templates by category name. ``by_model``: number of lines that a language model wrote; the others follow the rules."""

    lists: dict[str, list[str]]
    by_model: int = 0

    def to_json(self) -> bytes:
        """The file that :func:`read_prompts` reads."""
        return (json.dumps(self.lists, indent=1, ensure_ascii=False) + "\n").encode()


def write_prompts(
    categories: Sequence[Category],
    per_category: int,
    seed: int = 0,
    write: Write | None = None,
    on_progress: Callable[[float, int], None] = lambda done, total: None,
) -> PromptLists:
    """Write ``per_category`` different templates for each category.

    ``write``: a language model, whose lines are taken where they name the category and no other line is the same; what it does
    not give is filled up by rules. Equal arguments without a model give equal lists. Raises :class:`MosaicFusionError` for more
    lines than there are by rules.
    """
    if per_category > len(_KINDS) * len(_VIEWS) * len(_LIGHTS) * len(_PLACES):
        raise MosaicFusionError(
            f"{per_category} prompts per category are more than the rules have; ask for 500 or fewer"
        )
    lists: dict[str, list[str]] = {}
    by_model = 0
    for done, category in enumerate(categories):
        on_progress(done, len(categories))
        lines = _by_model(category, per_category, write) if write else []
        by_model += len(lines)
        lists[category.name] = lines + _by_rules(category, per_category - len(lines), seed)
    on_progress(len(categories), len(categories))
    return PromptLists(lists, by_model)


def _by_rules(category: Category, count: int, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, int(fingerprint(category.name), 16)])
    parts = (_KINDS, _VIEWS, _LIGHTS, _PLACES)
    chosen = rng.choice(int(np.prod([len(part) for part in parts])), count, replace=False)
    lines = []
    for number in chosen:
        kind, *details = (
            part[k] for part, k in zip(parts, np.unravel_index(number, [len(p) for p in parts]), strict=True)
        )
        lines.append(", ".join([f"{kind} of a single {{name}}", *(detail for detail in details if detail)]))
    return lines


def _by_model(category: Category, count: int, write: Write) -> list[str]:
    found: dict[str, None] = {}
    for _ in range(_ROUNDS):
        for line in write(category, count - len(found)):
            template = as_template(_plain(line), category)
            if template and len(template.split()) <= _MAX_WORDS and _is_valid(template):
                found.setdefault(template)
        if len(found) >= count:
            break
    return list(found)[:count]


def _plain(line: str) -> str:
    """A line without the numbers, dashes and quotes of lists."""
    return re.sub(r"^[\s\d.)*•-]+", "", line).strip().strip('"').replace("[", "(").replace("]", ")").rstrip(". ")


def _is_valid(template: str) -> bool:
    try:
        check_template(template)
    except ValueError:
        return False
    return True
