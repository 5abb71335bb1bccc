"""Stage 2a, only for a model from scratch: a small tokenizer in CLIP's format, with one token per category word.

    python -m miniature.tokenizer --out build/mini/tokenizer

A new tokenizer numbers words differently: weights trained with another one no longer fit.
"""

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from miniature.backgrounds import render_background
from miniature.captions import caption
from miniature.vocabulary import load_vocabulary

MAX_TOKENS = 32
# CLIP's own splitting rule: special tokens, contractions, words, single digits, runs of other signs.
SPLIT = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train_bpe(texts: Iterable[str], vocabulary_size: int = 2000) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Train a byte-pair encoding in CLIP's format; return its vocabulary and merges."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix="", unk_token="<|endoftext|>"))
    bpe.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=1,
        special_tokens=[],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    with tempfile.TemporaryDirectory() as folder:
        bpe.model.save(folder)
        lines = (Path(folder) / "merges.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#version"))
    merges = [(first, second) for first, second in pairs]
    vocabulary = dict(bpe.get_vocab())
    for token in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary.setdefault(token, len(vocabulary))
    # A word may end in any byte, so every byte needs its end-of-word form.
    for byte in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary.setdefault(byte + "</w>", len(vocabulary))
    return vocabulary, merges


def captions(names: list[str], count: int) -> Iterable[str]:
    rng = np.random.default_rng(0)
    for i in range(count):
        yield caption(rng, names[i % len(names)], render_background(rng)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/mini/tokenizer"))
    parser.add_argument("--captions", type=int, default=20_000)
    arguments = parser.parse_args()
    names = [entry.prompt_name for entry in load_vocabulary(train_only=False)]
    vocabulary, merges = train_bpe(captions(names, arguments.captions))
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)
    split = [name for name in names if len(tokenizer(name).input_ids) - 2 != len(name.split())]
    if split:
        raise SystemExit(f"words of more than one token: {split}; raise --captions")
    tokenizer.save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
