"""Finding and checking the files of a model, before anything heavy is imported."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mosaicfusion.config import BUNDLED_MODEL
from mosaicfusion.errors import MosaicFusionError, first_line

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
_VOCABULARIES = ({"tokenizer.json"}, {"vocab.json", "merges.txt"})
_UNUSED = {"safety_checker", "feature_extractor", "image_encoder"}  # parts of a pipeline that serve other uses


def find_model(model: str, revision: str | None = None) -> Path:
    """Find the local folder of a model in diffusers format: ``mini``, a folder, or a hub id (downloaded, safetensors only).

    Raises :class:`MosaicFusionError` if the model does not exist, a part is missing or its weights are pickles.
    """
    if model == BUNDLED_MODEL:
        folder = BUNDLED_FOLDER / "weights"
    elif exists(Path(model)):
        folder = Path(model)
        if not folder.is_dir():
            raise MosaicFusionError(
                f"{model} is a file; a model is a folder in diffusers format (convert a checkpoint with "
                "StableDiffusionPipeline.from_single_file(...).save_pretrained(...))"
            )
    elif is_hub_id(model):
        folder = _fetch_pipeline(model, revision)
    else:
        raise MosaicFusionError(
            f"there is no model folder {model}; give '{BUNDLED_MODEL}', a folder or a hub id such as owner/name"
        )
    check_model_folder(folder)
    return folder


def pipeline_class(folder: Path) -> str:
    """The class of the diffusers pipeline that a model folder was saved from; raises :class:`MosaicFusionError`."""
    return str(_read_json(folder / "model_index.json").get("_class_name"))


def check_model_folder(folder: Path) -> None:
    """Raise :class:`MosaicFusionError` that names the first part that is missing or unsafe to load."""
    index = _read_json(folder / "model_index.json")
    parts = {part: origin for part, origin in index.items() if isinstance(origin, list) and any(origin)}
    for part, origin in sorted(parts.items()):
        if part in _UNUSED:
            continue
        if not (folder / part).is_dir():
            raise MosaicFusionError(f"{folder} has no {part}/; download or copy the whole model")
        kind = str(origin[-1])
        if "Tokenizer" in kind:
            _check_tokenizer(folder / part)
        elif "Scheduler" not in kind:
            _check_weights(folder / part)


def _check_tokenizer(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    if not any(files <= names for files in _VOCABULARIES):
        # transformers would make an empty tokenizer, for which all prompts are the same
        raise MosaicFusionError(
            f"{folder} has neither tokenizer.json nor vocab.json with merges.txt; download or copy the whole model"
        )


def _check_weights(folder: Path) -> None:
    _read_json(folder / "config.json")
    if list(folder.glob("*.safetensors")):
        return
    pickles = [path for pattern in ("*.bin", "*.ckpt", "*.pt") for path in folder.glob(pattern)]
    content = f"only {pickles[0].name}, a pickle, which can run code when it is opened" if pickles else "no weights"
    raise MosaicFusionError(
        f"{folder} holds {content}; safetensors are needed (save_pretrained(..., safe_serialization=True))"
    )


def digest(folder: Path) -> str:
    """16 hex digits over the model's files. Of large weights, four pieces of 1 MiB are read, so an edit may go unnoticed."""
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
    """The json with the categories of a closed-vocabulary model; ``None`` for a model that accepts any name."""
    folder = BUNDLED_FOLDER if model == BUNDLED_MODEL else Path(model)
    path = folder / "categories.json"
    return path if exists(path) else None


def is_hub_id(name: str) -> bool:
    """True for a name such as ``owner/name``."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def exists(path: Path) -> bool:
    """``path.exists()``, and False for a name that no file can have."""
    try:
        return path.exists()
    except OSError:  # a name longer than the file system takes
        return False


def fetch(hub_id: str, patterns: Sequence[str]) -> Path:
    """The local folder with the files of a hub repository that match the patterns; downloaded unless they are cached.

    Raises :class:`MosaicFusionError` if the hub does not have it or does not answer.
    """
    from huggingface_hub import snapshot_download

    return _from_hub(hub_id, lambda: snapshot_download(hub_id, allow_patterns=list(patterns)))


def _fetch_pipeline(hub_id: str, revision: str | None) -> Path:
    """Fetch the files of a diffusers pipeline, which diffusers itself selects; see :func:`fetch`."""
    from diffusers import DiffusionPipeline

    return _from_hub(hub_id, lambda: DiffusionPipeline.download(hub_id, revision=revision, use_safetensors=True))


def _from_hub(hub_id: str, download: Callable[[], str]) -> Path:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(download())
    except (OSError, HfHubHTTPError, ValueError) as error:
        raise MosaicFusionError(
            f"cannot get {hub_id} from the model hub; check the name and the network, or give a local folder\n"
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
