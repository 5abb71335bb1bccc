"""The base of all settings models, the files that hold settings, and the merge of nested settings."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Self, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from mosaicfusion.errors import MosaicFusionError, first_line, is_not

_LONG = 10**6  # characters; a line of YAML is not broken
_SIMILAR = 0.7  # part of the letters that two names of settings share if one may be a slip of the other
_LISTED = 30  # settings that an error names at most

_EXPECTED = {
    "literal_error": "{expected}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number from {ge} on",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number up to {le}",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "string_too_long": "a text of at most {max_length} characters",
    "tuple_type": "a list",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "dict_type": "a group of settings",
    "invalid_key": "the name of a setting",
    "model_type": "a group of settings",
    "model_attributes_type": "a group of settings",
}
"""What pydantic expected, in the words of the user, by the type of its error."""


class Settings(BaseModel):
    """Frozen values; unknown names and numbers that are not finite are refused.

    Raises :class:`MosaicFusionError` that names every wrong value with its location.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    listed_by: ClassVar[str] = ""
    """The command that lists all settings, for messages; without one, the messages list them."""

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise refusal(error, type(self)) from None

    # Pydantic's own mark: groups of settings in others are validated without this method, so that their errors keep their place.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @field_validator("*")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:  # from an argument of the command line, such as a path
                raise ValueError(f"{value!r:.80} is not UTF-8") from None
        return value

    @classmethod
    def parse(cls, values: Any) -> Self:
        """Validate plain values, such as those of a JSON file.

        Raises :class:`MosaicFusionError` that names every wrong value with its location.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise refusal(error, cls) from None

    @classmethod
    def of(cls, values: Self | Mapping[str, Any]) -> Self:
        """Settings as they are, or those of a mapping. Raises :class:`MosaicFusionError`."""
        return values if isinstance(values, cls) else cls.parse(values)

    def to_yaml(self) -> str:
        """All values as YAML, with their descriptions as comments; :func:`read_settings` reads it."""
        lines = []
        for name, field in type(self).model_fields.items():
            value, comment = getattr(self, name), f"  # {field.description}" if field.description else ""
            if isinstance(value, Settings):
                lines += [f"{name}:{comment}", *(f"  {line}" for line in value.to_yaml().splitlines())]
            else:
                plain = self.model_dump(mode="json", include={name})
                flow = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=_LONG)
                lines.append(flow.strip()[1:-1] + comment)  # without the braces of the mapping
        return "\n".join(lines) + "\n"


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a YAML file (``.yaml``, ``.yml``) or else a JSON file.

    Raises :class:`MosaicFusionError` for a file that cannot be read or holds something else than named settings.
    """
    try:
        return parse_settings(path.read_text(encoding="utf-8"), str(path), is_yaml=path.suffix in (".yaml", ".yml"))
    except (OSError, UnicodeDecodeError) as error:
        raise MosaicFusionError(f"cannot read the settings in {path}: {first_line(error)}") from None


def parse_settings(text: str, source: str, *, is_yaml: bool) -> dict[str, Any]:
    """Parse the text of a settings file; ``source`` names it in messages. Raises :class:`MosaicFusionError`."""
    try:
        values = yaml.load(text, _NoAliasLoader) if is_yaml else json.loads(text)
    except RecursionError as error:
        raise MosaicFusionError(f"cannot read the settings in {source}: {first_line(error)}") from None
    except Exception as error:  # tags such as !!timestamp make PyYAML raise errors of many kinds
        kind, reason = "YAML" if is_yaml else "JSON", " ".join(str(error).split())
        raise MosaicFusionError(f"cannot read the settings in {source}: not valid {kind}: {reason:.300}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        kind = "nothing" if values is None else f"a {type(values).__name__}"
        raise MosaicFusionError(f"{source} holds {kind} instead of settings such as `seed: 1`")
    return values


class _NoAliasLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Loads YAML without aliases, by which a short file can grow beyond any memory, and dates as texts."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            text = f"aliases such as *{event.anchor} are not supported"
            raise yaml.MarkedYAMLError(problem=text, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def merge_settings(
    base: Mapping[str, Any], top: Mapping[str, Any], *, skip_none: bool = False, location: str = ""
) -> dict[str, Any]:
    """Replace values of ``base`` by those of ``top``; a group of settings, given as a dict, is merged value by value.

    ``skip_none``: ``None`` in ``top`` keeps the value of ``base``. ``location``: dotted path of the group, for the message.
    Raises :class:`MosaicFusionError` for a name that is a group in one of the two and a value in the other.
    """
    merged = dict(base)
    for name, new in top.items():
        old, path = base.get(name), f"{location}.{name}" if location else name
        if new is None and skip_none:
            continue
        if None not in (old, new) and isinstance(old, dict) != isinstance(new, dict):
            value = old if isinstance(new, dict) else new
            raise MosaicFusionError(
                f"{path} is given as the value {value!r:.80} and as a group of settings; one of the two is wrong"
            )
        group = isinstance(new, dict)
        merged[name] = merge_settings(old or {}, new, skip_none=skip_none, location=path) if group else new
    return merged


def refusal(error: ValidationError, model: type[BaseModel]) -> MosaicFusionError:
    """The error for invalid values of ``model``: one line, or a line for each."""
    lines = problems(error, model)
    if len(lines) == 1:
        return MosaicFusionError(lines[0])
    return MosaicFusionError(f"{len(lines)} settings are wrong:\n  " + "\n  ".join(lines))


def problems(error: ValidationError, model: type[BaseModel] | None = None) -> list[str]:
    """One line per invalid value of ``model``: ``sampling.steps: 0 is not a number from 1 on``."""
    wrong: dict[str, list[Any]] = {}
    for item in error.errors():
        wrong.setdefault(".".join(map(str, _place(item["loc"], model))), []).append(item)
    return [_problem(place, items, model) for place, items in wrong.items()]


def _problem(place: str, items: list[Any], model: type[BaseModel] | None) -> str:
    """The line of one value; it has several errors if it may be of several kinds and is of none."""
    first, prefix = items[0], f"{place}: " if place else ""  # no place: values that contradict each other
    if first["type"] == "extra_forbidden":
        return unknown_setting(place, list(_names(model)) if model else [], getattr(model, "listed_by", ""))
    if first["type"] == "missing":
        return f"{prefix}a value is missing"
    if any(item["type"] not in _EXPECTED for item in items):  # our validators name the value themselves
        return f"{prefix}{first['msg'].removeprefix('Value error, ')}"
    return prefix + is_not(first["input"], [_expected(item) for item in items])


def _expected(item: Any) -> str:
    limits = {
        key: int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        for key, limit in item.get("ctx", {}).items()
    }
    return str(_EXPECTED[item["type"]].format(**limits))


def unknown_setting(place: str, known: Sequence[str], listed_by: str = "") -> str:
    """The line of a name that is no setting, with the nearest ones: of the same name elsewhere, or of a similar one.

    ``known``: the dotted names of all settings, which the command ``listed_by`` lists.
    """
    group, _, name = place.rpartition(".")
    if place in known:
        return f"{place} is a setting of another kind of {group}"
    last = {path: path.rpartition(".")[2] for path in known}
    similar = set(difflib.get_close_matches(name, last.values(), cutoff=_SIMILAR))
    near = (
        [path for path in known if last[path] == name]
        or [path for path in known if len(name) > 2 and path.startswith(place)]
        or difflib.get_close_matches(place, [path for path in known if path.startswith(group)], 1, _SIMILAR)
        or [path for path in known if last[path] in similar]
    )
    nearest = f"; nearest: {', '.join(near[:3])}" if near else ""
    few = 0 < len(known) <= _LISTED
    listing = f"; `{listed_by}` lists all" if listed_by else f"; known: {', '.join(known)}" if few else ""
    return f"there is no setting {place}{nearest}{listing}"


def _names(model: type[BaseModel], group: str = "") -> Iterator[str]:
    """The dotted names of all settings, those of every kind of a group included."""
    for name, annotation in _annotations(model).items():
        inner = _model_in(annotation)
        yield from _names(inner, f"{group}{name}.") if inner else [group + name]


def _place(location: tuple[Any, ...], model: type[BaseModel] | None) -> tuple[Any, ...]:
    """The location of an error without pydantic's marks of the kinds of value that a setting may have."""
    for k, part in enumerate(location, start=1):
        annotation = _annotations(model).get(part) if model else None
        if get_origin(annotation) in (Union, UnionType) and len({*get_args(annotation)} - {NoneType}) > 1:
            return location[:k]
        model = _model_in(annotation)
    return location


def _annotations(model: type[BaseModel]) -> dict[str, Any]:
    """The types of the fields of a model, and of its subclasses, which are the kinds of a group."""
    kinds = {name: kind for one in model.__subclasses__() for name, kind in _annotations(one).items()}
    return kinds | {name: field.annotation for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a group of settings; ``None`` for the type of a single value."""
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
