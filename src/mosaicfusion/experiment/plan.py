"""The plan of `mosaicfusion experiment minilvis` as plain data: synthetic sets, variants of the training data, runs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from mosaicfusion.config import Policy
from mosaicfusion.errors import MosaicFusionError, is_printable
from mosaicfusion.layouts.geometry import Binding

RECIPES = {"mask_rcnn": "mini_lite0", "centernet2": "mini_centernet2", "fvlm": "mini_fvlm"}
"""The recipe of each detector. F-VLM is open-vocabulary: rare categories are novel, their real annotations are removed."""

OPEN_VOCABULARY = ("fvlm",)


@dataclass(frozen=True)
class CanvasSource:
    """Settings of canvases that are generated into one run folder.

    ``lead``: frequencies of the main categories, each shown on a canvas in turn. The other regions show any category: in the
    paper this beats rare categories only (15.2 against 14.2 AP_r). ``refine``: refine the masks.
    ``objects``: fewest and most objects of scenes with the sizes of the real set's objects, and no grid; ``binding``: of scenes.
    ``strength``: of their beginning from noised real objects, 1 is pure noise.
    """

    name: str
    grids: tuple[str, ...] = ("2x2",)
    lead: str = "r"
    refine: bool = True
    objects: tuple[int, int] | None = None
    binding: Binding = "cutouts"
    strength: float = 1.0

    @property
    def regions(self) -> int:
        """Number of regions of a canvas of a grid."""
        rows, columns = self.grids[0].split("x")
        return int(rows) * int(columns)


@dataclass(frozen=True)
class Part:
    """A source and its share of a synthetic set's instances."""

    source: CanvasSource
    share: Fraction = Fraction(1)


@dataclass(frozen=True)
class SyntheticSet:
    """The first canvases of one or more sources.

    ``canvases_per_category``: number per main category; None: until the instances are as many as those of the set ``like``.
    """

    parts: tuple[Part, ...]
    canvases_per_category: int | None = None
    like: SyntheticSet | None = None
    policy: Policy = "drop"


FOUR = CanvasSource("four")
SYNTHETIC = SyntheticSet((Part(FOUR),), canvases_per_category=10)
# One of the four regions of a 2 x 2 canvas shows the main category. With fewer regions, some canvases are led by any category,
# so that the number of instances and their categories stay the same.
_TWO_GRIDS = ("1x2", "2x1")
TWO_REGIONS = SyntheticSet(
    (
        Part(CanvasSource("two-rare", _TWO_GRIDS), Fraction(1, 2)),
        Part(CanvasSource("two-any", _TWO_GRIDS, "rcf"), Fraction(1, 2)),
    ),
    like=SYNTHETIC,
)
ONE_REGION = SyntheticSet(
    (
        Part(CanvasSource("one-rare", ("1x1",)), Fraction(1, 4)),
        Part(CanvasSource("one-any", ("1x1",), "rcf"), Fraction(3, 4)),
    ),
    like=SYNTHETIC,
)

# Objects as small and as many as those of the real set, on few canvases.
SIXTEEN_REGIONS = SyntheticSet((Part(CanvasSource("sixteen", ("4x4",))),), 1, policy="not_exhaustive")
SCENES = SyntheticSet((Part(CanvasSource("scenes", objects=(6, 12))),), 2, policy="not_exhaustive")


TILED_SCENES = SyntheticSet(
    (Part(CanvasSource("tiled-scenes", objects=(6, 12), binding="tiles")),), 2, policy="not_exhaustive"
)
DENSE_SCENES = SyntheticSet((Part(CanvasSource("dense-scenes", objects=(12, 18))),), 1, policy="not_exhaustive")
OWN_SCENES = SyntheticSet(
    (Part(CanvasSource("own-scenes", objects=(6, 12), strength=0.4)),), 2, policy="not_exhaustive"
)


@dataclass(frozen=True)
class Variant:
    """A variant of the training set.

    ``pasted``: a set whose instances are pasted on real images; ``real``: use the real images; ``share``: part of the samples
    that is synthetic, by default as repeat factors have it; ``steps``: multiple of the recipe's iterations.
    """

    name: str
    title: str
    synthetic: SyntheticSet | None = None
    pasted: SyntheticSet | None = None
    real: bool = True
    copy_paste: bool = False
    share: float | None = None
    steps: float = 1.0


BASELINE = Variant("baseline", "real alone")
PLUS_SYNTHETIC = Variant("synthetic", "real + synthetic", SYNTHETIC)
PLUS_SCENES = Variant("scenes", "real + scenes", SCENES)
COMPARED = (BASELINE, PLUS_SYNTHETIC, PLUS_SCENES)
"""Variants that every detector is trained on, with all seeds."""
# A third of the samples are synthetic: with 1.5 times the steps each real image is seen as often as without them.
LONGER = Variant("longer", "real alone, 1.5 times the steps", steps=1.5)
SYNTHETIC_LONGER = Variant("synthetic-longer", "real + synthetic, 1.5 times the steps", SYNTHETIC, steps=1.5)
THREE_TIMES = tuple(
    Variant(f"{one.name}-three-times", f"{one.title}, 3 times the steps", one.synthetic, steps=3.0) for one in COMPARED
)
GROUPS = (COMPARED, (LONGER, SYNTHETIC_LONGER), THREE_TIMES)
"""Variants that are compared, all else equal: the first has real images alone."""
ABLATIONS = (
    Variant("synthetic-alone", "synthetic alone", SYNTHETIC, real=False),
    Variant("copy-paste", "real, Copy-Paste", copy_paste=True),
    Variant("copy-paste-synthetic", "real + synthetic, Copy-Paste", SYNTHETIC, copy_paste=True),
    Variant("canvases-2", "2 canvases a category", SyntheticSet((Part(FOUR),), 2)),
    Variant("canvases-5", "5 canvases a category", SyntheticSet((Part(FOUR),), 5)),
    Variant("one-region", "N = 1 region a canvas", ONE_REGION),
    # Four times as many images for the same instances: to see each real image as often takes 1.8 times the steps.
    Variant("one-region-longer", "N = 1 region a canvas, 1.8 times the steps", ONE_REGION, steps=1.8),
    Variant("two-regions", "N = 2 regions a canvas", TWO_REGIONS),
    Variant("sixteen-regions", "N = 16 regions a canvas, 1 canvas a category", SIXTEEN_REGIONS),
    Variant("pasted", "instances pasted on real images", pasted=SIXTEEN_REGIONS),
    Variant("scenes-pasted", "scenes, and instances pasted on real images", SCENES, pasted=SIXTEEN_REGIONS),
    Variant("tiled-scenes", "scenes by tiles", TILED_SCENES),
    Variant("dense-scenes", "scenes of twice as many objects, 1 a category", DENSE_SCENES),
    Variant("own-scenes", "scenes that begin from real objects", OWN_SCENES),
    *(
        Variant(
            f"tiled-scenes-share-{percent}", f"scenes by tiles, {percent} % of the samples", TILED_SCENES, share=percent / 100
        )
        for percent in (5, 10, 30)
    ),
    Variant("not-exhaustive", "rejected regions marked, none dropped", SyntheticSet((Part(FOUR),), 10, policy="not_exhaustive")),
    Variant("unrefined", "masks not refined", SyntheticSet((Part(CanvasSource("four-unrefined", refine=False)),), 10)),
    LONGER,
    SYNTHETIC_LONGER,
    *THREE_TIMES,
)  # fmt: skip
"""Variants for Mask R-CNN.

They are compared with ``synthetic``: 10 canvases per category, N = 4, canvases with a rejected region dropped, masks refined.
"""


@dataclass(frozen=True)
class Run:
    """One training and its evaluation."""

    detector: str
    variant: Variant
    seed: int

    @property
    def name(self) -> str:
        """Name of the run and its folder."""
        return f"{self.detector}-{self.variant.name}-seed{self.seed}"

    @property
    def open_vocabulary(self) -> bool:
        """True if the real annotations of rare categories are removed."""
        return self.detector in OPEN_VOCABULARY


@dataclass(frozen=True)
class ExperimentScale:
    """Factors for the iterations of the recipes and the canvases of the plan, to shorten an experiment (`--scale`)."""

    iterations: float = 1.0
    canvases: float = 1.0

    def times(self, factor: float) -> ExperimentScale:
        """Multiply both by ``factor``; raises :class:`MosaicFusionError` unless it is in (0, 1]."""
        if not 0 < factor <= 1:
            raise MosaicFusionError(f"--scale {factor:g} must be above 0 and at most 1, such as --scale 0.1")
        return ExperimentScale(self.iterations * factor, self.canvases * factor)


FULL, QUICK = ExperimentScale(), ExperimentScale(iterations=0.25, canvases=0.1)


def make_plan(
    detectors: Sequence[str] = tuple(RECIPES),
    seeds: int = 3,
    ablation_seeds: int = 1,
    only: Iterable[str] = (),
    quick: bool = False,
) -> list[Run]:
    """Plan the runs in order: the comparison of each detector, then Mask R-CNN's ablations, both seed by seed.

    ``only``: names of variants or runs; all if empty. ``quick``: only Mask R-CNN's comparison, with one seed. Raises
    :class:`MosaicFusionError` for a name that is not in the plan.
    """
    for detector in detectors:
        if detector not in RECIPES:
            raise MosaicFusionError(f"unknown detector {detector!r:.80}; choose from {', '.join(RECIPES)}")
    if quick:
        detectors, seeds = ["mask_rcnn"], 1
    runs = [
        Run(detector, variant, seed)
        for seed in range(seeds)
        for variant in (COMPARED if not quick else COMPARED[:2])
        for detector in dict.fromkeys(detectors)
    ]
    if "mask_rcnn" in detectors and not quick:
        runs += [Run("mask_rcnn", variant, seed) for seed in range(ablation_seeds) for variant in ABLATIONS]
    requested = set(only)
    names = [name for run in runs for name in (run.variant.name, run.name)]
    for name in requested - set(names):
        near = difflib.get_close_matches(name, names, 3, cutoff=0) if is_printable(name) else []
        raise MosaicFusionError(f"--only {name!r:.80} is no variant or run of this plan; nearest: {', '.join(near)}")
    return [run for run in runs if not requested or requested & {run.variant.name, run.name}]
