"""Label Studio: ``tasks.json`` with predictions, ``labels.xml``, the labelling interface, and ``images/``.

An object is one polygon for each of its parts, with its category and, where it has one, its quality as the score.
What was changed comes back with ``mosaicfusion review --from``, from an export as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from xml.sax.saxutils import quoteattr

import msgspec

from mosaicfusion.dataset.export.format import ExportOptions, Format, left_out_fields
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Annotation, Sample

_FROM, _TO = "label", "image"  # names in the labelling interface


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    names = {category["id"]: category["name"] for category in dataset.categories}
    tasks = []
    for sample in samples:
        out.write(f"images/{sample.name}", sample.read())
        results = [part for one in sample.annotations for part in _parts(one, names[one.category_id], sample)]
        task = {
            "data": {"image": f"/data/local-files/?d=images/{sample.name}"},
            "predictions": [{"model_version": "mosaicfusion", "result": results}],
        }
        tasks.append(task)
    out.write("tasks.json", msgspec.json.format(msgspec.json.encode(tasks), indent=1))
    out.write("labels.xml", _interface(names.values()).encode())
    how = "serve this folder as local storage (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT), paste labels.xml, import tasks.json"
    return [*left_out_fields(dataset, annotation=("quality", "score")), how]


def _parts(annotation: Annotation, name: str, sample: Sample) -> Iterator[dict[str, Any]]:
    height, width = sample.hw
    score = annotation.record.get("quality", annotation.record.get("score"))
    for number, polygon in enumerate(annotation.mask.polygons()):
        points = [
            [100 * x / width, 100 * y / height] for x, y in zip(polygon[::2], polygon[1::2], strict=True)
        ]  # in percent
        yield {
            "id": f"{annotation.record['id']}-{number}",
            "type": "polygonlabels",
            "from_name": _FROM,
            "to_name": _TO,
            "original_width": width,
            "original_height": height,
            "value": {"points": points, "closed": True, "polygonlabels": [name]},
            **({} if score is None else {"score": score}),
        }


def _interface(names: Iterable[str]) -> str:
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in names)
    return (
        f'<View>\n  <Image name="{_TO}" value="$image" zoom="true"/>\n'
        f'  <PolygonLabels name="{_FROM}" toName="{_TO}">\n{labels}\n  </PolygonLabels>\n</View>\n'
    )


FORMAT = Format(write, masks=("polygon",))
