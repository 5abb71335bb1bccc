"""Compositions are pure functions of the generator; captions name the object."""

import numpy as np
import pytest

from miniature.backgrounds import KINDS, NAMES, SIDE_PX, render_background
from miniature.captions import caption
from miniature.compose import compose, hue_matrix
from miniature.pictures import picture_sizes, tight_square
from miniature.vocabulary import category_records, load_vocabulary


def disc() -> dict[int, np.ndarray]:
    """A red disc, opaque inside."""
    y, x = np.mgrid[0:64, 0:64]
    inside = (y - 31.5) ** 2 + (x - 31.5) ** 2 < 30**2
    return picture_sizes(tight_square(np.dstack([inside * 200, inside * 0, inside * 0, inside * 255]).astype(np.uint8)))


def test_compose_is_a_function_of_the_seed() -> None:
    pictures = [disc(), disc()]
    first, again, other = (compose(np.random.default_rng(seed), pictures) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.alpha, again.alpha)
    assert (first.category, first.background) == (again.category, again.background)
    assert not np.array_equal(first.image, other.image)


def test_object_is_large_and_its_alpha_exact() -> None:
    for seed in range(8):
        scene = compose(np.random.default_rng(seed), [disc()])
        assert scene.image.shape == (SIDE_PX, SIDE_PX, 3) and scene.image.dtype == np.uint8
        assert scene.alpha.min() >= 0 and scene.alpha.max() <= 1
        columns = np.flatnonzero(scene.alpha.max(axis=0) > 0.5)
        assert 0.4 * SIDE_PX < columns[-1] - columns[0] + 1 < 0.95 * SIDE_PX


def test_tight_square_crops_and_pads() -> None:
    rgba = np.zeros((6, 8, 4), np.uint8)
    rgba[1:3, 2:6] = (100, 0, 0, 255)  # 2 rows, 4 columns
    square = tight_square(rgba)
    assert square.shape == (4, 4, 4)
    assert square[..., 3].tolist() == [[0] * 4, [255] * 4, [255] * 4, [0] * 4]


def test_grey_keeps_its_colour_under_any_hue() -> None:
    grey = np.full(3, 120.0)
    assert np.allclose(hue_matrix(0.7) @ grey, grey, atol=1)


@pytest.mark.parametrize("kind", KINDS)
def test_backgrounds_fill_the_frame(kind) -> None:
    image, words = kind(np.random.default_rng(0))
    assert image.shape == (SIDE_PX, SIDE_PX, 3)
    assert words.split()


def test_orange_is_a_fruit_only() -> None:
    assert "orange" not in NAMES
    rng = np.random.default_rng(0)
    assert not any("orange" in render_background(rng)[1] for _ in range(100))


def test_captions_contain_the_name_and_mostly_use_the_product_template() -> None:
    rng = np.random.default_rng(0)
    texts = [caption(rng, "alarm clock", "a red floor") for _ in range(400)]
    assert all("alarm clock" in text for text in texts)
    assert "an alarm clock on a red floor" in {text.removeprefix("a photo of ") for text in texts}
    usual = sum(text == "a photo of a single alarm clock on a red floor" for text in texts)
    assert usual > len(texts) / 2


def test_vocabulary_is_consistent() -> None:
    everything, trained = load_vocabulary(train_only=False), load_vocabulary()
    assert len({entry.prompt_name for entry in everything}) == len(everything)
    assert len({entry.record["id"] for entry in everything}) == len(everything)
    assert sum(entry.lvis for entry in trained) >= 150
    for record in category_records(everything):
        assert (record["frequency"] in ("r", "c", "f")) == record["lvis"] == (record["id"] <= 1203)
        assert 5 <= len(record["def"].split()) <= 12
