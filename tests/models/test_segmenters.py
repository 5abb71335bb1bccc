"""Masks for boxes: GrabCut on discs, SAM and SAM 2 on tiny random models in the format of the published ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from support.hand_made_runs import disc

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.models.segmenters import GrabCut, load_annotator

BOXES = [(5, 5, 20, 30), (40.0, 10.0, 30.0, 30.0)]


def image() -> np.ndarray[Any, Any]:
    grain = np.random.default_rng(0).normal(0, 6, (64, 96, 3))
    return np.clip(np.where((disc(0) | disc(1))[..., None], (220, 60, 40), (30, 60, 110)) + grain, 0, 255).astype(
        np.uint8
    )


@pytest.fixture(scope="module")
def tiny_sams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from support.tiny_models import save_sam, save_sam2

    folder = tmp_path_factory.mktemp("tiny")
    return {"sam": save_sam(folder / "sam"), "sam2": save_sam2(folder / "sam2")}


class TestGrabCut:
    def test_each_object_is_segmented_in_its_box(self) -> None:
        masks = GrabCut().segment(image(), [rle.box_xywh(disc(0)), rle.box_xywh(disc(1))])
        assert (masks.shape, masks.dtype) == ((2, 64, 96), np.bool_)
        assert all(mask_iou(mask, disc(k)) > 0.95 for k, mask in enumerate(masks))

    def test_masks_lie_in_their_boxes_and_are_deterministic(self) -> None:
        image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
        one, two = (GrabCut().segment(image, BOXES[:1] * 5) for _ in range(2))
        assert (one == two).all()
        one[:, 5:35, 5:25] = False
        assert not one.any()

    @pytest.mark.parametrize("box", [(0, 0, 96, 64), (0, 0, 1, 1), (95, 63, 1, 1), (10, 10, 3, 2), (0, 10, 96, 1)])
    def test_extreme_boxes_are_accepted(self, box: tuple[int, ...]) -> None:
        """The whole image, single pixels, a line."""
        (mask,) = GrabCut().segment(image(), [box])
        left, top, width, height = box
        mask[top : top + height, left : left + width] = False
        assert not mask.any()

    def test_one_colour_gives_masks_and_no_box_none(self) -> None:
        grey = np.full((32, 32, 3), 128, np.uint8)
        assert GrabCut().segment(grey, [(8, 8, 16, 16)]).shape == (1, 32, 32)
        assert GrabCut().segment(grey, []).shape == (0, 32, 32)

    def test_a_model_is_refused(self) -> None:
        with pytest.raises(MosaicFusionError, match="grabcut has no weights, but --model x was given"):
            load_annotator("grabcut", "x")


@pytest.mark.parametrize("name", ["sam", "sam2"])
class TestSam:
    def test_masks_have_the_size_of_the_image(self, tiny_sams: dict[str, Path], name: Any) -> None:
        sam = load_annotator(name, str(tiny_sams[name]), "cpu")
        image = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
        masks = sam.segment(image, BOXES)
        assert (masks.shape, masks.dtype) == ((2, 48, 80), np.bool_)
        assert sam.segment(image, []).shape == (0, 48, 80)

    def test_a_batch_of_boxes_equals_single_boxes(self, tiny_sams: dict[str, Path], name: Any) -> None:
        sam = load_annotator(name, str(tiny_sams[name]), "cpu")
        alone = [sam.segment(image(), [box])[0] for box in BOXES]
        assert all(mask_iou(one, two) > 0.99 for one, two in zip(sam.segment(image(), BOXES), alone, strict=True))
        assert mask_iou(*alone) < 1  # the box matters

    def test_masks_are_those_of_transformers(self, tiny_sams: dict[str, Path], name: Any) -> None:
        """Boxes are given by their corners in pixels of the image, such as in the documentation of transformers."""
        import torch
        import transformers
        from PIL import Image

        model, processor = {
            "sam": (transformers.SamModel, transformers.SamProcessor),
            "sam2": (transformers.Sam2Model, transformers.Sam2Processor),
        }[name]
        prepare = processor.from_pretrained(tiny_sams[name])
        inputs = prepare(images=Image.fromarray(image()), input_boxes=[[[40, 10, 70, 40]]], return_tensors="pt")
        with torch.inference_mode():
            logits = model.from_pretrained(tiny_sams[name]).eval()(**inputs, multimask_output=False).pred_masks
        sizes = [inputs[key] for key in ("original_sizes", "reshaped_input_sizes") if key in inputs]
        (expected,) = prepare.post_process_masks(logits, *sizes)
        (found,) = load_annotator(name, str(tiny_sams[name]), "cpu").segment(image(), BOXES[1:])
        assert (found == expected[0, 0].numpy()).all()

    def test_other_weights_are_another_annotator(self, tiny_sams: dict[str, Path], name: Any, tmp_path: Path) -> None:
        same, moved, changed = (_copy(tiny_sams[name], tmp_path / str(k)) for k in range(3))
        weights = load_file(changed / "model.safetensors")
        key = next(key for key in weights if key.endswith("no_mask_embed.weight"))
        save_file({**weights, key: weights[key] + 1}, changed / "model.safetensors", {"format": "pt"})
        one, two, three = (load_annotator(name, str(folder), "cpu").identity for folder in (same, moved, changed))
        assert one == two != three

    def test_pickles_are_refused(self, tiny_sams: dict[str, Path], name: Any, tmp_path: Path) -> None:
        import torch

        folder = _copy(tiny_sams[name], tmp_path / "pickled")
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        with pytest.raises(MosaicFusionError, match=f"cannot load {name} from"):
            load_annotator(name, str(folder), "cpu")

    def test_truncated_weights_are_refused(self, tiny_sams: dict[str, Path], name: Any, tmp_path: Path) -> None:
        folder = _copy(tiny_sams[name], tmp_path / "half")
        weights = {key: value for key, value in load_file(folder / "model.safetensors").items() if "decoder" not in key}
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(MosaicFusionError, match=f"lacks .* weights of {name}"):
            load_annotator(name, str(folder), "cpu")

    def test_another_kind_of_model_is_refused(self, tiny_sams: dict[str, Path], name: Any) -> None:
        other = {"sam": "sam2", "sam2": "sam"}[name]
        with pytest.raises(MosaicFusionError, match=f"holds a {other} model, not {name}"):
            load_annotator(name, str(tiny_sams[other]), "cpu")

    def test_a_missing_model_is_refused(self, name: Any, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
        for model in (str(tmp_path), "nobody/nothing"):
            with pytest.raises(MosaicFusionError, match=f"cannot load {name} from"):
                load_annotator(name, model, "cpu")
        for model in (str(tmp_path / "none"), "x" * 300):
            with pytest.raises(MosaicFusionError, match=r"there is no folder .*; give one in transformers format"):
                load_annotator(name, model, "cpu")


def test_published_sam2_files_name_its_video_model(tiny_sams: dict[str, Path], tmp_path: Path) -> None:
    folder = _copy(tiny_sams["sam2"], tmp_path / "sam2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "sam2_video"}))
    one, two = (load_annotator("sam2", str(path), "cpu") for path in (tiny_sams["sam2"], folder))
    assert one.identity == two.identity


def _copy(source: Path, target: Path) -> Path:
    import shutil

    return Path(shutil.copytree(source, target))
