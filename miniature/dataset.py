"""The latent shards of a work folder, in memory."""

from pathlib import Path

import numpy as np

ARRAYS = ("latents", "categories", "backgrounds")


class LatentTable:
    """``latents``: float16 (N, C, H, W); ``categories``: int16 (N,); ``backgrounds``: N strings.

    Shards are read in the order of their names, so that sample i is the same after a restart.
    """

    def __init__(self, folder: Path, shards: int | None = None) -> None:
        files = sorted(folder.glob("shard-*.npz"))
        if not files:
            raise FileNotFoundError(f"no shard-*.npz in {folder}; run python -m miniature.latents first")
        if shards is not None and len(files) < shards:
            raise FileNotFoundError(f"{folder} holds {len(files)} shards, the checkpoint was trained on {shards}")
        files = files[:shards]
        parts: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
        for file in files:
            with np.load(file) as arrays:
                for name in ARRAYS:
                    parts[name].append(arrays[name])
        self.shards = len(files)
        self.latents = np.concatenate(parts["latents"])
        self.categories = np.concatenate(parts["categories"])
        self.backgrounds = np.concatenate(parts["backgrounds"])

    def __len__(self) -> int:
        return len(self.latents)
