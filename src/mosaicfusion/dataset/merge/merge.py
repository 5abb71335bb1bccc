"""Merging synthetic data sets into a real one, for trainers.

The real part is never rewritten: its annotations and images are copied as bytes, so unknown fields and every digit stay. Ids of
added rows come after the highest existing ones. Categories keep the frequency of the real set; ``image_count`` and
``instance_count`` are counted again wherever the real set has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mosaicfusion.arguments import checked, listed
from mosaicfusion.config import MaskFormat, Policy
from mosaicfusion.dataset.coco import DatasetFile, json_of
from mosaicfusion.dataset.image_files import Folders, folders_of, image_folders
from mosaicfusion.dataset.merge.images import ImageMode, find_images, find_real_images, place_images
from mosaicfusion.dataset.merge.merger import Added, Merger
from mosaicfusion.dataset.reader import Dataset, open_dataset, open_json
from mosaicfusion.dataset.sample import shown_folders
from mosaicfusion.dataset.text import write_text
from mosaicfusion.errors import MosaicFusionError, first_few
from mosaicfusion.files.remote import as_path
from mosaicfusion.run.folder import RunFolder

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress


@dataclass
class MergeSummary:
    """Counts of a merged set. ``images`` and ``annotations`` are those of the real part, without the ``removed`` ones.

    ``placed``: real images that were copied or linked. ``unplaced``: the reason why none was, though some were missing; else
    empty. ``notes``: what was read as something else.
    """

    out: Path
    images: int
    annotations: int
    removed: int
    added: list[Added]
    placed: int = 0
    unplaced: str = ""
    notes: list[str] = field(default_factory=list)


@checked
def merge(
    real: Path | str,
    sources: str | Path | Sequence[Path | str],
    out: Path | str,
    *,
    open_vocabulary: bool = False,
    max_per_category: int | None = None,
    image_mode: ImageMode | None = None,
    images: Folders = (),
    renumber: bool = False,
    policy: Policy | None = None,
    masks: MaskFormat | None = None,
    choices: Mapping[str, str] | None = None,
    on_image: OnProgress | None = None,
) -> MergeSummary:
    """Write ``out``: the data set ``real`` followed by one or several ``sources``, run folders or jsons beside their images.

    Args:
        open_vocabulary: remove the annotations of rare categories from the real part; its images and categories stay.
        max_per_category: maximum number of added instances per category, over all sources. Images are taken whole, in order,
            as long as no category on them exceeds it: without one of its masks, an object would count as background.
            So a category can end below the maximum though more instances exist.
        image_mode: copy or link the images to the folder of ``out``; if left out, put them there yourself.
        images: one or several folders of the images of jsons; by default, those of the jsons.
        renumber: number the categories from 1 without gaps, also in the rows of the real part.
        policy, masks: see :class:`mosaicfusion.config.OutputSettings`; for run folders, whose own settings hold if left out.
        choices: category of ``real`` for an added category, where it is ambiguous; see :class:`Matcher`.
        on_image: called with (images placed, all images).

    Raises :class:`MosaicFusionError` for anything the user can fix; then ``out`` has not changed.
    """
    real, out, folders = json_of(real), as_path(out), [json_of(path) for path in listed(sources)]
    _check_paths(real, folders, out)
    merger = Merger(DatasetFile.open(real), choices, max_per_category)
    if open_vocabulary:
        merger.remove_rare()
    roots = image_folders(images)
    files, unplaced = _real_files(merger, real, out, roots) if image_mode else ({}, "")
    placed = len(files)
    added: list[Added] = []
    notes: list[str] = []
    for path in folders:
        dataset = _open_source(path, policy, masks)
        names, result = merger.add(dataset)
        added.append(result)
        notes += [f"{path}: {remark.text}" for remark in dataset.remarks]
        files |= find_images(dataset, names, roots) if image_mode else {}
    merger.matcher.require_all_used()
    data = merger.to_bytes(renumber)
    notes = [*merger.notes(), *notes]
    if image_mode:
        place_images(files, out.parent, image_mode, on_image)
    write_text(out, data)  # last of all: the images that it names exist
    return MergeSummary(out, merger.real_images, len(merger.rows), merger.removed, added, placed, unplaced, notes)


def _real_files(merger: Merger, real: Path, out: Path, given: Sequence[Path]) -> tuple[dict[str, Path], str]:
    """The real images that are to be placed, all or none, and the reason if there are none because some are missing."""
    roots = given or folders_of(real)
    files, missing = find_real_images(merger.image_refs(), roots, out.parent)
    if not missing:
        return files, ""
    where = shown_folders(roots)
    text = f"{len(missing)} of {merger.real_images} real images are not under {where}: {first_few(missing)}"
    if given:
        raise MosaicFusionError(f"{text}; repeat --images for each folder that has some")
    return {}, f"{text}; no real image was placed, give their folders with --images"


def _open_source(path: Path, policy: Policy | None, masks: MaskFormat | None) -> Dataset:
    if not path.is_dir():
        return open_json(path, [path.parent], complete=False)
    output = RunFolder.open(path).manifest.output
    return open_dataset(path, policy=policy, masks=masks or output.masks, allow_empty=True)


def _check_paths(real: Path, sources: Sequence[Path], out: Path) -> None:
    if out.resolve() in {path.resolve() for path in (real, *sources)}:
        raise MosaicFusionError(f"{out} is an input and would be overwritten; give another -o")
    inside = [path for path in sources if path.is_dir() and out.resolve().is_relative_to(path.resolve())]
    if inside:
        raise MosaicFusionError(f"{out} is in the run folder {inside[0]}, which keeps its own files; give another -o")
    twice = [path for path, count in Counter(path.resolve() for path in sources).items() if count > 1]
    if twice:
        raise MosaicFusionError(f"{twice[0]} is given more than once, which would repeat its images")
