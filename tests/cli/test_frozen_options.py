"""Every command, argument and option of the command line, so that none changes by accident."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import typer

from mosaicfusion.cli import app

FILE = Path(__file__).parent / "options.txt"


def lines(command: click.Command, name: str) -> Iterator[str]:
    """``generate --seed``, one line per argument and option."""
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield f"{name} {parameter.human_readable_name}"
        elif parameter.name != "help":
            yield f"{name} {'/'.join([*parameter.opts, *parameter.secondary_opts])}"
    for inner, child in sorted(getattr(command, "commands", {}).items()):
        yield from lines(child, f"{name} {inner}".strip())


def test_options_are_those_of_the_file() -> None:
    """If a change is intended, write the new list to options.txt and say so in CHANGELOG.md."""
    listed = list(lines(typer.main.get_command(app), ""))
    assert "\n".join(listed) + "\n" == FILE.read_text(encoding="utf-8")


def test_every_command_has_help_with_examples() -> None:
    def check(command: click.Command, name: str) -> None:
        children = getattr(command, "commands", {})
        for inner, child in children.items():
            check(child, f"{name} {inner}".strip())
        if not children:
            assert command.help, name
            assert "xample" in (command.epilog or ""), name

    check(typer.main.get_command(app), "")
