"""A whole comparison: data is drawn and merged, detectors are trained and evaluated, a table says what it changed."""
