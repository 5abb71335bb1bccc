"""Real objects that generated ones begin from: kept in the run folder, so that any worker has them without the real set."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.categories import Category, Selection
from mosaicfusion.config import ReferenceConfig, RunConfig
from mosaicfusion.dataset.coco import CategoryRef
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_new
from mosaicfusion.files.remote import as_path
from mosaicfusion.identity import fingerprint
from mosaicfusion.layouts.geometry import Region
from mosaicfusion.mosaic.plan import CanvasSpec
from mosaicfusion.pasting.cutouts import Cutout, CutoutPool

if TYPE_CHECKING:
    from mosaicfusion.diffusion.starts import Start

REFERENCES = "references.zip"
_STREAM = 4  # of random numbers; those of the plan are others
_LARGEST_PX = 512  # longer side of an object that is kept
_FILL = 0.8  # of the side of its region that an object takes
_GREY = 127  # behind an object; none of it comes on the canvas
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same objects give the same file


@dataclass(frozen=True)
class References:
    """PNG images of real objects by category id, transparent around them."""

    images: dict[int, list[bytes]]

    @classmethod
    def collect(cls, config: ReferenceConfig, categories: Sequence[Category]) -> References:
        """Cut out the largest objects of the categories, those that the border of their image cuts off last.

        Raises :class:`MosaicFusionError` if there is none.
        """
        assert config.file is not None
        refs = [CategoryRef(category.id, category.name, list(category.synonyms)) for category in categories]
        pool = CutoutPool.collect([as_path(config.file)], refs, list(config.images) or None)
        images: dict[int, list[bytes]] = {}
        for id_, instances in sorted(pool.instances.items()):
            largest = sorted(instances, key=lambda one: (one.at_border, -one.area))[: config.each]
            cut = (one.cut() for one in largest)
            if own := [_to_png(one) for one in cut if max(one.mask.shape) >= config.smallest_px]:
                images[id_] = own
        if not images:
            raise MosaicFusionError(
                f"{config.file}: no object of these categories has a mask and a side of {config.smallest_px} px or more; "
                "lower references.smallest_px"
            )
        return cls(images)

    @classmethod
    def read(cls, folder: Path) -> References:
        """Read those of a run folder."""
        path = folder / REFERENCES
        images: dict[int, list[bytes]] = {}
        try:
            with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as file:
                for name in sorted(file.namelist()):
                    images.setdefault(int(name.split("/")[0]), []).append(file.read(name))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise MosaicFusionError(
                f"cannot read {path} ({error}), the real objects that this run begins from"
            ) from None
        return cls(images)

    def to_bytes(self) -> bytes:
        """The content of the file."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            for id_, images in self.images.items():
                for number, data in enumerate(images):
                    file.writestr(zipfile.ZipInfo(f"{id_}/{number:04d}.png", _EPOCH), data)
        return buffer.getvalue()

    @property
    def digest(self) -> str:
        """16 hex digits."""
        return fingerprint([[id_, [data.hex() for data in images]] for id_, images in self.images.items()])

    def write(self, folder: Path) -> None:
        """Write them into a run folder, unless they are there."""
        write_new(folder / REFERENCES, self.to_bytes())

    def starts(self, spec: CanvasSpec, seed: int) -> list[Start | None]:
        """The real object of each region of a canvas, placed in it; None where its category has none."""
        found: list[Start | None] = []
        for k, (category, region) in enumerate(zip(spec.categories, spec.canvas.regions, strict=True)):
            rng = np.random.default_rng([seed, _STREAM, spec.index, k])
            own = self.images.get(category.id)
            found.append(None if own is None else _place(own[int(rng.integers(len(own)))], region, rng))
        return found


def with_references(config: RunConfig, selection: Selection) -> tuple[RunConfig, References | None]:
    """Read the file of the references; ``config`` then has their digest instead.

    Raises :class:`MosaicFusionError` for a file that cannot be used, and a layout without a background.
    """
    settings = config.references
    if settings is None or settings.file is None:
        return config, None
    if not config.layout.background:
        raise MosaicFusionError("real objects need the background of a scene to stand on; add --layout scene")
    references = References.collect(settings, list(dict.fromkeys([*selection.main, *selection.partners])))
    read = settings.model_copy(update={"file": None, "images": (), "digest": references.digest})
    return config.model_copy(update={"references": read}), references


def _to_png(cutout: Cutout) -> bytes:
    alpha = np.where(cutout.mask, 255, 0).astype(np.uint8)
    image = Image.fromarray(np.dstack([cutout.pixels, alpha]))
    image.thumbnail((_LARGEST_PX, _LARGEST_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def _place(data: bytes, region: Region, rng: np.random.Generator) -> Start:
    """An object in the middle of a region, at random mirrored."""
    from mosaicfusion.diffusion.starts import Start

    image = Image.open(io.BytesIO(data))
    height, width = region.hw
    scale = _FILL * min(height, width) / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    resized = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
    if rng.random() < 0.5:
        resized = resized[:, ::-1]
    canvas: NDArray[np.uint8] = np.full((height, width, 4), (_GREY, _GREY, _GREY, 0), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = resized
    mask = canvas[..., 3] >= 128
    return Start(np.where(mask[..., None], canvas[..., :3], _GREY).astype(np.uint8), mask)
