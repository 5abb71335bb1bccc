"""From cross-attention sums to one instance mask a region. Needs numpy, scipy, OpenCV and pycocotools; never torch.

Every function is pure: no global state, no randomness, the same result in any thread.
"""
