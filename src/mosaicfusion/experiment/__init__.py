"""Experiments: generate and merge data, train and evaluate detectors, and compare the results in a table."""
