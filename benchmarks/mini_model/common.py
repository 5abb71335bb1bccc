"""Shared by the scripts: the model, compositions, arguments and results on disk."""

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
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import sample_canvases
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan

HELD_OUT_SEED = 990001  # no shard of training latents has this number


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Parser with the common arguments."""
    result = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument(
        "--work", type=Path, default=Path("build/mini"), help="folder with the drawings of python -m miniature.assets"
    )
    result.add_argument("--pipeline", default="mini", help="a pipeline folder; else the bundled weights")
    result.add_argument("--json", type=Path, help="also write the results here")
    return result


def held_out(work: Path, count: int) -> list[Composition]:
    """New compositions of the model's training drawings."""
    entries = load_vocabulary()
    pictures = load_pictures(work, entries)
    rng = np.random.default_rng([HELD_OUT_SEED])
    return [compose(rng, pictures, int(rng.integers(len(entries)))) for _ in range(count)]


def write_results(path: Path | None, results: dict[str, Any]) -> None:
    """Write results with date and machine, unless ``path`` is None."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"date": str(datetime.date.today()), "machine": machine("no GPU"), **results}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class GeneratedRegion:
    """One image of one object. ``number``: of its category in the vocabulary; ``sums``: see AttentionRecorder."""

    number: int
    image: np.ndarray
    sums: Mapping[int, np.ndarray]


def generate_regions(
    pipeline: str, names: Sequence[str], seeds: int, overrides: Mapping[str, Any]
) -> Iterator[GeneratedRegion]:
    """Generate each name ``seeds`` times, one region per canvas, by the product's own plan and sampler; none is left out."""
    numbers = {entry.prompt_name: number for number, entry in enumerate(load_vocabulary())}
    config = make_config("mini", {**overrides, "layout": {"grids": ("1x1",)}})
    model = load_model(find_model(pipeline), "cpu", "float32")
    categories = [vocabulary_for("mini").find(name) for name in names]
    plan = Plan(config, categories, categories, model.latent_factor)
    total = len(names) * seeds
    for start in range(0, total, 8):
        specs = [plan.spec(index) for index in range(start, min(start + 8, total))]
        for canvas in sample_canvases(model, specs, config):
            name = names[canvas.spec.index % len(names)]
            image = canvas.image if canvas.image is not None else np.zeros((128, 128, 3), np.uint8)
            yield GeneratedRegion(numbers[name], image, canvas.sums[0])
