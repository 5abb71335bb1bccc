"""Benchmarks and measurements of the project; each module is run by ``python -m benchmarks.NAME``."""
