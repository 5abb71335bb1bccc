"""Instances of one data set pasted on the images of another (X-Paste, Zhao et al. 2023; Copy-Paste, Ghiasi et al. 2021)."""
