"""Where a model's files lie, and whether they are whole: checked before anything heavy is imported."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from mosaicfusion.config import BUNDLED_MODEL
from mosaicfusion.errors import MosaicFusionError, first_line

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
_VOCABULARIES = ({"tokenizer.json"}, {"vocab.json", "merges.txt"})
_PARTS_WITH_WEIGHTS = ("unet", "vae", "text_encoder", "text_encoder_2")


def find_model(model: str, revision: str | None = None) -> Path:
    """The local folder of a model in diffusers format: ``mini``, a folder, or a hub id (downloaded, safetensors only).

    Raises :class:`MosaicFusionError` when there is no such model, a part is missing or its weights are pickles.
    """
    if model == BUNDLED_MODEL:
        folder = BUNDLED_FOLDER / "weights"
    elif _is_there(Path(model)):
        folder = Path(model)
        if not folder.is_dir():
            raise MosaicFusionError(
                f"{model} is a file; a model is a folder in diffusers format (convert a checkpoint with "
                "StableDiffusionPipeline.from_single_file(...).save_pretrained(...))"
            )
    elif re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", model):
        folder = _download(model, revision)
    else:
        raise MosaicFusionError(
            f"there is no model folder {model}; give '{BUNDLED_MODEL}', a folder or a hub id as owner/name"
        )
    check_model_folder(folder)
    return folder


def is_sdxl(model: str, revision: str | None = None) -> bool:
    """Whether a folder or a hub id says that it is SDXL; ``False`` for what cannot be read (it is refused later on)."""
    from huggingface_hub import hf_hub_download

    try:
        path = Path(model) / "model_index.json"
        if not Path(model).is_dir():
            path = Path(hf_hub_download(model, "model_index.json", revision=revision))
        return _read_json(path).get("_class_name") == "StableDiffusionXLPipeline"
    except (OSError, ValueError, MosaicFusionError):
        return False


def check_model_folder(folder: Path) -> dict[str, Any]:
    """Return the folder's ``model_index.json``; raise :class:`MosaicFusionError` naming what is missing or unsafe."""
    index = _read_json(folder / "model_index.json")
    name = index.get("_class_name")
    if name not in PIPELINES:
        raise MosaicFusionError(f"{folder} holds a {name}; supported: {', '.join(PIPELINES)}")
    parts = [part for part, origin in index.items() if isinstance(origin, list) and any(origin)]
    needed = {"unet", "vae", "text_encoder", "tokenizer", "scheduler"}
    for part in sorted(needed | set(parts) - {"safety_checker", "feature_extractor", "image_encoder"}):
        if not (folder / part).is_dir():
            raise MosaicFusionError(f"{folder} has no {part}/; download or copy the whole model")
        held = {path.name for path in (folder / part).iterdir()}
        if part.startswith("tokenizer") and not any(files <= held for files in _VOCABULARIES):
            # transformers would make an empty tokenizer, to which all prompts are the same
            raise MosaicFusionError(
                f"{folder / part} has neither tokenizer.json nor vocab.json with merges.txt; download or copy the whole model"
            )
        if part not in _PARTS_WITH_WEIGHTS:
            continue
        _read_json(folder / part / "config.json")
        if not list((folder / part).glob("*.safetensors")):
            pickles = [*(folder / part).glob("*.bin"), *(folder / part).glob("*.ckpt"), *(folder / part).glob("*.pt")]
            found = (
                f"only {pickles[0].name}, a pickle, which can run code when it is opened" if pickles else "no weights"
            )
            raise MosaicFusionError(
                f"{folder / part} holds {found}; safetensors are needed (save_pretrained(..., safe_serialization=True))"
            )
    return index


def digest(folder: Path) -> str:
    """16 hex digits over the model's files. Of large weights four stretches of 1 MiB are read, so an edit may escape."""
    sha = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors", ".txt")):
        size = path.stat().st_size
        sha.update(f"{path.relative_to(folder).as_posix()}:{size}:".encode())
        with path.open("rb") as file:
            for start in (0, size // 3, 2 * size // 3, size - 2**20):
                file.seek(max(0, start))
                sha.update(file.read(2**20))
    return sha.hexdigest()[:16]


def known_categories_file(model: str) -> Path | None:
    """The json of the categories a closed-vocabulary model was trained with; ``None`` for a model that takes any name."""
    folder = BUNDLED_FOLDER if model == BUNDLED_MODEL else Path(model)
    path = folder / "categories.json"
    return path if _is_there(path) else None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than the file system takes
        return False


def _download(model: str, revision: str | None) -> Path:
    from diffusers import DiffusionPipeline
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(DiffusionPipeline.download(model, revision=revision, use_safetensors=True))
    except (OSError, HfHubHTTPError, ValueError) as error:
        raise MosaicFusionError(
            f"cannot get {model} from the model hub; check the name and the network, or give a local folder\n"
            f"  (the hub client says: {first_line(error, 160)})"
        ) from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise MosaicFusionError(
            f"{path.parent} has no {path.name}; a whole model in diffusers format is needed"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MosaicFusionError(f"{path} is not JSON ({error}); download or copy the model again") from None
    if not isinstance(values, dict):
        raise MosaicFusionError(f"{path} is not a JSON object; download or copy the model again")
    return values
