"""The parts that docs/extending.md adds work as the page has them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.hand_made_runs import disc, make_run, region
from support.shapes_set import write_set
from support.tiny_runs import generate_tiny

import mosaicfusion
from mosaicfusion.dataset.export import FORMATS, export
from mosaicfusion.detectors.checkpoint import load_detector
from mosaicfusion.detectors.config import load_recipe
from mosaicfusion.detectors.data.training_set import open_training_set
from mosaicfusion.detectors.registry import BUILDERS
from mosaicfusion.detectors.training.train import TrainOptions, train
from mosaicfusion.diffusion.registry import FAMILIES, Family, load_model
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.presets import PRESETS, make_config
from mosaicfusion.layouts import LAYOUTS
from mosaicfusion.models.hub import find_model
from mosaicfusion.run.folder import RunFolder

PACKAGE = Path(mosaicfusion.__file__).parent
PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|diff|yaml)\n ?# ([\w/]+\.\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
FILES = {path: text for kind, path, text in BLOCKS if kind != "diff"}
DIFFS = [(path, text) for kind, path, text in BLOCKS if kind == "diff"]


class Extension:
    """Modules of the page, importable under the names that they would have in the package."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch

    def load(self, path: str) -> ModuleType:
        file = self.folder / Path(path).name
        file.write_text(FILES[path])
        name = "mosaicfusion." + path.removesuffix(".py").replace("/", ".")
        spec = spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        self.monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    def register(self, path: str, table: dict[str, Any], **names: Any) -> None:
        """Add the entries that the page adds to a table."""
        (text,) = (text for changed, text in DIFFS if changed == path)
        entries = eval("{" + "".join(re.findall(r"^\+( {4,}.*)$", text, flags=re.MULTILINE)) + "}", names)
        assert len(entries) == 1
        for key, value in entries.items():
            self.monkeypatch.setitem(table, key, value)


@pytest.fixture
def extension(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Extension:
    return Extension(tmp_path_factory.mktemp("extension"), monkeypatch)


def apply(diff: str, file: Path) -> None:
    """Change a file as a diff without line numbers says."""
    hunk = [(line[:1], line[1:]) for line in diff.splitlines()]
    before, after = ("".join(f"{text}\n" for sign, text in hunk if sign in kept) for kept in ("- ", "+ "))
    text = file.read_text()
    assert text.count(before) == 1, f"{file.name} does not hold, or holds more than once:\n{before}"
    file.write_text(text.replace(before, after))


@pytest.mark.parametrize("path", FILES)
def test_every_example_has_fewer_than_40_lines_and_is_new(path: str) -> None:
    assert FILES[path].count("\n") < 40
    assert not (PACKAGE / path).exists()


def test_the_page_changes_the_package_as_it_is(tmp_path: Path) -> None:
    for path in {path for path, _ in DIFFS}:
        shutil.copy(PACKAGE / path, tmp_path / path.replace("/", "-"))
    for path, diff in DIFFS:
        for hunk in diff.split("\n\n") if path == "layouts/__init__.py" else [diff]:
            apply(hunk, tmp_path / path.replace("/", "-"))


def test_a_model_family(tiny_sd: Path, extension: Extension, tmp_path: Path) -> None:
    module = extension.load("diffusion/families/latent_consistency.py")
    extension.register("diffusion/registry.py", FAMILIES, Family=Family)
    extension.register("generation/presets.py", PRESETS)
    folder = save_latent_consistency(tiny_sd, tmp_path / "lcm")
    assert isinstance(load_model(find_model(str(folder)), "cpu"), module.LatentConsistency)
    config = make_config(
        None,
        {
            "model": str(folder),
            "layout": {"grids": ("1x2",), "region_hw_px": (16, 16), "overlap_xy_px": (8, 8)},
            "attention": {"strides_px": (2, 4)},
        },
    )
    assert (config.sampling.scheduler, config.sampling.steps, config.sampling.guidance) == ("model", 4, 8)
    images = []
    for guidance in (8.0, 3.0):
        out = tmp_path / f"guidance-{guidance}"
        sampling = config.sampling.model_copy(update={"guidance": guidance})
        changed = config.model_copy(update={"sampling": sampling})
        generate_tiny(out, folder, config=changed, canvases_per_category=1)
        run = RunFolder.open(out)
        images.append(run.read_image(next(run.records())))
    assert images[0].shape == (16, 32, 3)
    assert not np.array_equal(images[0], images[1])


def save_latent_consistency(tiny_sd: Path, folder: Path) -> Path:
    """The tiny Stable Diffusion with a U-Net that takes the guidance scale."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    base = StableDiffusionPipeline.from_pretrained(tiny_sd, safety_checker=None)
    pipeline = LatentConsistencyModelPipeline(
        vae=base.vae,
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
        unet=UNet2DConditionModel.from_config({**base.unet.config, "time_cond_proj_dim": 8}),
        scheduler=LCMScheduler.from_config(base.scheduler.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def test_an_export_format(extension: Extension, tmp_path: Path) -> None:
    extension.load("dataset/export/labelme.py")
    extension.monkeypatch.setitem(FORMATS, "labelme", "mosaicfusion.dataset.export.labelme")
    make_run(tmp_path / "run", [[region(0, disc(0)), region(1, disc(1), "drum")]] * 2)
    exported = export(tmp_path / "run", "labelme", tmp_path / "out")
    assert (exported.images, exported.instances, exported.notes) == (2, 4, ())
    written = json.loads((tmp_path / "out" / "000000000001.json").read_text())
    assert [shape["label"] for shape in written["shapes"]] == ["kite", "drum"]
    assert [shape["group_id"] for shape in written["shapes"]] == [0, 1]
    xs = [x for x, _ in written["shapes"][0]["points"]]
    assert (min(xs), max(xs)) == (8, 40)  # a disc of radius 16 around 24
    with Image.open(tmp_path / "out" / written["imagePath"]) as image:
        assert image.size == (written["imageWidth"], written["imageHeight"]) == (96, 64)
    with pytest.raises(MosaicFusionError, match="labelme holds masks as polygon, not rle"):
        export(tmp_path / "run", "labelme", tmp_path / "other", masks="rle")


def test_a_layout(tiny_sd: Path, extension: Extension, tmp_path: Path) -> None:
    module = extension.load("layouts/beside.py")
    extension.register("layouts/__init__.py", LAYOUTS, BesideLayout=module.BesideLayout)
    overrides = {
        "model": str(tiny_sd),
        "layout": {"kind": "beside", "side_px": 16, "group_size": 2},
        "sampling": {"scheduler": "ddim", "steps": 2},
        "attention": {"strides_px": (2, 4)},
    }
    generate_tiny(tmp_path / "run", tiny_sd, config=make_config("paper", overrides))
    run = RunFolder.open(tmp_path / "run")
    assert run.manifest.config.layout == module.BesideLayout(side_px=16, group_size=2)
    boxes = [[one.region_xywh for one in record.regions] for record in run.records()]
    assert len(boxes) == 8
    assert all(first == second for first, second in zip(boxes[::2], boxes[1::2], strict=True))
    assert {tuple(canvas) for canvas in boxes} == {
        ((0, 0, 32, 32), (32, 0, 16, 16), (32, 16, 16, 16)),
        ((16, 0, 32, 32), (0, 0, 16, 16), (0, 16, 16, 16)),
    }
    small = {**overrides, "layout": {"kind": "beside", "side_px": 8}}
    with pytest.raises(MosaicFusionError, match="side_px=8 must be a multiple of 2, and at least 16"):
        generate_tiny(tmp_path / "small", tiny_sd, config=make_config("paper", small))
    figure = mosaicfusion.explain("kite, drum, fork", tmp_path / "figures", make_config("paper", overrides))
    assert figure.exists()
    with pytest.raises(MosaicFusionError, match="the layout 'beside' shows 3 objects, not 4; name fewer categories"):
        mosaicfusion.explain("kite, drum, fork, cup", tmp_path / "figures", make_config("paper", overrides))


def test_a_detector(extension: Extension, tmp_path: Path) -> None:
    extension.load("detectors/models/mask_rcnn_deep.py")
    extension.register("detectors/registry.py", BUILDERS)
    (tmp_path / "deep.yaml").write_text(FILES["detectors/recipes/lvis_r50_deep.yaml"])
    assert load_recipe(tmp_path / "deep.yaml").schedule.iterations == 180_000
    small = load_recipe("mini_lite0").model_dump(include={"backbone", "heads"})
    small["heads"] |= {"box_features": 32, "proposals_train": [40, 20], "rois_per_image": 16}
    data = {"train_sides_px": [32], "test_side_px": 32, "max_side_px": 48}
    schedule = {"iterations": 1, "steps": [1], "batch_size": 2, "warmup_iterations": 0}
    recipe = load_recipe(tmp_path / "deep.yaml", {**small, "data": data, "schedule": schedule})
    write_set(tmp_path, "train", first_id=1, count=2)
    training_set = open_training_set(recipe.data, tmp_path / "train.json", tmp_path / "images")
    summary = train(recipe, training_set, tmp_path / "exp", TrainOptions(device="cpu", workers=0, log_every=1))
    assert summary.steps == 1 and summary.loss is not None and np.isfinite(summary.loss)
    detector = load_detector(tmp_path / "exp", "cpu")
    assert type(detector.model.roi_heads.box_head).__name__ == "FastRCNNConvFCHead"


USE_OF_THE_RULE = """
import json
from mosaicfusion.config import OutputSettings
from mosaicfusion.dataset.thresholds import reject_below
from mosaicfusion.masks.rejection import reason_meaning, reason_name
from mosaicfusion.run.records import CanvasRecord, RegionRecord

touches = [{"touch": 0.5}, {"touch": 0.25}, {}]
regions = tuple(RegionRecord(1, "kite", "a kite", (0, 0, 8, 8), measures=measures) for measures in touches)
records = [CanvasRecord(0, (8, 8), 0, "0.jpg", (*regions, RegionRecord(1, "kite", "a kite", (0, 0, 8, 8), "too_small")))]
(unchanged,), (changed,) = (list(reject_below(records, OutputSettings(**extra))) for extra in ({}, {"max_touch": 0.25}))
rejected = changed.regions[0]
print(json.dumps([unchanged == records[0], [region.reason for region in changed.regions], rejected.values,
                  reason_name(rejected.reason), reason_meaning(rejected.reason)]))
"""

USE_OF_THE_STEP = """
import json
import numpy as np
from mosaicfusion.config import MaskConfig
from mosaicfusion.masks.extract import extract_mask
from mosaicfusion.masks.rejection import reason_meaning, reason_name

sums = {8: np.zeros((8, 8), np.float32)}
sums[8][:, :3] = 0.7
sums[8][6, 6] = 1  # the strongest attention: a component that is too small, so it is not in the mask
image = np.zeros((64, 64, 3), np.uint8)
results = [extract_mask(sums, image, MaskConfig(refine=False, **extra)) for extra in ({}, {"min_peak": 0.5})]
rejected = results[1].rejection
print(json.dumps([results[0].mask is not None, rejected.reason, rejected.values,
                  reason_name(rejected.reason), reason_meaning(rejected.reason)]))
"""


def run_in_a_copy(folder: Path, packages: tuple[str, ...], code: str) -> Any:
    """Apply the diffs of the page to a copy of some packages, and return the JSON that the code prints.

    Members cannot be added to an enum from outside.
    """
    copy = folder / "mosaicfusion"
    copy.mkdir()
    for file in PACKAGE.glob("*.py"):
        shutil.copy(file, copy)
    for name in packages:
        shutil.copytree(PACKAGE / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "masks" / "peak.py").write_text(FILES["masks/peak.py"])
    for path, diff in DIFFS:
        if path.startswith(("config", "dataset/thresholds", "masks/")) and (copy / path).exists():
            apply(diff, copy / path)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_rule_on_records(tmp_path: Path) -> None:
    packages = ("dataset", "files", "layouts", "masks", "run")
    unchanged, reasons, values, name, meaning = run_in_a_copy(tmp_path, packages, USE_OF_THE_RULE)
    assert unchanged
    assert reasons == ["cut_off", None, None, "too_small"]
    assert values == {"touch": 0.5, "max_touch": 0.25}
    assert (name, meaning) == ("cut off", "The object lies on the border of its region.")


def test_a_mask_step(tmp_path: Path) -> None:
    kept, reason, values, name, meaning = run_in_a_copy(tmp_path, ("layouts", "masks"), USE_OF_THE_STEP)
    assert kept
    assert (reason, name) == ("missed_peak", "missed peak")
    assert meaning == "The strongest attention lies outside the mask."
    assert values == {"peak": 0.0}
