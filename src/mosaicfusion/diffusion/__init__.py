"""Diffusion models, the mosaic sampler and the attention recorder."""
