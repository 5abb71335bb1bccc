"""Detectors and their parts: backbones, heads, classifiers and losses."""
