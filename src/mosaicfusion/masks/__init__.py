"""Instance masks from cross-attention sums, one for each region. Needs numpy, scipy, OpenCV and pycocotools; never torch.

Every function is pure: no global state, no randomness, the same result in any thread.
"""
