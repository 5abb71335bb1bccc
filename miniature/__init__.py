"""The making of the bundled text-to-image model, its CLIP and MiniLVIS, from drawings with alpha. Not part of the wheel."""
