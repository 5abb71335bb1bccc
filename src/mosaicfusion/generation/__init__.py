"""Generation of a run: presets, batches, engines, events, and the data set at the end."""
