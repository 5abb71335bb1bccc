"""Training data of detectors: samples, augmentation and sampling."""
