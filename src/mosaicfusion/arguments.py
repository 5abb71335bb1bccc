"""What users give to public functions: checks against the annotations, and conversion where it is plain what is meant."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import inspect
import numbers
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from mosaicfusion.errors import MosaicFusionError, is_not
from mosaicfusion.settings import unknown_setting

P = ParamSpec("P")
T = TypeVar("T")

_WORDS: dict[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    Callable: "a function",
    Mapping: "a mapping",
    dict: "a mapping",
    Sequence: "a list",
    Iterable: "a list",
}
_PLAIN = (NoneType, numbers.Number, bytes, list, tuple, Mapping, Path)
_NUMBERS: dict[Any, type] = {int: numbers.Integral, float: numbers.Real}


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """The function, which raises :class:`MosaicFusionError` for an argument that is not what its annotation says.

    Names that are imported for type checkers alone stand for anything.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        _check(signature.bind(*args, **kwargs).arguments, _hints(function))
        return function(*args, **kwargs)

    return call


def check_fields(options: Any) -> None:
    """Raise :class:`MosaicFusionError` if a field of a dataclass is not what its annotation says."""
    hints = _hints(type(options))
    _check({field.name: getattr(options, field.name) for field in dataclasses.fields(options)}, hints)


def options_of(kind: type[T], values: T | Mapping[str, Any] | None) -> T:
    """A dataclass of options as it is, from a mapping of its fields, or with its defaults for ``None``.

    Raises :class:`MosaicFusionError` for unknown names and wrong values.
    """
    if isinstance(values, kind):
        return values
    if values is None:
        return kind()
    if not isinstance(values, Mapping):
        raise MosaicFusionError(is_not(values, [f"{kind.__name__}(...)", "a mapping of its settings"]))
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise MosaicFusionError(unknown_setting(f"{name!s:.80}", known))
    return kind(**values)


def listed(values: str | Path | Iterable[Any]) -> list[Any]:
    """One text or path, or several, as a list."""
    return [values] if isinstance(values, str | os.PathLike) else list(values)


class _Names(dict[str, Any]):
    """The names of a module; others stand for anything."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Any)


def _hints(owner: Any) -> dict[str, Any]:
    return get_type_hints(owner, localns=_Names(vars(sys.modules[owner.__module__])))


def _check(values: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    for name, value in values.items():
        hint = hints.get(name, Any)
        if not _fits(value, hint):
            raise MosaicFusionError(f"{name}: {is_not(value, _words(hint))}")


def _fits(value: Any, hint: Any) -> bool:
    """True unless it is certain that ``value`` is not what the annotation says. What lists and mappings hold does not count."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return any(value == part for part in parts)
    if hint is Path:
        return isinstance(value, os.PathLike) or hasattr(value, "joinpath")  # a folder at a URL
    if hint in _NUMBERS:
        return isinstance(value, _NUMBERS[hint]) and not isinstance(value, bool)
    if origin is tuple and isinstance(value, list | tuple) and ... not in parts:
        return len(value) == len(parts) and all(map(_fits, value, parts))
    kind = origin or hint
    if not isinstance(kind, type) or kind is Any:
        return True
    if isinstance(value, str) and kind is not str:
        return False  # though a text is a sequence as well
    if kind.__module__.startswith("mosaicfusion."):
        return not isinstance(value, _PLAIN)  # an object of another class may have the same methods
    return isinstance(value, kind)


def _words(hint: Any) -> list[str]:
    """What an annotation asks for, in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [words for part in parts if part is not NoneType for words in _words(part)]
    if origin is Literal:
        return [repr(part) for part in parts]
    if origin is tuple:
        return [f"{len(parts)} values"]
    kind = origin or hint
    return [_WORDS.get(kind, getattr(kind, "__name__", str(kind)))]
