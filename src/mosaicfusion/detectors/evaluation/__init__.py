"""Detections of a trained detector and their average precision."""
