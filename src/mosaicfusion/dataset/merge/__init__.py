"""Merging synthetic data sets into a real one."""

from mosaicfusion.dataset.merge.merge import MergeSummary, merge
from mosaicfusion.dataset.merge.merger import Added

__all__ = ["Added", "MergeSummary", "merge"]
