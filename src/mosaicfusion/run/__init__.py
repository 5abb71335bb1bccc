"""A run: the folder it lives in, and everything that draws into it, reads and compiles it."""
