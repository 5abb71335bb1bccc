"""The Typer application, and how errors reach the user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mosaicfusion.errors import MosaicFusionError, printable

# In the order of use; commands that are not listed come last.
_ORDER = (
    *("generate", "status", "retry", "report", "explain", "categories", "settings"),
    *("judge", "refine", "semantics", "diversity"),
    *("merge", "validate", "stats", "export"),
    *("train", "evaluate", "predict", "embed-text", "experiment"),
)


class _Group(TyperGroup):
    """Prints errors that the user can fix without a traceback; lists commands in the order of use."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_with_home(arg) for arg in args])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MosaicFusionError as error:
            raise _refusal(str(error)) from None
        except (
            OSError
        ) as error:  # a name that is too long, no rights, a full disk; Click ends quietly for a closed pipe
            if error.filename is None or error.strerror is None:
                raise
            raise _refusal(f"cannot use {error.filename!s:.300}: {error.strerror}") from None
        except KeyboardInterrupt:
            typer.echo("stopped; everything written is complete: run the same command again to continue", err=True)
            raise typer.Exit(130) from None


def _refusal(text: str) -> typer.Exit:
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(printable(text), err=True)
    return typer.Exit(2)


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
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the program itself."""
