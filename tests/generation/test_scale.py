"""Settings of shares and workers that do not fit together."""

from __future__ import annotations

from typing import Any

import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.scale import Scale


class TestScale:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"gpus": 1}, "gpus and resources are those of workers; give a number of workers, or an address"),
            ({"workers": 0}, "workers=0 must be at least 1"),
            ({"workers": 1_000_000}, "workers=1000000 must be at most 4096"),
            ({"workers": 1, "gpus": 1.5}, "gpus=1.5 of a worker must be a whole number, or a fraction below 1"),
            ({"workers": 1, "gpus": float("nan")}, "gpus=nan"),
            ({"workers": 1, "resources": {"tpu": -1}}, "tpu=-1 of a worker"),
        ],
    )
    def test_invalid_settings_are_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(MosaicFusionError, match=message):
            Scale(**options)
