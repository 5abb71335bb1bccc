"""Fingerprints of data, and differences between settings."""

from __future__ import annotations

from mosaicfusion.generation.presets import make_config
from mosaicfusion.identity import differences, fingerprint


class TestIdentity:
    def test_fingerprint_sees_values_not_order(self) -> None:
        assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
        assert fingerprint({"a": 1}) != fingerprint({"a": 2})
        assert len(fingerprint("é")) == 16

    def test_differences_name_the_leaf(self) -> None:
        old = make_config("paper").model_dump(mode="json")
        new = make_config("paper", {"sampling": {"steps": 25}, "seed": 1}).model_dump(mode="json")
        assert differences(old, new) == ["sampling.steps: 50 -> 25", "seed: 0 -> 1"]
        assert differences(old, old) == []
        assert differences({"a": {"b": 1}}, {}) == ["a: {'b': 1} -> None"]
