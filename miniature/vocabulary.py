"""The categories of the miniature: LVIS record, prompt name and drawing."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOCABULARY_FILE = Path(__file__).with_name("vocabulary.json")


@dataclass(frozen=True)
class Entry:
    """One category.

    ``prompt_name``: the word in training captions, such as "bus". ``emoji``: English emoji name of the drawing, such as "oncoming
    bus". ``lvis``: True if ``record`` is an LVIS v1 category; others have ids from 2000. ``train``: False keeps the record, which
    older weights know, without training on it. ``record``: LVIS fields (id, name, prompt_name, synonyms, synset, frequency, def,
    lvis).
    """

    prompt_name: str
    emoji: str
    lvis: bool
    train: bool
    record: dict[str, Any]


def load_vocabulary(path: Path = VOCABULARY_FILE, train_only: bool = True) -> list[Entry]:
    """Read the entries in file order; an entry's position is its category number in latent shards."""
    entries = []
    for fields in json.loads(path.read_text(encoding="utf-8")):
        record = {key: value for key, value in fields.items() if key not in ("emoji", "train")}
        entries.append(Entry(fields["prompt_name"], fields["emoji"], fields["lvis"], fields["train"], record))
    return [entry for entry in entries if entry.train or not train_only]


def category_records(entries: list[Entry]) -> list[dict[str, Any]]:
    """LVIS records in order of id: the package's categories.json."""
    return sorted((entry.record for entry in entries), key=lambda record: record["id"])


def write_json_lines_list(records: list[dict[str, Any]], path: Path) -> None:
    """Write a JSON list with one record per line, for readable diffs."""
    lines = ",\n".join(" " + json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
