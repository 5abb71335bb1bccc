"""How the bundled miniature text-to-image model is made: from drawings with alpha to weights. Not part of the wheel."""
