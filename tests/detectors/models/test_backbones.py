"""Feature pyramids: sizes, frozen stages, and unknown names."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from mosaicfusion.detectors.config import BackboneConfig
from mosaicfusion.detectors.models.backbones import build_backbone
from mosaicfusion.errors import MosaicFusionError


@pytest.mark.parametrize(
    "name", ["resnet50", "efficientnet_lite0", "timm/resnet18", "timm/swin_tiny_patch4_window7_224"]
)
def test_levels_halve_in_size(name: str) -> None:
    backbone = build_backbone(BackboneConfig(name=name, channels=16), load_weights=False).eval()
    with torch.no_grad():
        levels = backbone(torch.zeros(1, 3, 64, 96))
    assert {key: tuple(level.shape) for key, level in levels.items()} == {
        "0": (1, 16, 16, 24),
        "1": (1, 16, 8, 12),
        "2": (1, 16, 4, 6),
        "3": (1, 16, 2, 3),
        "pool": (1, 16, 1, 2),
    }
    assert len(backbone.image_mean) == len(backbone.image_std) == 3


def test_other_strides_and_levels() -> None:
    config = BackboneConfig(name="efficientnet_lite0", channels=8)
    backbone = build_backbone(config, (8, 16, 32), LastLevelP6P7(8, 8), load_weights=False).eval()
    with torch.no_grad():
        sides = [level.shape[-1] for level in backbone(torch.zeros(1, 3, 128, 128)).values()]
    assert sides == [16, 8, 4, 2, 1]


@pytest.mark.parametrize(
    ("name", "frozen", "trained"),
    [
        ("resnet50", ("conv1", "layer1"), ("layer2", "layer4")),
        ("timm/resnet18", ("conv1", "layer1"), ("layer2", "layer4")),
        ("efficientnet_lite0", ("conv_stem", "blocks.1"), ("blocks.2", "blocks.6")),
    ],
)
def test_the_first_stages_are_frozen(name: str, frozen: tuple[str, ...], trained: tuple[str, ...]) -> None:
    backbone = build_backbone(BackboneConfig(name=name), load_weights=False)
    for stages, expected in ((frozen, False), (trained, True)):
        for stage in stages:
            names = {name.removeprefix("model."): value for name, value in backbone.body.named_parameters()}
            grads = [value.requires_grad for name, value in names.items() if name.startswith(f"{stage}.")]
            assert grads
            assert set(grads) == {expected}, stage
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.body.modules())


def test_without_pretrained_weights_nothing_is_frozen() -> None:
    for name in ("resnet50", "efficientnet_lite0"):
        backbone = build_backbone(BackboneConfig(name=name, pretrained=False))
        assert all(parameter.requires_grad for parameter in backbone.parameters())
        assert any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())


def test_lite0_weights_are_bundled() -> None:
    first, second = (build_backbone(BackboneConfig(name="efficientnet_lite0")) for _ in range(2))
    assert all(map(torch.equal, first.body.state_dict().values(), second.body.state_dict().values()))


@pytest.mark.parametrize("name", ["resnet51", "timm/no_such", "swin", "../weights.bin"])
def test_an_unknown_backbone_lists_the_choices(name: str) -> None:
    with pytest.raises(MosaicFusionError, match="choose one of resnet50, resnet101, efficientnet_lite0"):
        build_backbone(BackboneConfig(name=name))


def test_frozen_norms_are_folded_without_a_change() -> None:
    """With all stages frozen every norm is folded into a convolution; features stay equal up to rounding."""
    config = BackboneConfig(name="efficientnet_lite0", channels=8)
    few, all_ = (build_backbone(config.model_copy(update={"frozen_stages": k})).eval() for k in (0, 5))
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for one, other in zip(few.body(image).values(), all_.body(image).values(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert len(all_.body.state_dict()) < len(few.body.state_dict())
