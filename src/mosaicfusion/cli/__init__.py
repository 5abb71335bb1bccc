"""The command line: parse, call, print. Everything heavy is imported inside the command that needs it."""

# Importing a module registers its commands.
from mosaicfusion.cli import (  # noqa: F401
    dataset,
    detectors,
    diversity,
    embed_text,
    experiment,
    explain,
    export,
    generate,
    models,
    paste,
    predict,
    prompts,
    quality,
    report,
    review,
    settings,
    status,
)
from mosaicfusion.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the ``mosaicfusion`` command."""
    app()
