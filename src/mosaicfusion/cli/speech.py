"""What the program says while it works: errors, warnings and notes, on the screen and in the file of ``--log``.

All of it goes through the logger ``mosaicfusion``, to which the packages below write debug records. Results go to the standard
output, and only ``--log`` makes records of them too.
"""

from __future__ import annotations

import logging
import shlex
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO, cast

import typer
from rich.text import Text

from mosaicfusion.errors import MosaicFusionError, printable
from mosaicfusion.progress import PRINTED

_LOGGER = logging.getLogger("mosaicfusion")
_COLOURS = {logging.WARNING: "yellow", logging.ERROR: "red"}


def note(text: str) -> None:
    """Say what the user may want to know; ``--quiet`` hides it."""
    _LOGGER.info(f"note: {text}")


def warn(text: str) -> None:
    """Say what the user should look at."""
    _LOGGER.warning(text)


def is_quiet() -> bool:
    """True if notes are hidden."""
    return any(isinstance(handler, _Screen) and handler.level > logging.INFO for handler in _LOGGER.handlers)


class _Screen(logging.Handler):
    """The standard error. Debug records come with their time; a traceback is shown at the level of debug records only."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "printed", False):
            return
        if record.levelno in _COLOURS:
            typer.secho(f"{record.levelname.lower()}: ", fg=_COLOURS[record.levelno], bold=True, err=True, nl=False)
        when = (
            f"{time.strftime('%H:%M:%S', time.localtime(record.created))} " if record.levelno == logging.DEBUG else ""
        )
        typer.echo(when + printable(record.getMessage()), err=True)
        if record.exc_info and self.level == logging.DEBUG:
            typer.echo(printable("".join(traceback.format_exception(record.exc_info[1]))), err=True, nl=False)


class _LogFile(logging.FileHandler):
    """The file of ``--log``. When it cannot be written any more, the command goes on without it."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        _LOGGER.removeHandler(self)
        warn(f"the log {self.baseFilename} ends here: {sys.exc_info()[1]}")


class _Recorded:
    """The standard output, whose lines become log records too; everything but writing is that of the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._line = stream, ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if plain := Text.from_ansi(line).plain.rstrip():
                _LOGGER.info(plain, extra=PRINTED)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def on_screen(quiet: bool, verbose: bool) -> Iterator[None]:
    """Show what is said until the end of the block: warnings and errors if ``quiet``, debug records too if ``verbose``."""
    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    before = _LOGGER.level, _LOGGER.propagate
    _LOGGER.setLevel(min(level, logging.INFO))
    _LOGGER.propagate = False
    try:
        with _attached(_Screen(level)):
            yield
    finally:
        _LOGGER.setLevel(before[0])
        _LOGGER.propagate = before[1]


@contextmanager
def in_file(path: Path | None) -> Iterator[None]:
    """Append what is said and printed in the block to a file, with the command line before it, and the exit status after it.

    Does nothing for ``None``. Raises :class:`MosaicFusionError` if the file cannot be written.
    """
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise MosaicFusionError(f"cannot write the log {path}: {error.strerror or error}; give another --log") from None
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    with _attached(file):
        start = time.monotonic()
        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        _LOGGER.info(f"mosaicfusion {version('mosaicfusion')}: {command}", extra=PRINTED)
        status = 0
        try:
            with redirect_stdout(cast(TextIO, _Recorded(sys.stdout))):
                yield
        except BaseException as error:
            status = getattr(error, "exit_code", 1)
            raise
        finally:
            seconds = time.monotonic() - start
            _LOGGER.info(f"exit status {status} after {seconds:.1f} s", extra=PRINTED)


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        handler.close()
