"""Validating and repairing LVIS and COCO jsons. A check reports its issue together with its repair."""

from mosaicfusion.dataset.validate.validate import Report, fix, validate

__all__ = ["Report", "fix", "validate"]
