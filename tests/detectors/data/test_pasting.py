"""Pasting while images are loaded: what is pasted where, by the seed alone, and what a training set makes of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.shapes_set import BAR, COLOURS, DISC, HW, SQUARE, write_set

from mosaicfusion.detectors.config import DataConfig
from mosaicfusion.detectors.data.pasting import Pasting
from mosaicfusion.detectors.data.samples import make_loader
from mosaicfusion.detectors.data.sampling import RepeatFactorSampler, SampleIndex
from mosaicfusion.detectors.data.training_set import TrainingSet, open_training_set
from mosaicfusion.errors import MosaicFusionError

Json = dict[str, Any]
PLAIN = {"train_sides_px": [HW[0]], "max_side_px": HW[1], "flip": 0.0, "paste_probability": 1.0}
COLOUR_OF = dict(enumerate((COLOURS[id_] for id_ in (DISC, SQUARE, BAR)), start=1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of six images, and a pool of nine in ``pool/``."""
    write_set(tmp_path, "train", first_id=1, count=6)
    write_set(tmp_path / "pool", "train", first_id=201, count=9)
    (tmp_path / "pool/train.json").rename(tmp_path / "pool/images/pool.json")
    return tmp_path


def edit(path: Path, change: Callable[[Json], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def training_set(folder: Path, **config: Any) -> TrainingSet:
    pool = {"pool": str(folder / "pool/images/pool.json")}
    return open_training_set(DataConfig(**{**PLAIN, **pool, **config}), folder / "train.json", folder / "images")


def test_pixels_boxes_and_masks_fit_together(folder: Path) -> None:
    pasted, plain = training_set(folder).samples, training_set(folder, pool=[]).samples
    more = 0
    for index in range(6):
        image, target = pasted[SampleIndex(index, 3)]
        assert image.dtype == target["masks"].dtype == torch.uint8 and image.shape == (3, *HW)
        assert target["masks"].sum(0).max() == 1, "no pixel is of two objects"
        assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"])
        for label, mask in zip(target["labels"].tolist(), target["masks"], strict=True):
            near = (image.permute(1, 2, 0)[mask > 0].float() - torch.tensor(COLOUR_OF[label]).float()).abs().amax(
                1
            ) < 50
            assert near.float().mean() > 0.6, "but for soft edges, the pixels of a shape have its colour"
        more += len(target["labels"]) - len(plain[index][1]["labels"])
    assert more >= 6


def test_the_seed_of_a_sample_decides_and_each_look_is_another(folder: Path) -> None:
    data = training_set(folder)
    (one, target), (again, _), (other, _) = (data.samples[SampleIndex(0, seed)] for seed in (5, 5, 6))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert target["image_hw"] == HW

    def batches(workers: int, start: int = 0) -> list[torch.Tensor]:
        sampler = RepeatFactorSampler(data.factors, seed=1, start=start)
        return [images[0] for images, _ in islice(make_loader(data.samples, sampler, 1, workers), 8 - start)]

    alone, by_workers, resumed = batches(0), batches(2), batches(0, start=3)
    assert all(map(torch.equal, alone, by_workers))
    assert all(map(torch.equal, alone[3:], resumed))


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.5, 15, 45), (1.0, 60, 60)])
def test_a_part_of_the_looks_has_pasted_instances(probability: float, low: int, high: int, folder: Path) -> None:
    samples = training_set(folder, paste_probability=probability).samples
    plain = training_set(folder, pool=[]).samples
    looks = [
        (samples[SampleIndex(index, 10 * index + seed)][0], plain[index][0]) for index in range(6) for seed in range(10)
    ]
    assert low <= sum(not torch.equal(*pair) for pair in looks) <= high


def test_synthetic_images_stay_as_they_are(folder: Path) -> None:
    edit(folder / "train.json", lambda data: data["images"][0].update(synthetic=True))
    data, plain = training_set(folder), training_set(folder, pool=[])
    assert torch.equal(data.samples[SampleIndex(0, 1)][0], plain.samples[0][0])
    assert not torch.equal(data.samples[SampleIndex(1, 1)][0], plain.samples[1][0])
    assert data.synthetic_share == plain.synthetic_share == pytest.approx(1 / 6)


def test_categories_that_were_not_searched_for_become_not_exhaustive(folder: Path) -> None:
    lists: dict[str, set[int]] = {"negative": set(), "not_exhaustive": set()}
    for searched in (True, False):
        if not searched:
            edit(folder / "train.json", lambda data: [image.update(neg_category_ids=[]) for image in data["images"]])
        samples, plain = training_set(folder).samples, training_set(folder, pool=[]).samples
        for index in range(6):
            _, target = samples[SampleIndex(index, 1)]
            own, shown = set(plain[index][1]["labels"].tolist()), set(target["labels"].tolist())
            assert set(target["not_exhaustive"].tolist()) == (set() if searched else shown - own)
            assert set(target["negative"].tolist()) == ({1, 2, 3} - shown if searched else own - shown)
            lists["negative" if searched else "not_exhaustive"] |= shown - own
    assert lists["negative"] and lists["not_exhaustive"]


def test_rare_categories_come_more_often_at_the_sizes_of_real_objects(folder: Path) -> None:
    def enlarge(data: Json) -> None:
        data["images"] = data["images"] * 5
        for k, image in enumerate(data["images"]):
            data["images"][k] = {**image, "id": k + 1}
        rows = [row for row in data["annotations"] if row["category_id"] == DISC][:6]
        data["annotations"] = [{**row, "id": k, "image_id": 1 + k} for k, row in enumerate(rows * 5)]
        data["annotations"].append({**rows[0], "id": 99, "category_id": BAR})

    edit(folder / "train.json", enlarge)
    samples = training_set(folder).samples
    assert isinstance(samples, Pasting)
    weights = dict(zip(samples.rule.ids.tolist(), samples.rule.weights.tolist(), strict=True))
    assert weights[2] / weights[1] == pytest.approx(31**0.5), "no image shows a square, thirty show a disc"
    assert weights[2] / weights[3] == pytest.approx(2**0.5)
    seen = Counter(label for k in range(30) for label in samples[SampleIndex(k, k)][1]["labels"].tolist())
    assert seen[2] > seen[3] > 0
    sides = [
        float((box[2:] - box[:2]).prod() ** 0.5)
        for k in range(30)
        for box, label in zip(*(samples[SampleIndex(k, k)][1][name] for name in ("boxes", "labels")), strict=True)
        if label == 2
    ]
    real = [
        float(np.sqrt(row["bbox"][2] * row["bbox"][3]))
        for row in json.loads((folder / "train.json").read_text())["annotations"]
    ]
    assert np.median(sides) == pytest.approx(np.median(real), rel=0.25)


def test_a_class_that_is_only_pasted_has_an_image(folder: Path) -> None:
    def without_bars(data: Json) -> None:
        data["annotations"] = [row for row in data["annotations"] if row["category_id"] != BAR]

    edit(folder / "train.json", without_bars)
    assert training_set(folder, pool=[]).image_counts == [6, 3, 0]
    assert training_set(folder).image_counts == [6, 3, 1], "else F-VLM leaves the class out of its loss"


def test_edges_of_pasted_instances_alone_are_uncertain(folder: Path) -> None:
    data = training_set(folder, ignore_edge=0.1)
    for index in range(6):
        plain = training_set(folder, pool=[]).samples[index][1]
        _, target = data.samples[SampleIndex(index, 2)]
        assert target["uncertain"].shape == target["masks"].shape
        edges = [bool(one.any()) for one in target["uncertain"]]
        assert edges == [False] * len(plain["labels"]) + [True] * (len(edges) - len(plain["labels"]))


def test_other_augmentations_come_after_it(folder: Path) -> None:
    data = training_set(
        folder, mosaic=True, copy_paste=True, ignore_edge=0.05, resize="large_scale_jitter", jitter_side_px=80
    )
    counts = []
    for seed in range(6):
        image, target = data.samples[SampleIndex(seed, seed)]
        assert image.shape == (3, 80, 80) and target["uncertain"].shape == target["masks"].shape
        counts.append(len(target["labels"]))
    assert sum(counts) / 6 > 6


def test_the_digest_covers_the_pool(folder: Path) -> None:
    before, without = training_set(folder).digest, training_set(folder, pool=[]).digest
    assert before != without == training_set(folder, pool=[]).digest
    edit(folder / "pool/images/pool.json", lambda data: data["annotations"].pop())
    assert training_set(folder).digest != before


def test_what_is_left_out_of_a_pool_is_said(folder: Path) -> None:
    def change(data: Json) -> None:
        discs = [row for row in data["annotations"] if row["category_id"] == DISC]
        discs[0]["amodal_segmentation"] = discs[0]["segmentation"]
        data["categories"][2].update(name="stick", synset="", synonyms=[])

    edit(folder / "pool/images/pool.json", change)
    data = training_set(folder)
    assert data.left_out == {"of data.pool, instances that are hidden in part": 1}
    assert data.notes == [
        "data.pool holds 13 instances of 2 of the set's categories; not in the set, and left out: stick"
    ]


def test_pools_that_cannot_be_pasted_are_refused(folder: Path) -> None:
    with pytest.raises(MosaicFusionError, match=r"^data.pool: .*absent"):
        training_set(folder, pool=[folder / "absent"])

    def rename(data: Json) -> None:
        for category in data["categories"]:
            category.update(name=f"other {category['name']}", synset="", synonyms=[])

    edit(folder / "pool/images/pool.json", rename)
    with pytest.raises(MosaicFusionError, match=r"^data.pool: .*left out: those of other categories \(other disc, "):
        training_set(folder)
    write_set(folder / "pool", "train", first_id=201, count=9)
    (folder / "pool/train.json").rename(folder / "pool/images/pool.json")
    edit(folder / "train.json", lambda data: [image.update(synthetic=True) for image in data["images"]])
    with pytest.raises(MosaicFusionError, match=r"^data.pool: .*train.json has no real objects"):
        training_set(folder)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"paste_objects": [3, 2]}, r"paste_objects: \[3, 2\] must be the fewest and the most instances"),
        ({"paste_objects": [0, 2]}, "a number from 1 on"),
        ({"paste_probability": 1.5}, "a number up to 1"),
        ({"pool": 3}, "pool: 3 is not a list"),
    ],
)
def test_wrong_settings_are_named(setting: Json, message: str) -> None:
    with pytest.raises(MosaicFusionError, match=message):
        DataConfig(**setting)


def test_a_pool_is_one_path_or_several(tmp_path: Path) -> None:
    assert DataConfig(pool="runs/a").pool == ("runs/a",)  # type: ignore[arg-type]
    assert DataConfig(pool=[tmp_path, "runs/a"]).pool == (str(tmp_path), "runs/a")  # type: ignore[arg-type]
