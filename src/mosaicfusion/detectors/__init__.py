"""Detectors: recipes, data, models, training and evaluation."""
