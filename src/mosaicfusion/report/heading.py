"""The top of the report: what was drawn, with which model and settings."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from mosaicfusion.report.markup import Part, paragraph, spoken
from mosaicfusion.report.stats import RunStats

_NAMES_SHOWN = 12


def heading(stats: RunStats, folder: Path) -> Part:
    """Name, categories and the settings that matter most; all others fold out."""
    return Part(
        "",
        f'<header><p class="eyebrow">mosaicfusion run</p><h1>{escape(stats.run_name)}</h1>'
        f"{paragraph(_drawn(stats.header), 'lead')}{paragraph(_facts(stats.header), 'facts')}"
        f"{''.join(paragraph(warning, 'warning') for warning in _warnings(stats))}{_settings(stats)}</header>",
    )


def _drawn(header: dict[str, Any]) -> str:
    chosen = _dict(header.get("categories"))
    main, partners = (
        [spoken(str(category.get("name", ""))) for category in chosen.get(kind) or []] for kind in ("main", "partners")
    )
    text = ", ".join(main[:_NAMES_SHOWN])
    if len(main) > _NAMES_SHOWN:
        text += f" and {len(main) - _NAMES_SHOWN:,} more"
    if set(partners) != set(main):
        text += f"; the other regions from {len(partners):,} categories"
    return text or "run.json names no categories."


def _facts(header: dict[str, Any]) -> str:
    config = _dict(header.get("config"))
    sampling = _dict(config.get("sampling"))
    facts = [
        ("model", config.get("model")),
        ("seed", config.get("seed")),
        ("scheduler", sampling.get("scheduler")),
        ("steps", sampling.get("steps")),
        ("guidance", sampling.get("guidance")),
    ]
    return " · ".join(f"{name} {value}" for name, value in facts if value is not None)


def _warnings(stats: RunStats) -> list[str]:
    warnings = []
    if stats.canvases < stats.planned:
        warnings.append(f"The run is not finished: {stats.canvases:,} of {stats.planned:,} canvases are drawn.")
    if stats.without_image:
        warnings.append(
            f"Canvases without an image, because the sampler's numbers were not finite: {stats.without_image:,}."
        )
    return warnings


def _settings(stats: RunStats) -> str:
    """Every value of the config, a row for each of its groups, so that settings to come need nothing here."""
    config = _dict(stats.header.get("config"))
    single = {key: value for key, value in config.items() if not isinstance(value, dict)}
    single |= {"canvases_per_category": stats.header.get("canvases_per_category"), **_dict(stats.header.get("output"))}
    single |= {"policy": stats.policy}
    groups = {"run": single, **{key: value for key, value in config.items() if isinstance(value, dict)}}
    groups |= {key: value for key in ("model", "versions") if (value := _dict(stats.header.get(key)))}
    rows = "".join(
        f'<tr><th scope="row">{escape(str(group))}</th><td>{"".join(map(_setting, values.items()))}</td></tr>'
        for group, values in groups.items()
    )
    return (
        f'<details><summary>Settings</summary><div class="scroll"><table><tbody>{rows}</tbody></table></div></details>'
    )


def _setting(item: tuple[str, Any]) -> str:
    name, value = item
    return f'<span class="setting">{escape(str(name).replace("_", " "))} <b>{escape(_value(value))}</b></span>'


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
