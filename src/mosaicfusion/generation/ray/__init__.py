"""Generation on Ray: workers hold a model each and write their own parts, the driver deals batches and compiles."""

from mosaicfusion.generation.ray.cluster import Scale
from mosaicfusion.generation.ray.engine import on_ray

__all__ = ["Scale", "on_ray"]
