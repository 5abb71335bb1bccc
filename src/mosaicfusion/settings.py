"""The base of all settings models, the files that hold settings, and the merge of nested settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from mosaicfusion.errors import MosaicFusionError, first_line

_LONG = 10**6  # characters; a line of YAML is not broken


class Settings(BaseModel):
    """Frozen values; unknown names and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
            raise MosaicFusionError("the settings do not fit together:\n  " + "\n  ".join(problems(error))) from None

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
        raise MosaicFusionError(f"cannot read the settings in {path}: {error}") from None


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


def problems(error: ValidationError) -> list[str]:
    """One line per invalid value: ``sampling.steps: Input should be greater than or equal to 1 (got 0)``."""
    lines = []
    for item in error.errors():
        location = ".".join(str(part) for part in item["loc"])
        prefix = f"{location}: " if location else ""  # no location: values that contradict each other
        message = item["msg"].removeprefix("Value error, ")
        own = "Value error" in item["msg"]  # our validators name the value themselves
        lines.append(f"{prefix}{message}" + ("" if own else f" (got {item['input']!r:.80})"))
    return lines
