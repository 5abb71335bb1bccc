from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.backbones import Backbone, extract, load_backbone


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    return load_backbone(device="cpu")


def test_the_default_backbone_needs_no_network(lite0: Backbone) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    features = lite0(crops)
    assert (features.shape, features.dtype) == ((3, 1280), np.float32)
    assert np.isfinite(features).all()
    assert np.ptp(features, axis=0).max() > 0


def test_the_default_backbone_is_trained(lite0: Backbone) -> None:
    """A trained network gives similar features for an image and its mirror image, and other ones for another image."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 7, 7, 3), dtype=np.uint8)
    one, other = (np.kron(image, np.ones((32, 32, 1), np.uint8)) for image in coarse)
    a, b, c = lite0(np.stack([one, one[:, ::-1], other]))
    assert np.linalg.norm(a - b) < 0.7 * np.linalg.norm(a - c)


def test_batches_change_nothing() -> None:
    backbone = Backbone(
        "flat", torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4)), (0.5,) * 3, (0.5,) * 3, 2
    )
    crops = np.random.default_rng(0).integers(0, 256, (7, 2, 2, 3), dtype=np.uint8)
    done: list[int] = []
    whole, parts = extract(backbone, crops, 7), extract(backbone, iter(crops), 3, done.append)
    assert np.allclose(whole, parts, atol=1e-6)
    assert done == [3, 6, 7]


@pytest.mark.parametrize("name", ["", "nope", "../../weights", "resnet18.nope", "x" * 300, "resnet18.a1_in1k/../x"])
def test_unknown_models_are_refused(name: str) -> None:
    with pytest.raises(MosaicFusionError, match="timm has no pretrained model"):
        load_backbone(name, "cpu")


def test_similar_names_are_suggested() -> None:
    with pytest.raises(MosaicFusionError, match=r"nearest: .*resnet18"):
        load_backbone("esnet18", "cpu")


def test_only_safetensors_are_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import timm

    requested: list[list[str]] = []

    def download(hub_id: str, allow_patterns: list[str]) -> str:
        requested.append(allow_patterns)
        save_file(timm.create_model("resnet18").state_dict(), tmp_path / "model.safetensors")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    features = load_backbone("resnet18", "cpu")(np.zeros((2, 224, 224, 3), np.uint8))
    assert features.shape == (2, 512)
    assert requested == [["model.safetensors"]]


def test_a_failed_download_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(MosaicFusionError, match=r"cannot get timm/resnet18.* from the model hub; .*\n.*no network"):
        load_backbone("resnet18", "cpu")
