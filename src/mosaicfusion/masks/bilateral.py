"""Step 4 of the mask: edge-aware refinement with the bilateral solver.

Barron and Poole, "The Fast Bilateral Solver", ECCV 2016, on the simplified bilateral grid: pixels that are close in position
and colour share a vertex; the solver smooths over vertices, so edges of the image stay edges of the mask.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mosaicfusion.config import MaskConfig
from mosaicfusion.masks._checks import require_image, require_mask

_CENTRE = 2 * 5  # of the blur: a (1, 2, 1) filter along each of y, x, luma and two of chroma
_BISTOCHASTIC_ITERATIONS = 10
_CG_TOLERANCE = 1e-5
PAPER = MaskConfig()


def refine_mask(
    mask: np.ndarray[Any, Any],
    image: np.ndarray[Any, Any],
    config: MaskConfig = PAPER,
) -> NDArray[np.bool_]:
    """Align a mask with the edges of its region's image.

    mask: bool (H, W). image: uint8 RGB (H, W, 3). Each of ``config.rounds`` solves for a soft mask and thresholds it at
    ``config.cut`` times its maximum; the next round starts from the result.
    Returns bool (H, W); an empty mask stays empty and a full one full. Raises ValueError for other shapes or dtypes.
    """
    require_mask(mask)
    require_image(image, mask.shape)
    solver = BilateralSolver(image, config)
    for _ in range(config.rounds):
        soft = solver.solve(mask)
        mask = soft > config.cut * soft.max()
    return mask


class BilateralSolver:
    """The bilateral solver of one image, for any number of targets.

    image: uint8 RGB (H, W, 3). The sigmas of ``config`` are the sides of a grid cell: in pixels, and in levels of luma and
    chroma (BT.601, 0 to 255); its smoothness is lambda of equation 1, how much neighbours outweigh the target.
    """

    def __init__(self, image: np.ndarray[Any, Any], config: MaskConfig = PAPER) -> None:
        require_image(image, image.shape[:2])
        self.shape_hw = image.shape[:2]
        self.cg_iterations = config.cg_iterations
        keys, strides = _grid_keys(image, config.sigma_spatial_px, config.sigma_luma, config.sigma_chroma)
        vertices, self._vertex = np.unique(keys, return_inverse=True)  # (V,), (H*W,)
        self._pixels = np.bincount(self._vertex).astype(np.float64)  # m of the paper: pixels of a vertex, S 1
        diagonal, off_diagonal = _bistochastic_laplacian(_neighbours(vertices, strides), self._pixels)
        # A of equation 8, in two parts. The confidence is 1 everywhere: a uniform one only divides the smoothness.
        self._diagonal = config.smoothness * diagonal + self._pixels
        self._off_diagonal = config.smoothness * off_diagonal

    def solve(self, target: np.ndarray[Any, Any]) -> NDArray[np.float32]:
        """target: bool or float (H, W) -> float32 (H, W), within the target's range up to the solver's tolerance."""
        if target.shape != self.shape_hw:
            raise ValueError(f"target has shape {target.shape}; give (H, W) = {self.shape_hw}, the image's")
        splat = np.asarray(np.bincount(self._vertex, weights=target.ravel()), np.float64)  # b = S t
        solution = self._conjugate_gradients(splat, splat / self._pixels)
        return solution.astype(np.float32)[self._vertex].reshape(self.shape_hw)  # slice, S^T y

    def _conjugate_gradients(self, right: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve A y = right with Jacobi preconditioning.

        Inner products are numpy sums, not BLAS: their result does not depend on the number of threads.
        """
        solution = start.copy()
        residual = right - self._multiply(solution)
        step = preconditioned = residual / self._diagonal
        energy = np.sum(residual * preconditioned)
        tolerance = _CG_TOLERANCE**2 * np.sum(right * right / self._diagonal)
        for _ in range(self.cg_iterations):
            if energy <= tolerance:
                break
            image = self._multiply(step)
            length = energy / np.sum(step * image)
            solution += length * step
            residual -= length * image
            preconditioned = residual / self._diagonal
            previous, energy = energy, np.sum(residual * preconditioned)
            step = preconditioned + (energy / previous) * step
        return solution

    def _multiply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self._diagonal * values + self._off_diagonal @ values)


def _grid_keys(
    image: NDArray[np.uint8], sigma_spatial_px: float, sigma_luma: float, sigma_chroma: float
) -> tuple[NDArray[np.int64], list[int]]:
    """The grid cell of every pixel as one integer, (H*W,), and the step in that integer along each dimension."""
    height, width = image.shape[:2]
    luma, red, blue = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))
    cells = [
        _cells(np.arange(height), sigma_spatial_px)[:, None],
        _cells(np.arange(width), sigma_spatial_px)[None, :],
        *(
            _cells(np.arange(256), sigma)[channel]
            for channel, sigma in ((luma, sigma_luma), (red, sigma_chroma), (blue, sigma_chroma))
        ),
    ]
    keys = np.zeros((height, width), np.int64)
    stride, strides = 1, []
    for cell in cells:
        keys += stride * cell
        strides.append(stride)
        stride *= int(cell.max()) + 2  # one empty cell between rows: a neighbour never wraps around
    return keys.ravel(), strides


def _cells(values: NDArray[np.int64], sigma: float) -> NDArray[np.int64]:
    return (values / sigma).astype(np.int64)


def _neighbours(vertices: NDArray[np.int64], strides: list[int]) -> sparse.csr_array:
    """Adjacency of the occupied vertices, (V, V) of 0 and 1; the paper's blur B is it plus 2 * 5 on the diagonal."""
    rows, columns = [], []
    for stride in strides:
        ahead = vertices + stride
        position = np.minimum(np.searchsorted(vertices, ahead), vertices.size - 1)
        occupied = np.flatnonzero(vertices[position] == ahead)
        rows += [occupied, position[occupied]]
        columns += [position[occupied], occupied]
    row, column = np.concatenate(rows), np.concatenate(columns)
    return sparse.coo_array((np.ones(row.size), (row, column)), shape=(vertices.size,) * 2).tocsr()


def _bistochastic_laplacian(
    neighbours: sparse.csr_array, pixels: NDArray[np.float64]
) -> tuple[NDArray[np.float64], sparse.csr_array]:
    """D_m - D_n B D_n by algorithm 1 of the paper: its diagonal (V,), and its off-diagonal part (V, V).

    Rows sum to 0, so a constant solution has no smoothness cost.
    """
    scale = np.ones_like(pixels)
    for _ in range(_BISTOCHASTIC_ITERATIONS):
        scale = np.sqrt(scale * pixels / (_CENTRE * scale + neighbours @ scale))
    # The degree is the row sum reached, not the target, the pixel count: rows sum to 0 after any number of iterations.
    diagonal = scale * (neighbours @ scale)
    rows = np.repeat(np.arange(scale.size), np.diff(neighbours.indptr))
    off_diagonal = neighbours.copy()
    off_diagonal.data = -scale[rows] * scale[off_diagonal.indices]
    return diagonal, off_diagonal
