"""Stage 1: download the drawings with the npm client and unpack them.

python -m miniature.assets --work build/mini
"""

import argparse
import subprocess
import tarfile
from pathlib import Path

PACKAGES = {
    "@lobehub/fluent-emoji-3d": "1.1.0",  # MIT, 256x256 RGBA WebP, one file per code point sequence
    "unicode-emoji-json": "0.9.0",  # MIT, English names of emoji
    # The other styles of the scenes, each a json of SVG drawings by name:
    "@iconify-json/fluent-emoji-flat": "1.2.6",  # MIT
    "@iconify-json/noto": "1.2.9",  # Apache-2.0
    "@iconify-json/noto-v1": "1.2.5",  # Apache-2.0
    "@iconify-json/twemoji": "1.2.5",  # CC-BY-4.0
}


def package_folder(work: Path, name: str) -> Path:
    """Folder of an npm package's files, such as WORK/npm/lobehub-fluent-emoji-3d-1.1.0/package."""
    return work / "npm" / f"{name.lstrip('@').replace('/', '-')}-{PACKAGES[name]}" / "package"


def fetch(work: Path) -> None:
    """Download and unpack the packages that are missing; needs the npm client and a registry."""
    for name, version in PACKAGES.items():
        folder = package_folder(work, name)
        if folder.exists():
            continue
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", f"{name}@{version}"], cwd=work / "npm", check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(f"{folder.parent}.tgz") as archive:
            archive.extractall(folder.parent, filter="data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    fetch(parser.parse_args().work)


if __name__ == "__main__":
    main()
