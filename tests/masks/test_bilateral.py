from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from mosaicfusion.config import MaskConfig
from mosaicfusion.masks.bilateral import BilateralSolver, refine_mask

HW = (144, 208)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def disc(hw: tuple[int, int] = HW, radius: int = 45) -> np.ndarray:
    y, x = np.mgrid[: hw[0], : hw[1]]
    return (y - hw[0] / 2) ** 2 + (x - hw[1] / 2) ** 2 < radius**2


def image_of(truth: np.ndarray, noise: float = 6) -> np.ndarray:
    """An orange shape on blue with grain, uint8 RGB."""
    colours = np.where(truth[..., None], (220, 120, 40), (60, 110, 170))
    return np.clip(colours + np.random.default_rng(0).normal(0, noise, colours.shape), 0, 255).astype(np.uint8)


def blocky(truth: np.ndarray, cell: int = 16) -> np.ndarray:
    """The mask at 1 / cell of its resolution, such as an attention map gives it."""
    height, width = truth.shape
    small = cv2.resize(truth.astype(np.float32), (width // cell, height // cell), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST) > 0.5


def test_a_blocky_disc_becomes_round() -> None:
    truth = disc()
    coarse = blocky(truth)
    refined = refine_mask(coarse, image_of(truth))
    assert refined.shape == HW and refined.dtype == np.bool_
    assert iou(coarse, truth) < 0.93 < 0.98 < iou(refined, truth)


@pytest.mark.parametrize("shift", [(0, 12), (-10, 6)])
def test_a_shifted_mask_snaps_to_the_edge(shift: tuple[int, int]) -> None:
    truth = disc()
    moved = np.roll(truth, shift, axis=(0, 1))
    assert iou(moved, truth) < 0.85
    assert iou(refine_mask(moved, image_of(truth)), truth) > 0.98


def test_a_grey_shape_is_refined_by_luma_alone() -> None:
    truth = disc()
    grey = np.repeat(np.where(truth, 190, 90)[..., None], 3, axis=2).astype(np.uint8)
    assert iou(refine_mask(blocky(truth), grey), truth) > 0.98


def test_a_correct_mask_stays() -> None:
    truth = disc()
    assert iou(refine_mask(truth, image_of(truth)), truth) > 0.99


@pytest.mark.parametrize("hw", [(16, 16), (1, 40), (40, 1), (1, 1), (33, 70)])
@pytest.mark.parametrize("kind", ["constant", "noise", "disc"])
def test_empty_stays_empty_and_full_stays_full(hw: tuple[int, int], kind: str) -> None:
    image = {
        "constant": np.full((*hw, 3), 128, np.uint8),
        "noise": np.random.default_rng(1).integers(0, 256, (*hw, 3), dtype=np.uint8),
        "disc": image_of(disc(hw, 6)),
    }[kind]
    assert not refine_mask(np.zeros(hw, bool), image).any()
    assert refine_mask(np.ones(hw, bool), image).all()


def test_a_constant_image_keeps_the_position_of_the_mask() -> None:
    mask = np.zeros(HW, bool)
    mask[:, :104] = True
    refined = refine_mask(mask, np.full((*HW, 3), 90, np.uint8))
    assert refined[:, :48].all() and not refined[:, 160:].any()


def test_the_soft_mask_stays_within_the_range_of_the_target() -> None:
    truth = disc()
    soft = BilateralSolver(image_of(truth, noise=25)).solve(blocky(truth))
    assert soft.dtype == np.float32 and soft.shape == HW
    assert soft.min() > -0.01 and soft.max() < 1.01


def test_a_constant_target_is_its_own_solution() -> None:
    soft = BilateralSolver(image_of(disc())).solve(np.full(HW, 0.3))
    np.testing.assert_allclose(soft, 0.3, rtol=1e-5)


def test_the_solution_solves_the_papers_equation() -> None:
    """Dense check on a small image: (smoothness (D_m - D_n B D_n) + diag(S 1)) y = S t."""
    hw, sigma = (12, 20), 4
    rng = np.random.default_rng(3)
    level = rng.integers(0, 3, hw) * 40
    image = np.repeat(level[..., None], 3, axis=2).astype(np.uint8)  # grey: chroma is one cell
    target = rng.random(hw)
    y, x = np.mgrid[: hw[0], : hw[1]]
    cells = np.stack([y // sigma, x // sigma, level // 40], axis=-1).reshape(-1, 3)
    vertices, vertex = np.unique(cells, axis=0, return_inverse=True)
    splat = (vertex.reshape(1, -1) == np.arange(len(vertices))[:, None]).astype(float)
    blur = (np.abs(vertices[:, None] - vertices[None]).sum(-1) == 1) + 10.0 * np.eye(len(vertices))
    pixels, scale = splat.sum(1), np.ones(len(vertices))
    for _ in range(10):
        scale = np.sqrt(scale * pixels / (blur @ scale))
    balanced = scale[:, None] * blur * scale
    system = 16 * (np.diag(balanced.sum(1)) - balanced) + np.diag(pixels)
    expected = splat.T @ np.linalg.solve(system, splat @ target.ravel())
    solver = BilateralSolver(image, MaskConfig(sigma_spatial_px=sigma, sigma_luma=40, smoothness=16, cg_iterations=200))
    np.testing.assert_allclose(solver.solve(target).ravel(), expected, atol=1e-4)


def test_threads_change_no_bit() -> None:
    truth = disc()
    image, coarse = image_of(truth, noise=20), blocky(truth)
    alone = BilateralSolver(image).solve(coarse)
    with ThreadPoolExecutor(4) as pool:
        for soft in pool.map(lambda _: BilateralSolver(image).solve(coarse), range(8)):
            assert (soft == alone).all()


def test_the_input_is_not_modified() -> None:
    truth = disc()
    image, coarse = image_of(truth), blocky(truth)
    image_before, coarse_before = image.copy(), coarse.copy()
    refine_mask(coarse, image)
    assert (image == image_before).all() and (coarse == coarse_before).all()


@pytest.mark.parametrize("image", [np.zeros((8, 11, 3), np.uint8), np.zeros((8, 12), np.uint8), np.zeros((8, 12, 3))])
def test_an_image_of_another_shape_or_dtype_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image is"):
        refine_mask(np.ones((8, 12), bool), image)
