"""Backbones with a feature pyramid: image -> one feature map per stride, all with the same number of channels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import resnet
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.convnext import LayerNorm2d
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool

from mosaicfusion.detectors.config import BackboneConfig, DataConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.backbones import DEFAULT_FEATURES

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RESNETS = {
    "resnet50": (resnet.resnet50, resnet.ResNet50_Weights.IMAGENET1K_V1),
    "resnet101": (resnet.resnet101, resnet.ResNet101_Weights.IMAGENET1K_V1),
}
_STAGES = {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}
Normalisation = tuple[Sequence[float], Sequence[float]]


class PyramidBackbone(nn.Module):
    """A body and its feature pyramid.

    ``image_mean``, ``image_std``: normalisation of RGB in [0, 1] that the body expects; ``out_channels``: channels of every
    level.
    """

    def __init__(
        self, body: nn.Module, in_channels: list[int], channels: int, extra: ExtraFPNBlock, normalisation: Normalisation
    ) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(in_channels, channels, extra)
        self.out_channels = channels
        self.image_mean, self.image_std = (list(values) for values in normalisation)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """float32 (B, 3, H, W), normalised -> levels "0", "1", ... of the strides, then those of the extra block."""
        if images.device.type == "cpu":  # depthwise convolutions take half the time there
            images = images.contiguous(memory_format=torch.channels_last)
        levels: OrderedDict[str, Tensor] = self.fpn(self.body(images))
        return levels


class _TimmBody(nn.Module):
    """Feature maps of a timm model at some strides; those of a transformer pass a layer norm, like before its own head."""

    def __init__(self, model: Any, strides: Sequence[int]) -> None:
        super().__init__()
        info = list(model.feature_info)
        self.indices = [k for k, stage in enumerate(info) if stage["reduction"] in strides]
        if [info[k]["reduction"] for k in self.indices] != list(strides):
            raise MosaicFusionError(f"the backbone has no features at strides {', '.join(map(str, strides))}")
        self.channels = [int(info[k]["num_chs"]) for k in self.indices]
        model.prune_intermediate_layers(self.indices, prune_norm=True, prune_head=True)
        self.model = model
        convolutional = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
        self.norms = nn.ModuleList(nn.Identity() if convolutional else LayerNorm2d(c) for c in self.channels)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        maps = self.model.forward_intermediates(images, indices=self.indices, intermediates_only=True)
        return OrderedDict((str(k), norm(x)) for k, (norm, x) in enumerate(zip(self.norms, maps, strict=True)))


def build_backbone(
    config: BackboneConfig,
    strides: Sequence[int] = (4, 8, 16, 32),
    extra_blocks: ExtraFPNBlock | None = None,
    load_weights: bool = True,
) -> PyramidBackbone:
    """Build a body and its pyramid; ``extra_blocks`` makes the coarser levels, by default a max pool at stride 64.

    ``load_weights=False`` skips the pretrained weights, because the model's own are loaded next. A recipe that is not
    ``pretrained`` freezes nothing. Raises :class:`MosaicFusionError` for an unknown name, or if the weights cannot be
    downloaded.
    """
    extra = extra_blocks or LastLevelMaxPool()
    load = load_weights and config.pretrained
    if config.name in _RESNETS:
        body = _resnet(config, load)
        channels = [stride * 64 for stride in strides]
        layers = {_STAGES[stride]: str(k) for k, stride in enumerate(strides)}
        return PyramidBackbone(IntermediateLayerGetter(body, layers), channels, config.channels, extra, _IMAGENET)
    model, normalisation = _timm(config, load)
    if config.pretrained:
        _freeze_stages(model, config)
    timm_body = _TimmBody(model, strides)
    if config.pretrained and config.frozen_norm:
        from timm.layers import freeze_batch_norm_2d

        if config.name == DEFAULT_FEATURES:
            _fold_frozen_norms(timm_body.model.eval())
        timm_body.model = freeze_batch_norm_2d(timm_body.model)
    return PyramidBackbone(timm_body, timm_body.channels, config.channels, extra, normalisation)


def input_transform(config: DataConfig, backbone: PyramidBackbone) -> GeneralizedRCNNTransform:
    """Normalisation of a detector's images, and their resizing in evaluation."""
    return GeneralizedRCNNTransform(
        config.test_side_px,
        config.max_side_px,
        backbone.image_mean,
        backbone.image_std,
        _skip_resize=True,  # in training: the workers of the data set have resized the images
    )


def _resnet(config: BackboneConfig, load: bool) -> nn.Module:
    make, weights = _RESNETS[config.name]
    frozen_norm = config.pretrained and config.frozen_norm
    model: nn.Module = make(norm_layer=FrozenBatchNorm2d if frozen_norm else nn.BatchNorm2d)
    if load:
        try:
            state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise MosaicFusionError(
                f"cannot download the ImageNet weights of {config.name} ({error!s:.120}); check the network, "
                "give --no-pretrained, or --set backbone.name=efficientnet_lite0, which needs no network"
            ) from None
        model.load_state_dict(state, strict=False)  # frozen norms have no count of batches
    stages = ("conv1", "layer1", "layer2", "layer3", "layer4")[: config.frozen_stages if config.pretrained else 0]
    for name, parameter in model.named_parameters():
        if name.startswith((*stages, "bn1") if stages else ()):
            parameter.requires_grad_(False)
    return model


def _timm(config: BackboneConfig, load: bool) -> tuple[Any, Normalisation]:
    from mosaicfusion.models.backbones import LITE0_MEAN_STD, efficientnet_lite0, import_timm, pretrained_model

    if config.name == DEFAULT_FEATURES:
        return efficientnet_lite0(load), LITE0_MEAN_STD
    timm, (prefix, _, name) = import_timm(), config.name.partition("/")
    if prefix != "timm" or not timm.is_model(name):
        known = ", ".join((*_RESNETS, DEFAULT_FEATURES))
        raise MosaicFusionError(
            f"unknown backbone {config.name!r:.80}; choose one of {known}, or a model of timm such as timm/resnet50"
        )
    # Swin takes any image size only with this option; other models always do.
    options = {"strict_img_size": False} if name.startswith("swin_") else {}
    model = pretrained_model(name, **options) if load else timm.create_model(name, pretrained=False, **options)
    data = timm.data.resolve_model_data_config(model)
    return model, (data["mean"], data["std"])


def _freeze_stages(model: Any, config: BackboneConfig) -> None:
    """Freeze all parameters up to the end of a stage, in timm's numbering."""
    if config.frozen_stages == 0:
        return
    stages = [stage["module"] for stage in model.feature_info]
    if config.frozen_stages > len(stages):
        raise MosaicFusionError(
            f"backbone.frozen_stages={config.frozen_stages}, but {config.name} has {len(stages)} stages"
        )
    parameters = list(model.named_parameters())
    inside = [k for k, (name, _) in enumerate(parameters) if name.startswith(f"{stages[config.frozen_stages - 1]}.")]
    if inside:
        end = inside[-1] + 1
    else:  # a stage that is only an activation ends where the next begins
        following = f"{stages[config.frozen_stages]}."
        end = next(k for k, (name, _) in enumerate(parameters) if name.startswith(following))
    for _, parameter in parameters[:end]:
        parameter.requires_grad_(False)


def _fold_frozen_norms(module: nn.Module) -> None:
    """Fold batch norms into the frozen convolutions before them: the early stages take a third less time.

    Outputs stay equal up to rounding. The children of ``module`` must be in the order of their calls, like EfficientNet's.
    """
    children = list(module.named_children())
    for (name, conv), (norm_name, norm) in pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and not conv.weight.requires_grad:
            setattr(module, name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, getattr(norm, "act", nn.Identity()))
    for _, child in module.named_children():
        _fold_frozen_norms(child)
