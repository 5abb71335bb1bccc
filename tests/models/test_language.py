"""A language model in transformers' format, with random weights: it loads, and writes lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mosaicfusion.categories import Category
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.language import load_language_model

CUP = Category(1, "cup", definition="small open container")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("language")
    words = ["<end>", "<unknown>", *(f"word{k}" for k in range(500))]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unknown>").save_pretrained(path)
    config = GPT2Config(
        vocab_size=len(words), n_positions=256, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(path)
    return path


def test_the_same_seed_gives_the_same_lines_and_asking_again_others(folder: Path) -> None:
    model, again = (load_language_model(str(folder), "cpu", seed=1) for _ in range(2))
    first = model(CUP, 2)
    assert first == again(CUP, 2)
    assert all(line.strip() for line in first)
    assert first != model(CUP, 2)


def test_what_cannot_be_loaded_is_said_in_a_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match="there is no language model 'nothing'; give a folder"):
        load_language_model("nothing")
    with pytest.raises(MosaicFusionError, match="cannot load the language model of"):
        load_language_model(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    with pytest.raises(MosaicFusionError, match="cannot load the language model of"):
        load_language_model(str(tmp_path))
