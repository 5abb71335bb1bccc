"""Random models of a few thousand weights in the ordinary diffusers format, built in a second without a network."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam2Processor,
    SamConfig,
    SamImageProcessor,
    SamModel,
    SamProcessor,
)

from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.models.hub import BUNDLED_FOLDER

_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
_MASK_DECODER = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "mlp_dim": 16,
    "iou_head_hidden_dim": 16,
    "attention_downsample_rate": 1,
}


def save_stable_diffusion(folder: Path, prediction_type: str = "epsilon") -> Path:
    """Stable Diffusion 1.x (epsilon) or 2.x (v_prediction) in small; latent factor 2, two resolutions of attention."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    pipeline = StableDiffusionPipeline(
        vae=make_autoencoder(),
        text_encoder=CLIPTextModel(make_text_config(tokenizer, 32)),
        tokenizer=tokenizer,
        unet=_unet(cross_attention_dim=32, use_linear_projection=prediction_type == "v_prediction"),
        scheduler=DDIMScheduler(**_BETAS, clip_sample=False, set_alpha_to_one=False, prediction_type=prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def save_sdxl(folder: Path) -> Path:
    """SDXL in small: two text encoders, pooled text and sizes as conditions, no attention at the first resolution."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    pipeline = StableDiffusionXLPipeline(
        vae=make_autoencoder(),
        text_encoder=CLIPTextModel(make_text_config(tokenizer, 32)),
        text_encoder_2=CLIPTextModelWithProjection(make_text_config(tokenizer, 32)),
        tokenizer=tokenizer,
        tokenizer_2=make_tokenizer(),
        unet=_unet(
            cross_attention_dim=64,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        scheduler=EulerDiscreteScheduler(**_BETAS, timestep_spacing="leading"),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def make_tokenizer() -> CLIPTokenizer:
    """The bundled model's."""
    return CLIPTokenizer.from_pretrained(BUNDLED_FOLDER / "weights" / "tokenizer")


def make_text_config(tokenizer: CLIPTokenizer, width: int) -> CLIPTextConfig:
    """Two layers."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )


def _unet(**changes: object) -> UNet2DConditionModel:
    options = {
        "sample_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**{**options, **changes})


def make_autoencoder(**changes: Any) -> AutoencoderKL:
    """An autoencoder that halves the sides once."""
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
        **changes,
    )


class ChangedModel:
    """A diffusion model with some of its methods replaced, each called as a function without ``self``."""

    def __init__(self, model: DiffusionModel, **methods: Any) -> None:
        self._model = model
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def with_nan_latents(model: DiffusionModel, call: int) -> ChangedModel:
    """The model, but the latents of one call of ``decode``, counted from 1, are NaN."""
    calls = count(1)

    def decode(latents: torch.Tensor) -> Any:
        return model.decode(latents * torch.nan if next(calls) == call else latents)

    return ChangedModel(model, decode=decode)


def save_sam(folder: Path) -> Path:
    """Segment Anything in small: images of 64 px, an encoder with windows and one global layer."""
    torch.manual_seed(0)
    small = {"hidden_size": 16, "image_size": 64, "patch_size": 8}
    config = SamConfig(
        vision_config={
            **small,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "window_size": 4,
            "global_attn_indexes": [1],
            "num_pos_feats": 8,
            "mlp_dim": 32,
        },
        prompt_encoder_config={**small, "mask_input_channels": 4},
        mask_decoder_config=_MASK_DECODER,
    )
    SamModel(config).save_pretrained(folder)
    image_processor = SamImageProcessor(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 32},
        mask_pad_size={"height": 32, "width": 32},
    )
    SamProcessor(image_processor).save_pretrained(folder)
    return folder


def save_sam2(folder: Path) -> Path:
    """SAM 2 in small: images of 64 px, four stages of Hiera."""
    torch.manual_seed(0)
    config = Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 8,
                "num_attention_heads": 1,
                "image_size": [64, 64],
                "window_positional_embedding_background_size": [4, 4],
                "blocks_per_stage": [1, 2, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [4, 2, 4, 2],
                "global_attention_blocks": [4],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 16,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config=_MASK_DECODER,
    )
    Sam2Model(config).save_pretrained(folder)
    processor = Sam2ImageProcessor(size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16})
    Sam2Processor(processor).save_pretrained(folder)
    return folder
