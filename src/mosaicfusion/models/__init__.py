"""Model weights: found, checked and loaded; CLIP, backbones and segmenters."""
