"""A language model that writes descriptions of pictures, through transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mosaicfusion.categories import Category
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.models.hub import fetch, is_folder, is_hub_id
from mosaicfusion.profiling import stage

_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_TOKENS = 40  # new tokens for each line


class LanguageModel:
    """A causal language model; made by :func:`load_language_model`."""

    def __init__(self, model: Any, tokenizer: Any, seed: int) -> None:
        self._model, self._tokenizer, self._seed = model, tokenizer, seed

    def __call__(self, category: Category, count: int) -> list[str]:
        """About ``count`` lines that describe photos of a category; they may hold anything."""
        import torch

        request = _request(category, count)
        if getattr(self._tokenizer, "chat_template", None):
            message = [{"role": "user", "content": request}]
            request = self._tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        tokens = self._tokenizer(request, return_tensors="pt").to(self._model.device)
        torch.manual_seed(self._seed)
        self._seed += 1  # another answer for the same question
        with torch.inference_mode():
            written = self._model.generate(
                **tokens,
                do_sample=True,
                temperature=0.9,
                top_p=0.95,
                max_new_tokens=_TOKENS * count,
                pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
            )
        answer = self._tokenizer.decode(written[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True)
        return [line for line in answer.splitlines() if line.strip()]


@stage("load the language model", log=True)
def load_language_model(name: str, device: str = "auto", seed: int = 0) -> LanguageModel:
    """Load a folder in transformers' format, or a hub id; safetensors only.

    Raises :class:`MosaicFusionError` if it does not exist or cannot be loaded.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mosaicfusion.models.device import resolve_device

    target = resolve_device(device)
    if is_folder(Path(name)):
        folder = Path(name)
    elif is_hub_id(name):
        folder = fetch(name, _FILES)
    else:
        raise MosaicFusionError(
            f"there is no language model {name!r:.120}; give a folder, or a hub id such as owner/name"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, dtype="auto").to(target).eval()
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise MosaicFusionError(f"cannot load the language model of {folder}: {first_line(error)}") from None
    return LanguageModel(model, tokenizer, seed)


def _request(category: Category, count: int) -> str:
    meaning = category.definition_or_qualifier
    about = f"{category.display_name} ({meaning})" if meaning else category.display_name
    return (
        f"Write {count} short descriptions of photos that show exactly one {about}, one per line, without numbers. Each has the "
        f'words "{category.display_name}" and at most 20 words. Vary the kind of object, its state, the viewpoint, the light and '
        "the place.\n"
    )
