"""The Typer application, and how errors reach the user."""

from __future__ import annotations

import errno
import logging
import traceback
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mosaicfusion.cli.speech import in_file, on_screen
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.progress import PRINTED

_log = logging.getLogger(__name__)

# In the order of use; commands that are not listed come last.
_ORDER = (
    *(
        "generate",
        "status",
        "retry",
        "report",
        "review",
        "studio",
        "explain",
        "categories",
        "prompts",
        "models",
        "settings",
    ),
    *("judge", "refine", "semantics", "diversity"),
    *("merge", "paste", "validate", "stats", "export"),
    *("train", "evaluate", "predict", "embed-text", "experiment"),
)


class _Group(TyperGroup):
    """Prints errors that the user can fix without a traceback; lists commands in the order of use."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _program_first([_with_home(arg) for arg in args]))

    def invoke(self, ctx: Any) -> Any:
        with on_screen(ctx.params["quiet"], ctx.params["verbose"]), ExitStack() as stack:
            try:
                if ctx.params["quiet"] and ctx.params["verbose"]:
                    raise MosaicFusionError("give --quiet or --verbose, not both")
                stack.enter_context(in_file(ctx.params["log"]))
                return super().invoke(ctx)
            except (typer.Exit, typer.Abort):
                raise
            except KeyboardInterrupt:
                _log.info("stopped; everything written is complete: run the same command again to continue")
                raise typer.Exit(130) from None
            except Exception as error:
                if hasattr(
                    error, "format_message"
                ):  # an error of Click, which prints it; Typer may have a Click of its own
                    _log.error(error.format_message(), extra=PRINTED)
                    raise
                if isinstance(error, OSError) and error.errno == errno.EPIPE:
                    raise  # Click ends quietly for a closed pipe
                raise _report(error) from None


def _report(error: Exception) -> typer.Exit:
    """Say an error in one line; returns the exit."""
    if isinstance(error, MosaicFusionError):
        _log.error(str(error))
        return typer.Exit(2)
    # A name that is too long, no rights, a full disk.
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        _log.error(f"cannot use {error.filename!s:.300}: {error.strerror}")
        return typer.Exit(2)
    where = traceback.extract_tb(error.__traceback__)[-1]
    _log.error(
        f"unforeseen {type(error).__name__}: {first_line(error)} ({Path(where.filename).name}, line {where.lineno}); "
        "please report it with what --verbose shows",
        exc_info=error,
    )
    return typer.Exit(1)


def _program_first(args: list[str]) -> list[str]:
    """The arguments with the program's own options, which may come anywhere, before the command."""
    first: list[str] = []
    others: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            return [*first, *others, arg, *rest]
        if arg in ("--quiet", "--verbose") or arg.startswith("--log="):
            first.append(arg)
        elif arg == "--log":
            first += [arg, *islice(rest, 1)]
        else:
            others.append(arg)
    return first if first[-1:] == ["--log"] else first + others  # without a file, Click says so


def _with_home(arg: str) -> str:
    """``~/x`` and ``--out=~/x`` with the home folder, which shells leave as they are in the second and in quotes."""
    option, equals, value = arg.partition("=") if arg.startswith("--") else ("", "", arg)
    return f"{option}{equals}{Path(value).expanduser()}" if value == "~" or value.startswith("~/") else arg


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Generate data sets for instance segmentation from category names: images, masks, LVIS json.",
)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"mosaicfusion {version('mosaicfusion')}")
        raise typer.Exit


@app.callback()
def _main(
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing but warnings, errors and results: no progress, no notes.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also say what is loaded, how long it takes, and where an error occurred.")
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option("--log", help="Append what is said, with times, to this file."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the program itself, before or after the command."""
