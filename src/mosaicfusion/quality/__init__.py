"""How good the masks and the images of a run are."""
