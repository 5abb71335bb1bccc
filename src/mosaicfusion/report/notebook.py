"""What a notebook shows of a run, a canvas, a data set and its images: numbers, and small pictures in the HTML itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import singledispatch
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample
from mosaicfusion.errors import MosaicFusionError, counted
from mosaicfusion.files.images import read_rgb
from mosaicfusion.masks import rle
from mosaicfusion.masks.rejection import reason_name
from mosaicfusion.report.html import render_template
from mosaicfusion.report.images import data_uri, region_instances
from mosaicfusion.report.overlays import InstanceOverlay, instance_layer, readable_scale, render_instances
from mosaicfusion.report.text import full_name
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord

T = TypeVar("T")
_MAX_PICTURES = 4
_MAX_ROWS = 10
_MAX_OBJECTS = 50  # of an image
_MAX_PX = 320


def render_view(
    title: str,
    facts: Sequence[str] = (),
    head: Sequence[str] = (),
    rows: Iterable[Sequence[object]] = (),
    pictures: Sequence[str] = (),
) -> str:
    """HTML of a title, facts on one line, a table of at most 10 rows, and pictures as data URIs; all text is escaped."""
    table = list(rows)
    shown, more = table[:_MAX_ROWS], max(0, len(table) - _MAX_ROWS)
    return render_template(
        "notebook.html.j2", title=title, facts=facts, head=head, rows=shown, more=more, pictures=pictures
    )


@singledispatch
def to_html(shown: object) -> str:
    """HTML of an object of the classes below; raises TypeError for any other."""
    raise TypeError(f"{type(shown).__name__} has no view")


@to_html.register
def _(run: RunFolder) -> str:
    facts = [f"{int(run.done().sum())} of {counted(run.total, 'canvas')}", counted(len(run.categories), "category")]
    return render_view(f"Run {run.path}", facts, pictures=run_pictures(run))


@to_html.register
def _(record: CanvasRecord) -> str:
    """The masks alone: a record does not know its folder."""
    height, width = record.hw_px
    rows = [
        (full_name(region.category), reason_name(region.reason) if region.reason else "kept", _quality(region.quality))
        for region in record.regions
    ]
    layer = instance_layer(record.hw_px, region_instances(record), readable_scale(record.hw_px, _MAX_PX))
    facts = [f"{width} x {height} pixels"]
    return render_view(f"Canvas {record.index}", facts, ("category", "mask", "quality"), rows, [data_uri(layer, "PNG")])


@to_html.register
def _(dataset: Dataset) -> str:
    names = {one["id"]: full_name(one["name"]) for one in dataset.categories}
    facts = [
        counted(dataset.images, "image"),
        counted(dataset.instances, "instance"),
        counted(len(names), "category"),
    ]
    by_count = sorted(dataset.categories, key=lambda one: -one["instance_count"])
    rows = [(names[one["id"]], one["image_count"], one["instance_count"]) for one in by_count]
    pictures = _pictures(lambda sample: _sample_pixels(sample, names), dataset)
    return render_view(f"Data set {dataset.path}", facts, ("category", "images", "instances"), rows, pictures)


@to_html.register
def _(sample: Sample) -> str:
    height, width = sample.hw
    facts = [f"{width} x {height} pixels", counted(len(sample.annotations), "object")]
    try:
        pictures = [data_uri(_sample_pixels(sample, {}), "JPEG")]
    except MosaicFusionError as error:
        facts, pictures = [*facts, str(error)], []
    return render_view(f"Image {sample.id}", facts, pictures=pictures)


def run_pictures(run: RunFolder) -> list[str]:
    """The first canvases of a run with their masks, as data URIs; those without a readable image are passed over."""
    records = (record for record in run.records() if record.file_name is not None)
    return _pictures(lambda record: _canvas_pixels(run, record), records)


def _pictures(render: Callable[[T], NDArray[np.uint8]], things: Iterable[T]) -> list[str]:
    pictures: list[str] = []
    for thing in islice(things, 2 * _MAX_PICTURES):  # some may have no image
        try:
            pictures.append(data_uri(render(thing), "JPEG"))
        except MosaicFusionError:
            continue
        if len(pictures) == _MAX_PICTURES:
            break
    return pictures


def _canvas_pixels(run: RunFolder, record: CanvasRecord) -> NDArray[np.uint8]:
    return render_instances(run.read_image(record), region_instances(record), readable_scale(record.hw_px, _MAX_PX))


def _sample_pixels(sample: Sample, names: Mapping[int, str]) -> NDArray[np.uint8]:
    """The image with masks and names, of which categories without one get their id."""
    image = read_rgb(sample.file, upright=sample.image_file.orientation != 1)
    height, width = image.shape[:2]
    instances = [
        InstanceOverlay(
            (0, 0, width, height),
            names.get(one.category_id, f"category {one.category_id}"),
            rle.decode(one.mask.run_lengths()),
        )
        for one in sample.annotations[:_MAX_OBJECTS]
    ]
    return render_instances(image, instances, readable_scale((height, width), _MAX_PX))


def _quality(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
