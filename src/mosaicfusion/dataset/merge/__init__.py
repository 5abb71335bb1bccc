"""Merging synthetic data sets into a real one."""

from mosaicfusion.dataset.merge.merge import Added, MergeSummary, merge

__all__ = ["Added", "MergeSummary", "merge"]
