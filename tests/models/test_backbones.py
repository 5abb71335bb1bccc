import numpy as np
import pytest
import torch

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.backbones import Backbone, extract, load_backbone


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    return load_backbone(device="cpu")


def test_the_default_needs_no_network(lite0: Backbone) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    features = lite0(crops)
    assert (features.shape, features.dtype) == ((3, 1280), np.float32)
    assert np.isfinite(features).all()
    assert np.ptp(features, axis=0).max() > 0


def test_the_weights_are_those_of_imagenet(lite0: Backbone) -> None:
    """A trained network answers alike to a picture and to its mirror image, and otherwise to another picture."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 7, 7, 3), dtype=np.uint8)
    one, other = (np.kron(picture, np.ones((32, 32, 1), np.uint8)) for picture in coarse)
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
def test_unknown_models(name: str) -> None:
    with pytest.raises(MosaicFusionError, match="timm has no pretrained model"):
        load_backbone(name, "cpu")


def test_near_names_are_said() -> None:
    with pytest.raises(MosaicFusionError, match=r"nearest: .*resnet18"):
        load_backbone("esnet18", "cpu")


def test_weights_are_downloaded_as_safetensors_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(repo_id: str, filename: str, **_: object) -> str:
        asked.append(filename)
        raise OSError("no network")

    monkeypatch.setattr("timm.models._hub.hf_hub_download", download)
    with pytest.raises(MosaicFusionError, match="cannot get the weights of resnet18 as safetensors"):
        load_backbone("resnet18", "cpu")
    assert asked == ["model.safetensors"]
