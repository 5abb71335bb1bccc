"""Distance of the bundled model's images from its training images, and the reliability of the metrics.

    python -m benchmarks.domain_gap RUN --work build/mini

RUN is a run of the bundled model. The real set is made here: new compositions of the model's training drawings (downloaded by
`python -m miniature.assets`), as many of each category as the run has. A second such set gives the same metrics for two sets of
the same distribution.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from miniature.compose import compose
from miniature.pictures import load_pictures
from miniature.vocabulary import load_vocabulary
from mosaicfusion.masks import rle
from mosaicfusion.models.backbones import load_backbone
from mosaicfusion.quality.measure_diversity import ImageSet, measure_diversity


def write_compositions(folder: Path, counts: Counter[int], work: Path, seed: int) -> ImageSet:
    """Write compositions as a set; ``counts``: number by LVIS category id."""
    entries = load_vocabulary()
    pictures = load_pictures(work, entries)
    rng = np.random.default_rng([seed])
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, entry in enumerate(entries):
        for _ in range(counts[entry.record["id"]]):
            scene = compose(rng, pictures, number)
            mask = scene.alpha > 0.5
            k = len(images) + 1
            Image.fromarray(scene.image).save(folder / f"{k}.jpg", quality=95)
            images.append({"id": k, "file_name": f"{k}.jpg", "width": 128, "height": 128})
            row = {"id": k, "image_id": k, "category_id": entry.record["id"], "area": rle.area(mask), "iscrowd": 0}
            annotations.append({**row, "bbox": rle.box_xywh(mask), "segmentation": rle.encode(mask)})
    categories = [{"id": entry.record["id"], "name": entry.record["name"]} for entry in entries]
    path = folder / "real.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return ImageSet(path, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--per-category", type=int, default=100)
    parser.add_argument("--mask-background", action="store_true")
    arguments = parser.parse_args()
    synthetic = ImageSet(arguments.run, arguments.run)
    counts = Counter(a["category_id"] for a in json.loads((synthetic.path / "lvis.json").read_text())["annotations"])
    backbone = load_backbone(device="cpu")
    print(
        "| compared with compositions | pairs | FID (of real halves) | KID x 1000 | precision | recall | classifier |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        real, other = (
            write_compositions(Path(tempfile.mkdtemp(dir=folder)), counts, arguments.work, seed) for seed in (1, 2)
        )
        for name, candidate in (("generated canvases", synthetic), ("other compositions", other)):
            gap = measure_diversity(candidate, backbone, real, arguments.per_category, arguments.mask_background).gap
            if gap is None:
                raise SystemExit(f"{arguments.run} has too few instances")
            values = (f"{gap.fid:.1f} ({gap.fid_floor:.1f})", f"{1000 * gap.kid:.2f}", f"{gap.precision:.2f}")
            cells = (name, str(gap.pairs), *values, f"{gap.recall:.2f}", f"{gap.classifier:.3f}")
            print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
