"""MiniLVIS: a long-tailed data set of scenes with exact masks, rendered from drawings in five styles."""
