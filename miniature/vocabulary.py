"""The categories of the miniature: LVIS facts, the word of the prompt, and the drawing that shows it."""

import json
from dataclasses import dataclass
from pathlib import Path

VOCABULARY_FILE = Path(__file__).with_name("vocabulary.json")


@dataclass(frozen=True)
class Entry:
    """One category.

    prompt_name: the word the model is trained with, e.g. "bus".
    emoji: English emoji name of the drawing, e.g. "oncoming bus".
    lvis: whether `record` is an LVIS v1 category; others have ids from 2000.
    train: False keeps the record (older weights know it) without training on it.
    record: LVIS-style fields (id, name, prompt_name, synonyms, synset, frequency, def, lvis).
    """

    prompt_name: str
    emoji: str
    lvis: bool
    train: bool
    record: dict


def load_vocabulary(path: Path = VOCABULARY_FILE, train_only: bool = True) -> list[Entry]:
    """Entries in file order; the position of an entry is its number in every latent shard."""
    entries = []
    for fields in json.loads(path.read_text(encoding="utf-8")):
        record = {key: value for key, value in fields.items() if key not in ("emoji", "train")}
        entries.append(Entry(fields["prompt_name"], fields["emoji"], fields["lvis"], fields["train"], record))
    return [entry for entry in entries if entry.train or not train_only]


def category_records(entries: list[Entry]) -> list[dict]:
    """What the package ships as categories.json: LVIS-style records in order of id."""
    return sorted((entry.record for entry in entries), key=lambda record: record["id"])


def write_json_lines_list(records: list[dict], path: Path) -> None:
    """A JSON list with one record a line, so that changes are readable in a diff."""
    lines = ",\n".join(" " + json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
