"""Data sets: reading, compiling, merging, validating and exporting LVIS and COCO jsons and run folders."""
