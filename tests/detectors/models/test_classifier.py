"""Learned weights and text embeddings as classifiers."""

from __future__ import annotations

import pytest
import torch

from mosaicfusion.detectors.config import ClassifierConfig
from mosaicfusion.detectors.models.classifier import build_classifier
from mosaicfusion.errors import MosaicFusionError

TEXT = ClassifierConfig(kind="text", temperature=0.5)
EMBEDDINGS = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])


def test_linear_begins_with_few_positives_under_a_sigmoid() -> None:
    logits = build_classifier(ClassifierConfig(), 8, 5, background=False)(torch.zeros(2, 8))
    assert logits.sigmoid().flatten().tolist() == pytest.approx([0.01] * 10)
    assert build_classifier(ClassifierConfig(), 8, 5, background=True)(torch.zeros(2, 8)).shape == (2, 6)


def test_text_is_the_cosine_over_the_temperature() -> None:
    classifier = build_classifier(TEXT, 2, 3, background=False, text_embeddings=EMBEDDINGS)
    with torch.no_grad():
        classifier.project.weight.copy_(torch.eye(2))
        classifier.project.bias.zero_()
    assert classifier(torch.tensor([[10.0, 0.0]])).tolist() == [[2.0, 0.0, -2.0]]


def test_the_background_is_learned_and_the_text_is_not() -> None:
    classifier = build_classifier(TEXT, 4, 3, background=True, text_embeddings=EMBEDDINGS)
    logits = classifier(torch.randn(2, 4))
    assert logits.shape == (2, 4)
    logits.sum().backward()
    names = {name for name, parameter in classifier.named_parameters() if parameter.grad is not None}
    assert "background" in names
    assert "embeddings" not in names
    assert "embeddings" in classifier.state_dict()


def test_text_needs_one_embedding_a_class() -> None:
    with pytest.raises(MosaicFusionError, match="embed-text"):
        build_classifier(TEXT, 4, 3, background=False)
    with pytest.raises(MosaicFusionError, match=r"\(3, 2\) do not fit 5"):
        build_classifier(TEXT, 4, 5, background=False, text_embeddings=EMBEDDINGS)
