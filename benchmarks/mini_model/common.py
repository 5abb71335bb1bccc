"""What the scripts share: the model, compositions, arguments, results on disk."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from miniature.compose import Composition, compose
from miniature.pictures import load_pictures
from miniature.vocabulary import load_vocabulary
from mosaicfusion.diffusion.registry import load_backend
from mosaicfusion.diffusion.sampler import sample_canvases
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan

HELD_OUT_SEED = 990001  # no shard of training latents has this number


def parser(doc: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--work", type=Path, default=Path("build/mini"), help="where python -m miniature.assets put the drawings"
    )
    made.add_argument("--pipeline", default="mini", help="a pipeline folder; else the bundled weights")
    made.add_argument("--json", type=Path, help="also write the figures here")
    return made


def held_out(work: Path, count: int) -> list[Composition]:
    """New compositions of the drawings that the model was trained on."""
    entries = load_vocabulary()
    pictures = load_pictures(work, entries)
    rng = np.random.default_rng([HELD_OUT_SEED])
    return [compose(rng, pictures, int(rng.integers(len(entries)))) for _ in range(count)]


def write_results(path: Path | None, what: dict[str, Any]) -> None:
    """The figures with their date and machine, for whoever doubts them."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"date": str(datetime.date.today()), "machine": machine("no GPU"), **what}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class DrawnRegion:
    """One picture of one object. number: of its category in the vocabulary's order. sums: see AttentionRecorder."""

    number: int
    image: np.ndarray
    sums: Mapping[int, np.ndarray]


def draw_regions(
    pipeline: str, names: Sequence[str], seeds: int, overrides: Mapping[str, Any]
) -> Iterator[DrawnRegion]:
    """Each name ``seeds`` times, one region a canvas, by the product's own plan and sampler; unlucky ones are not left out."""
    numbers = {entry.prompt_name: number for number, entry in enumerate(load_vocabulary())}
    config = make_config("mini", {**overrides, "layout": {"grids": ("1x1",)}})
    backend = load_backend(find_model(pipeline), "cpu", "float32")
    categories = [vocabulary_for("mini").find(name) for name in names]
    plan = Plan(config, categories, categories, backend.latent_factor)
    total = len(names) * seeds
    for start in range(0, total, 8):
        specs = [plan.spec(index) for index in range(start, min(start + 8, total))]
        for drawn in sample_canvases(backend, specs, config):
            name = names[drawn.spec.index % len(names)]
            image = drawn.image if drawn.image is not None else np.zeros((128, 128, 3), np.uint8)
            yield DrawnRegion(numbers[name], image, drawn.sums[0])
