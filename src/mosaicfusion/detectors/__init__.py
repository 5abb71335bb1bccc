"""Detectors: training, evaluation and prediction with the data sets this package makes."""
