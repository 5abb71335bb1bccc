"""Batches at fixed places, shards of whole groups, sets of indices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.batches import Shard, missing_batches


class TestShard:
    def test_parse(self) -> None:
        assert Shard.parse(" 3/64 ") == Shard(3, 64)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("5/4", "shard 5/4: the first number goes from 1 to the second"),
            ("0/4", "shard 0/4: the first number goes from 1 to the second"),
            ("1/0", "shard 1/0: the first number goes from 1 to the second"),
            ("a/b", "shard 'a/b' is not NUMBER/COUNT, such as 3/64"),
            ("3", "is not NUMBER/COUNT"),
            ("-1/4", "is not NUMBER/COUNT"),
            ("1/4/2", "is not NUMBER/COUNT"),
            ("", "is not NUMBER/COUNT"),
            ("9" * 5000 + "/4", "is not NUMBER/COUNT"),
        ],
    )
    def test_invalid_shards_are_refused(self, text: str, message: str) -> None:
        with pytest.raises(MosaicFusionError) as caught:
            Shard.parse(text)
        assert message in str(caught.value)
        assert len(str(caught.value)) < 200

    @given(st.integers(0, 200), st.integers(1, 17), st.integers(1, 9), st.integers(1, 12))
    def test_shards_deal_the_batches_of_one_process(self, total: int, group: int, batch: int, count: int) -> None:
        shards = [missing_batches([False] * total, group, batch, Shard(k + 1, count)) for k in range(count)]
        dealt = [part for shard in shards for part in shard]
        assert sorted(dealt) == list(missing_batches([False] * total, group, batch))

    def test_more_shards_than_groups(self) -> None:
        assert list(missing_batches([False] * 20, 16, 8, Shard(2, 64))) == [[16, 17, 18, 19]]
        assert list(missing_batches([False] * 20, 16, 8, Shard(3, 64))) == []


class TestMissingBatches:
    def test_are_cut_at_groups(self) -> None:
        assert list(missing_batches([False] * 5, 2, 8)) == [[0, 1], [2, 3], [4]]
        assert list(missing_batches([True, True, False, True, False, False], 2, 8)) == [[2], [4, 5]]
        assert list(missing_batches([True, True], 16, 8)) == []

    def test_begin_at_fixed_places(self) -> None:
        assert list(missing_batches([False] * 8, 5, 2)) == [[0, 1], [2, 3], [4], [5, 6], [7]]
        assert list(missing_batches([True, True, True, False, False, False, False, False], 5, 2)) == [
            [3],
            [4],
            [5, 6],
            [7],
        ]
