"""The training loop, its devices, learning rate and log."""
