"""The command line: parse, call, print. Everything heavy is imported inside the command that needs it."""

# Importing a module registers its commands.
from mosaicfusion.cli import (
    dataset as dataset,
)
from mosaicfusion.cli import (
    detectors as detectors,
)
from mosaicfusion.cli import (
    diversity as diversity,
)
from mosaicfusion.cli import (
    embed_text as embed_text,
)
from mosaicfusion.cli import (
    experiment as experiment,
)
from mosaicfusion.cli import (
    export as export,
)
from mosaicfusion.cli import (
    generate as generate,
)
from mosaicfusion.cli import (
    quality as quality,
)
from mosaicfusion.cli import (
    settings as settings,
)
from mosaicfusion.cli import (
    status as status,
)
from mosaicfusion.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the ``mosaicfusion`` command."""
    app()
