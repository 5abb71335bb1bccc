"""Review: a page on which people look at the objects of a run, sort them, and say what is to stay."""
