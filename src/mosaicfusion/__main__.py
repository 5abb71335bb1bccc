"""``python -m mosaicfusion``."""

from mosaicfusion.cli import main

if __name__ == "__main__":
    main()
