"""Random transformers of a few thousand weights in the ordinary diffusers format, as :mod:`support.tiny_models` has U-Nets."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from support.tiny_models import make_autoencoder, make_text_config, make_tokenizer

HEADS, HEAD_WIDTH = 2, 8
WIDTH = HEADS * HEAD_WIDTH


def save_pixart(folder: Path, sigma: bool = False) -> Path:
    """PixArt in small: patches of 2 x 2, two layers of cross-attention; alpha is conditioned on the size, Sigma is not."""
    torch.manual_seed(0)
    transformer = PixArtTransformer2DModel(
        sample_size=128,  # where the pipeline of alpha gives sizes
        num_layers=2,
        patch_size=2,
        attention_head_dim=HEAD_WIDTH,
        num_attention_heads=3,  # the conditions are of a third of the width
        in_channels=4,
        out_channels=8,
        cross_attention_dim=3 * HEAD_WIDTH,
        caption_channels=32,
        norm_eps=1e-6,
        use_additional_conditions=not sigma,
    )
    stir(transformer)
    pipeline = (PixArtSigmaPipeline if sigma else PixArtAlphaPipeline)(
        tokenizer=make_t5_tokenizer(),
        text_encoder=make_t5(32),
        vae=make_autoencoder(),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(beta_schedule="linear"),
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def save_sana(folder: Path) -> Path:
    """Sana in small: an autoencoder without a distribution, and the text of a language model."""
    torch.manual_seed(0)
    transformer = SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=HEAD_WIDTH,
        num_attention_heads=HEADS,
        num_cross_attention_heads=HEADS,
        cross_attention_head_dim=HEAD_WIDTH,
        cross_attention_dim=WIDTH,
        caption_channels=8,
        sample_size=32,
    )
    stir(transformer)
    tokenizer = make_gemma_tokenizer()
    text = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=4096,
    )
    blocks = ("ResBlock", "ResBlock", "ResBlock")
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=blocks,
        decoder_block_types=blocks,
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        encoder_layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1),
        encoder_qkv_multiscales=((), (), ()),
        decoder_qkv_multiscales=((), (), ()),
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    pipeline = SanaPipeline(
        tokenizer=tokenizer, text_encoder=Gemma2Model(text), vae=vae, transformer=transformer, scheduler=scheduler
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def save_sd3(folder: Path, t5: bool = True) -> Path:
    """Stable Diffusion 3.5 in small: three text encoders, two joint layers, one of which also attends the image alone."""
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=HEAD_WIDTH,
        num_attention_heads=HEADS,
        caption_projection_dim=WIDTH,
        joint_attention_dim=64,
        pooled_projection_dim=64,
        pos_embed_max_size=48,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    stir(transformer)
    clip = [CLIPTextModelWithProjection(make_text_config(make_tokenizer(), 32)) for _ in range(2)]
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=make_flow_autoencoder(),
        text_encoder=clip[0],
        text_encoder_2=clip[1],
        text_encoder_3=make_t5(64) if t5 else None,
        tokenizer=make_tokenizer(),
        tokenizer_2=make_tokenizer(),
        tokenizer_3=make_t5_tokenizer() if t5 else None,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def save_flux(folder: Path, guidance_embeds: bool = True) -> Path:
    """FLUX.1 in small: a layer of two streams and one of a single one; dev embeds the guidance and shifts by size."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=HEADS,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance_embeds,
    )
    stir(transformer)
    pipeline = FluxPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0 if guidance_embeds else 1.0, use_dynamic_shifting=guidance_embeds
        ),
        vae=make_flow_autoencoder(),
        text_encoder=CLIPTextModel(make_text_config(make_tokenizer(), 32)),
        tokenizer=make_tokenizer(),
        text_encoder_2=make_t5(32),
        tokenizer_2=make_t5_tokenizer(),
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def stir(model: torch.nn.Module) -> None:
    """Give every weight a random value: new transformers predict zeros, and read neither text nor time."""
    for name, weight in model.named_parameters():
        with torch.no_grad():
            weight.copy_(0.2 * torch.randn(weight.shape) + (1.0 if "norm" in name and name.endswith("weight") else 0.0))


def make_t5_tokenizer() -> T5Tokenizer:
    """Letters, and a few words: a name is several tokens."""
    words = ["▁a", "▁photo", "▁of", "▁single", "ar", "an"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -2.0)]
    vocabulary += [(letter, -3.0) for letter in string.ascii_letters + string.digits + ",.-"]
    return T5Tokenizer(vocab=vocabulary + [(word, -1.0) for word in words], extra_ids=0, model_max_length=512)


def make_gemma_tokenizer() -> GemmaTokenizer:
    """Letters, and one word with its space."""
    letters = [*string.printable, "▁"]
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *letters, "▁o", "▁of"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return GemmaTokenizer(vocab=vocabulary, merges=[("▁", "o"), ("▁o", "f")], model_max_length=4096)


def make_t5(width: int) -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(make_t5_tokenizer()), d_model=width, d_kv=8, d_ff=2 * width, num_layers=1, num_heads=2
    )
    return T5EncoderModel(config)


def make_flow_autoencoder() -> AutoencoderKL:
    """One that shifts its latents, as those of flow matching models do."""
    settings: dict[str, Any] = {"shift_factor": 0.1, "scaling_factor": 1.5}
    return make_autoencoder(**settings)
