"""Runs, data sets and tiny models that several tests share."""
