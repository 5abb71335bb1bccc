"""Generation on Ray: workers hold a model each and write their own parts; the driver hands out batches and compiles."""

from mosaicfusion.generation.ray.engine import on_ray

__all__ = ["on_ray"]
