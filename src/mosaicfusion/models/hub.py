"""Finding models: bundled, in a folder, or in a repository of the model hub, before anything heavy is imported."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mosaicfusion.config import BUNDLED_MODEL
from mosaicfusion.errors import MosaicFusionError, first_few, first_line
from mosaicfusion.models.pipeline_folder import check_model_folder

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
BUNDLED_CATEGORIES = BUNDLED_FOLDER / "categories.json"


def find_model(model: str, revision: str | None = None, variant: str | None = None) -> Path:
    """Find the local folder of a model in diffusers format: ``mini``, a folder, or a hub id (downloaded, safetensors only).

    ``revision`` and ``variant``: as :class:`mosaicfusion.config.RunConfig` describes them. Raises :class:`MosaicFusionError` if
    the model does not exist, or is refused by :func:`check_model_folder`.
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
        folder = _fetch_pipeline(model, revision, variant)
    else:
        raise MosaicFusionError(
            f"there is no model folder {model:.300}; give '{BUNDLED_MODEL}', {_folders_beside(model)}a folder or a hub id such "
            "as owner/name"
        )
    check_model_folder(folder, variant)
    return folder


def _folders_beside(model: str) -> str:
    """The folders where a model was looked for, as a part of a sentence."""
    parent = Path(model).parent
    found = (
        sorted(path.name for path in parent.iterdir() if path.is_dir()) if "/" in model and is_folder(parent) else []
    )
    return f"one of {parent}/ ({first_few(found)}), " if found else ""


def digest(folder: Path) -> str:
    """16 hex digits over the model's files. Of large weights, four pieces of 1 MiB are read, so an edit may go unnoticed.

    Raises :class:`MosaicFusionError` for a file that cannot be read; links that lead nowhere do not count.
    """
    sha = hashlib.sha256()
    try:
        for path in sorted(
            p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors", ".txt") and p.is_file()
        ):
            size = path.stat().st_size
            sha.update(f"{path.relative_to(folder).as_posix()}:{size}:".encode())
            with path.open("rb") as file:
                for start in (0, size // 3, 2 * size // 3, size - 2**20):
                    file.seek(max(0, start))
                    sha.update(file.read(2**20))
    except OSError as error:
        raise MosaicFusionError(f"cannot read the model in {folder}: {first_line(error)}") from None
    return sha.hexdigest()[:16]


def known_categories_file(model: str) -> Path | None:
    """The json with the categories of a closed-vocabulary model; ``None`` for a model that accepts any name."""
    path = BUNDLED_CATEGORIES if model == BUNDLED_MODEL else Path(model) / BUNDLED_CATEGORIES.name
    return path if exists(path) else None


def is_hub_id(name: str) -> bool:
    """True for a name such as ``owner/name``, unless there is a folder ``owner`` here: then the name is a path."""
    is_one = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None
    return is_one and not is_folder(Path(name).parent)


def exists(path: Path) -> bool:
    """``path.exists()``, and False for a name that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name longer than the file system takes, or with a null character
        return False


def is_folder(path: Path) -> bool:
    """``path.is_dir()``, and False for a name that no folder can have."""
    return exists(path) and path.is_dir()


def fetch(hub_id: str, patterns: Sequence[str]) -> Path:
    """The local folder with the files of a hub repository that match the patterns; downloaded unless they are cached.

    Raises :class:`MosaicFusionError` if the hub does not have it or does not answer.
    """
    from huggingface_hub import snapshot_download

    return _from_hub(hub_id, lambda: snapshot_download(hub_id, allow_patterns=list(patterns)))


def _fetch_pipeline(hub_id: str, revision: str | None, variant: str | None) -> Path:
    """Fetch the files of a diffusers pipeline, which diffusers itself selects; see :func:`fetch`."""
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging

    logging.set_verbosity_error()  # the error below says what its warnings do

    def download() -> str:
        return str(DiffusionPipeline.download(hub_id, revision=revision, variant=variant, use_safetensors=True))

    return _from_hub(hub_id, download)


def _from_hub(hub_id: str, download: Callable[[], str]) -> Path:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(download())
    except (OSError, HfHubHTTPError, ValueError) as error:
        raise MosaicFusionError(
            f"cannot get {hub_id} from the model hub; {hub_advice(error)}\n  (the hub client says: {first_line(error, 160)})"
        ) from None


def hub_advice(error: BaseException) -> str:
    """What to do about an error of the hub's client, or of a library that wraps one."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    errors = list(_with_causes(error))
    if any(isinstance(one, GatedRepoError) for one in errors):
        return "it is gated: accept its terms on its page, then log in (`hf auth login`, or a token in HF_TOKEN)"
    if any(isinstance(one, RepositoryNotFoundError) for one in errors):
        return "check the name; if it is private or gated: accept its terms on its page, then log in (`hf auth login`)"
    if any(isinstance(one, RevisionNotFoundError) for one in errors):
        return "it has no such branch, tag or commit: check --revision"
    if "safetensors" in str(error):
        return "its weights are no safetensors, or of a variant only: try --variant fp16"
    return "check the name and the network, or give a local folder"


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
