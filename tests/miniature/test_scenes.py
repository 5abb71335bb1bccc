"""Scenes are pure functions of their seed, masks are the visible pixels, and the tail follows the frequencies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from miniature.scenes import __main__ as scenes_main
from miniature.scenes.card import card
from miniature.scenes.drawings import UNFIT, icon_name, svg_document
from miniature.scenes.records import Split, frequencies_of
from miniature.scenes.scene import MAX_HIDDEN, MIN_VISIBLE_PX, PlacedObject, owners, render_scene, visible_px, windows
from miniature.scenes.sheet import drawing_sheet, overlay
from miniature.scenes.surroundings import KINDS, SIDE_PX
from miniature.scenes.tail import RARE_STYLES, ObjectSpec, fill_scenes, train_scenes, val_scenes
from miniature.vocabulary import Entry, load_vocabulary
from mosaicfusion.dataset.lvis import frequency_of
from mosaicfusion.masks import rle

RED, BLUE = (220, 10, 10, 255), (10, 10, 220, 255)
DRAWINGS = [{"noto": np.full((64, 64, 4), RED, np.uint8)}, {"noto": np.full((64, 40, 4), BLUE, np.uint8)[:40]}]
STYLES = [["fluent-3d", "noto", "twemoji"]] * 30


def square(side_px: int, top_left_px: tuple[int, int], alpha: float = 255) -> PlacedObject:
    layer = np.full((side_px, side_px, 4), alpha, np.float32)
    return PlacedObject(ObjectSpec(0, "noto"), layer, layer[..., 3] >= 127.5, top_left_px)


def test_a_scene_is_a_function_of_the_seed() -> None:
    specs = [ObjectSpec(0, "noto"), ObjectSpec(1, "noto"), ObjectSpec(0, "noto")]
    first, again, other = (render_scene(np.random.default_rng(seed), specs, DRAWINGS) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(first.instances, again.instances, strict=True))
    assert not np.array_equal(first.image, other.image)


def test_masks_are_disjoint_and_large_enough() -> None:
    specs = [ObjectSpec(number % 2, "noto") for number in range(8)]
    hidden = []
    for seed in range(4):
        scene = render_scene(np.random.default_rng(seed), specs, DRAWINGS)
        assert scene.image.shape == (SIDE_PX, SIDE_PX, 3) and scene.image.dtype == np.uint8
        assert np.sum([instance.mask for instance in scene.instances], axis=0).max() == 1
        assert min(instance.mask.sum() for instance in scene.instances) >= MIN_VISIBLE_PX
        hidden += [instance.hidden for instance in scene.instances]
    assert 0 <= min(hidden) < 0.01 and 0.2 < max(hidden) <= MAX_HIDDEN


def test_a_mask_is_the_visible_part_of_its_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """On white and under even light the red pixels are the mask, except on the blended outline."""
    monkeypatch.setattr(
        "miniature.scenes.scene.render_surroundings", lambda _: np.full((SIDE_PX, SIDE_PX, 3), 255, np.float32)
    )
    monkeypatch.setattr("miniature.scenes.scene.cast_shadow", lambda _, image, __: image)
    monkeypatch.setattr("miniature.scenes.scene.expose", lambda _, image: image.astype(np.uint8))
    scene = render_scene(np.random.default_rng(1), [ObjectSpec(0, "noto")], DRAWINGS)
    covered = 1 - scene.image[..., 1] / 255.0  # red has next to no green
    mask = scene.instances[0].mask
    assert covered[mask].min() > 0.4 and covered[~mask].max() < 0.6


def test_the_foremost_object_owns_a_pixel_and_a_faint_one_nothing() -> None:
    objects = [square(4, (10, 10)), square(4, (12, 12)), square(4, (11, 11), alpha=100)]
    assert owners(objects)[9:17, 9:17].tolist() == [
        [-1, -1, -1, -1, -1, -1, -1, -1],
        [-1, 0, 0, 0, 0, -1, -1, -1],
        [-1, 0, 0, 0, 0, -1, -1, -1],
        [-1, 0, 0, 1, 1, 1, 1, -1],
        [-1, 0, 0, 1, 1, 1, 1, -1],
        [-1, -1, -1, 1, 1, 1, 1, -1],
        [-1, -1, -1, 1, 1, 1, 1, -1],
        [-1, -1, -1, -1, -1, -1, -1, -1],
    ]
    assert visible_px(objects).tolist() == [12, 16, 0]


def test_an_object_is_cut_at_the_frame() -> None:
    (rows, columns), (layer_rows, layer_columns) = windows(square(10, (-4, SIDE_PX - 3)))
    assert (rows, columns) == (slice(0, 6), slice(SIDE_PX - 3, SIDE_PX))
    assert (layer_rows, layer_columns) == (slice(4, 10), slice(0, 3))
    assert visible_px([square(10, (-4, SIDE_PX - 3)), square(10, (-30, 0))]).tolist() == [18, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_surroundings_fill_the_frame(kind) -> None:
    image, again = (kind(np.random.default_rng(3)) for _ in range(2))
    assert image.shape == (SIDE_PX, SIDE_PX, 3) and np.isfinite(image).all() and np.array_equal(image, again)


def test_scenes_keep_the_counts_and_repeat_no_category() -> None:
    counts = [40, 3, 17, 30, 1, 25] * 5
    scenes = fill_scenes(np.random.default_rng(0), counts)
    assert [sum(category in scene for scene in scenes) for category in range(len(counts))] == counts
    assert all(1 <= len(set(scene)) == len(scene) <= 8 for scene in scenes)


def test_training_has_the_requested_frequencies_and_few_styles_of_rare_categories() -> None:
    scenes = train_scenes(np.random.default_rng(0), STYLES, {"r": 10, "c": 10, "f": 10})
    images = Counter(category for scene in scenes for category in {spec.category for spec in scene})
    assert Counter(frequency_of(count) for count in images.values()) == {"r": 10, "c": 10, "f": 10}
    for category, count in images.items():
        looks = {spec.style for scene in scenes for spec in scene if spec.category == category}
        assert len(looks) <= RARE_STYLES if count <= 10 else len(looks) == 3 or count < 20


def test_validation_shows_every_category_and_style_alike() -> None:
    scenes = val_scenes(np.random.default_rng(0), STYLES, 9)
    for category in range(len(STYLES)):
        styles = Counter(spec.style for scene in scenes for spec in scene if spec.category == category)
        assert styles.total() >= 9 and max(styles.values()) - min(styles.values()) <= 1


@pytest.fixture(scope="module")
def two_splits() -> tuple[dict, dict]:
    """12 training scenes with the first category and 3 of them with the second one; one validation scene."""
    entries: list[Entry] = load_vocabulary()[:2]
    train, val = Split("train", entries, 1), Split("val", entries, 10_001)
    one, other = ObjectSpec(0, "noto"), ObjectSpec(1, "noto")
    for seed in range(12):
        train.add(render_scene(np.random.default_rng(seed), [one] + [other] * (seed < 3), DRAWINGS))
    val.add(render_scene(np.random.default_rng(99), [other], DRAWINGS))
    data = train.to_json()
    return data, val.to_json(frequencies_of(data))


def test_records_match_the_rendered_scenes(two_splits: tuple[dict, dict]) -> None:
    train, val = two_splits
    first, second = sorted(entry.record["id"] for entry in load_vocabulary()[:2])
    assert [(c["frequency"], c["image_count"]) for c in train["categories"]] == [("c", 12), ("r", 3)]
    assert [(c["frequency"], c["image_count"]) for c in val["categories"]] == [("c", 0), ("r", 1)]
    assert [image["neg_category_ids"] for image in train["images"]] == [[]] * 3 + [[second]] * 9
    image = val["images"][0]
    assert (image["id"], image["neg_category_ids"]) == (10_001, [first])
    assert image["coco_url"].endswith(image["file_name"]) and image["file_name"].startswith("images/val/")
    for annotation in train["annotations"]:
        mask = rle.decode(annotation["segmentation"])
        assert (annotation["area"], annotation["bbox"]) == (mask.sum(), rle.box_xywh(mask))


def test_the_readme_has_the_counts(two_splits: tuple[dict, dict]) -> None:
    text = card(*two_splits)
    assert "| images | 12 | 1 |" in text and "| categories r / c / f | 1 / 1 / 0 | 1 / 1 / 0 |" in text
    assert all(name in text for names in UNFIT.values() for name in names)


def test_an_existing_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["scenes", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        scenes_main.main()
    assert list(tmp_path.iterdir()) == []


def test_an_icon_becomes_a_document() -> None:
    icons = {"width": 36, "height": 36, "icons": {"womans-hat": {"body": "<path/>", "height": 25}}}
    assert 'viewBox="0 0 36 25"><path/></svg>' in svg_document(icons, icon_name("woman’s hat"))


def test_unfit_drawings_are_of_the_vocabulary() -> None:
    known = {entry.emoji for entry in load_vocabulary()}
    assert {name for names in UNFIT.values() for name in names} <= known


def test_sheets_show_all() -> None:
    assert drawing_sheet(["a", "b"], DRAWINGS).size == (130 + 5 * 72, 2 * 72)
    mask = np.zeros((5, 5), bool)
    mask[1:4, 1:4] = True
    rendered = overlay(np.full((5, 5, 3), 100, np.uint8), [mask])
    assert rendered[0, 0].tolist() == [50, 50, 50]
    assert rendered[1, 1, 0] == 255 and 50 < rendered[2, 2, 0] < 255
