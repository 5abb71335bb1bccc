"""The command line: parse, call, print. Everything heavy is imported inside the command that needs it."""

from mosaicfusion.cli import (
    dataset,
    detectors,
    diversity,
    embed_text,
    experiment,
    export,
    quality,
    status,
)
from mosaicfusion.cli import (
    generate as drawing,
)
from mosaicfusion.cli.app import app

__all__ = [
    "app",
    "dataset",
    "detectors",
    "diversity",
    "drawing",
    "embed_text",
    "experiment",
    "export",
    "main",
    "quality",
    "status",
]


def main() -> None:
    """Entry point of the ``mosaicfusion`` command."""
    app()
