"""The folder of a model in diffusers format, checked before anything heavy is imported."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mosaicfusion.errors import MosaicFusionError

_VOCABULARIES = ({"tokenizer.json"}, {"vocab.json", "merges.txt"})
_SENTENCEPIECE = "spiece.model"  # the only vocabulary of some T5 tokenizers; a package of its own reads it
_UNUSED = {"safety_checker", "feature_extractor", "image_encoder"}  # parts of a pipeline that serve other uses
# model.safetensors, diffusion_pytorch_model.fp16.safetensors, and parts of both, such as model.fp16-00001-of-00002.safetensors.
_SHARD = r"(?:-\d{5}-of-\d{5})?"
_WEIGHTS = re.compile(rf"(?:model|diffusion_pytorch_model){_SHARD}(?:\.(?P<variant>[A-Za-z]\w*))?{_SHARD}\.safetensors")
_BASE_SIZES, _REFINER_SIZES = 6, 5  # numbers that SDXL and its refiner are conditioned on: sizes and crop, or a score


def pipeline_class(folder: Path) -> str:
    """The class of the diffusers pipeline that a model folder was saved from; raises :class:`MosaicFusionError`."""
    return str(read_json(folder / "model_index.json").get("_class_name"))


def scheduler_config(folder: Path) -> dict[str, Any]:
    """The settings of the scheduler that a model was saved with; raises :class:`MosaicFusionError`."""
    return read_json(folder / "scheduler" / "scheduler_config.json")


def denoiser_config(folder: Path) -> dict[str, Any]:
    """The settings of a model's U-Net or transformer; raises :class:`MosaicFusionError`."""
    return read_json(folder / ("transformer" if (folder / "transformer").is_dir() else "unet") / "config.json")


def takes_guidance(folder: Path) -> bool:
    """True if the model takes the guidance scale as an input, and so needs no unconditional half."""
    config = denoiser_config(folder)
    return bool(config.get("guidance_embeds") or config.get("time_cond_proj_dim"))


def check_model_folder(folder: Path, variant: str | None = None) -> None:
    """Raise :class:`MosaicFusionError` that names the first part that is missing, unsafe to load or not of such a model.

    ``variant``: see :func:`find_variant`.
    """
    parts = _parts(folder)
    for part, kind in parts.items():
        if not (folder / part).is_dir():
            raise MosaicFusionError(f"{folder} has no {part}/; download or copy the whole model")
        if "Tokenizer" in kind:
            _check_tokenizer(folder / part)
    find_variant(folder, variant)
    encoders = [part for part in parts if part.startswith("text_encoder")]
    if not encoders and {"unet", "transformer"} & parts.keys():
        raise MosaicFusionError(f"{folder} has no text encoder; a whole text-to-image model is needed")
    if {"unet", "vae"} <= parts.keys():
        _check_channels(folder)
        _check_conditions(folder, encoders)


def find_variant(folder: Path, variant: str | None = None) -> str | None:
    """The variant of the weights to load: ``fp16`` for ``model.fp16.safetensors``, ``None`` for ``model.safetensors``.

    That is ``variant`` if given, which some parts may lack. Otherwise it is ``None``, or the only one that all parts without
    plain weights have. Raises :class:`MosaicFusionError` if there is none, and for a part without any safetensors.
    """
    found = {part: _variants(folder / part) for part, kind in _parts(folder).items() if _has_weights(kind)}
    named = sorted({name for names in found.values() for name in names if name})
    if variant is None:
        plain = all(None in names for names in found.values())
        common = [name for name in named if all(names & {None, name} for names in found.values())]
        if plain or len(common) == 1:
            return None if plain else common[0]
    elif variant in named and all(names & {None, variant} for names in found.values()):
        return variant
    choices = f"it has {', '.join(named)}: give one with --variant" if named else "it has none: leave --variant out"
    raise MosaicFusionError(f"{folder} has no complete weights of variant {variant or '(none)'}; {choices}")


def _parts(folder: Path) -> dict[str, str]:
    """The parts of the pipeline that are used, with their classes."""
    index = read_json(folder / "model_index.json")
    origins = {part: origin for part, origin in index.items() if isinstance(origin, list) and any(origin)}
    return {part: str(origin[-1]) for part, origin in sorted(origins.items()) if part not in _UNUSED}


def _has_weights(kind: str) -> bool:
    return "Tokenizer" not in kind and "Scheduler" not in kind


def _check_tokenizer(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    if _SENTENCEPIECE in names and find_spec("sentencepiece") is None and "tokenizer.json" not in names:
        raise MosaicFusionError(
            f"{folder} has only {_SENTENCEPIECE}, which the package sentencepiece reads: pip install sentencepiece"
        )
    if not any(files <= names for files in (*_VOCABULARIES, {_SENTENCEPIECE})):
        # transformers would make an empty tokenizer, for which all prompts are the same
        raise MosaicFusionError(
            f"{folder} has neither tokenizer.json nor vocab.json with merges.txt; download or copy the whole model"
        )


def _variants(folder: Path) -> set[str | None]:
    """The variants of a part's weights; raises :class:`MosaicFusionError` if there are none, or links that lead nowhere."""
    read_json(folder / "config.json")
    matches = {path: match for path in folder.iterdir() if (match := _WEIGHTS.fullmatch(path.name))}
    for path in matches:
        if not path.is_file():
            raise MosaicFusionError(f"{path} is a link to a file that does not exist; download or copy the model again")
    if matches:
        return {match["variant"] for match in matches.values()}
    pickles = [path for pattern in ("*.bin", "*.ckpt", "*.pt") for path in folder.glob(pattern)]
    content = f"only {pickles[0].name}, a pickle, which can run code when it is opened" if pickles else "no weights"
    raise MosaicFusionError(
        f"{folder} holds {content}; safetensors are needed (save_pretrained(..., safe_serialization=True))"
    )


def _check_channels(folder: Path) -> None:
    """Refuse a U-Net that reads or predicts more than the latents of an image."""
    unet, vae = (read_json(folder / part / "config.json") for part in ("unet", "vae"))
    latents = vae.get("latent_channels", 4)
    read, predicted = unet.get("in_channels", 4), unet.get("out_channels", 4)
    if (read, predicted) != (latents, latents):
        raise MosaicFusionError(
            f"{folder} is no text-to-image model: its U-Net reads {read} channels and predicts {predicted}, an image has "
            f"{latents} (inpainting, depth and editing models read more); give the model that it was made from"
        )


def _check_conditions(folder: Path, encoders: list[str]) -> None:
    """Refuse a U-Net that needs other conditions than the text encoders give, such as that of SDXL's refiner."""
    unet = read_json(folder / "unet" / "config.json")
    encoded = [read_json(folder / part / "config.json") for part in encoders]
    widths = [width for config in encoded if isinstance(width := config.get("hidden_size"), int)]
    needed = unet.get("encoder_hid_dim") or unet.get("cross_attention_dim", 1280)
    if isinstance(needed, int) and len(widths) == len(encoded) and sum(widths) != needed:
        raise MosaicFusionError(
            f"{folder} has parts of different models: its U-Net reads text of {needed} channels, {' and '.join(encoders)} "
            f"give {sum(widths)}; copy the whole model again"
        )
    if unet.get("addition_embed_type") != "text_time":
        return
    pooled, size = encoded[-1].get("projection_dim"), unet.get("addition_time_embed_dim")
    conditions = unet.get("projection_class_embeddings_input_dim")
    if isinstance(pooled, int) and isinstance(size, int) and conditions != pooled + _BASE_SIZES * size:
        refiner = " (it is that of SDXL's refiner)" if conditions == pooled + _REFINER_SIZES * size else ""
        raise MosaicFusionError(
            f"{folder} cannot generate from text alone: its U-Net reads {conditions} conditions besides the prompt instead of "
            f"{pooled + _BASE_SIZES * size}{refiner}; give the base model"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a model folder; raises :class:`MosaicFusionError` for anything else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise MosaicFusionError(
            f"{path.parent} has no {path.name}; a whole model in diffusers format is needed"
        ) from None
    except (ValueError, RecursionError) as error:
        raise MosaicFusionError(f"{path} is not JSON ({error}); download or copy the model again") from None
    if not isinstance(values, dict):
        raise MosaicFusionError(f"{path} is not a JSON object; download or copy the model again")
    return values
