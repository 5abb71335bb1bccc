"""How the bundled text-to-image model, its CLIP and MiniLVIS are made, from drawings with alpha. Not part of the wheel."""
