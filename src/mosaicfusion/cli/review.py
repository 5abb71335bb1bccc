"""The commands review and studio: pages to look at a run and say what is to stay, and to try settings."""

from __future__ import annotations

import getpass
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import DeviceOption
from mosaicfusion.errors import MosaicFusionError, counted

PortOption = Annotated[int, typer.Option(help="Port of the page; 0 takes one that is free.", min=0, max=65535)]
HostOption = Annotated[
    str, typer.Option(help="Address to listen on; all but 127.0.0.1 let others in who have the token.")
]
NoOpenOption = Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")]


@app.command(
    epilog="""**Examples**

`mosaicfusion review runs/fruit`

`mosaicfusion review runs/fruit --no-open --port 8800 --who anna`

`mosaicfusion export runs/fruit --to cvat -o fruit-cvat`, then `mosaicfusion review runs/fruit --from cvat.zip`

`mosaicfusion report runs/fruit` writes the data set with the verdicts; `merge`, `export` and `paste` follow them at once.

Verdicts are lines in `reviews.jsonl` in the run folder. Several people may review a run at once, while it is generated."""
)
def review(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    port: PortOption = 8765,
    host: HostOption = "127.0.0.1",
    who: Annotated[
        str | None, typer.Option(help="Your name, which your verdicts carry.", show_default="that of the account")
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", help="Read verdicts from an export of FiftyOne, Label Studio or CVAT instead; may be repeated."
        ),
    ] = None,
    device: DeviceOption = "auto",
    no_open: NoOpenOption = False,
) -> None:
    """Look at the objects of a run in a browser: sort and filter them, accept, reject and relabel by key."""
    if source:
        for each in source:
            _take_back(run, each, who if who is not None else each.stem)
        return
    _require_review_extra()
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.review.desk import Desk
    from mosaicfusion.review.serve import serve
    from mosaicfusion.review.trial import Trial
    from mosaicfusion.run.folder import RunFolder

    desk = Desk(RunFolder.open(run), who if who is not None else _account())
    with progress_bar("reading", "part") as progress:
        desk.objects.refresh(progress.show)
    desk.refresh()

    def on_ready(address: str) -> None:
        typer.echo(f"{address}\n{counted(len(desk.objects), 'object')}; Ctrl-C ends the review")

    serve(desk, Trial(device), host, port, on_ready=on_ready, open_browser=not no_open)
    said = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in desk.reviews.counts().items())
    typer.echo(
        f"verdicts: {said or 'none'}" + (f"; `mosaicfusion report {run}` writes them to lvis.json" if said else "")
    )


@app.command(
    epilog="""**Examples**

`mosaicfusion studio`

`mosaicfusion studio --device cuda --no-open`

The page samples a canvas at a time, shows its attention, and makes masks anew with other thresholds at once. "Use these settings"
gives a file for `generate --config`."""
)
def studio(
    port: PortOption = 8765,
    host: HostOption = "127.0.0.1",
    device: DeviceOption = "auto",
    no_open: NoOpenOption = False,
) -> None:
    """Try settings in a browser, a canvas at a time, and keep those that are good."""
    _require_review_extra()
    from mosaicfusion.review.serve import serve
    from mosaicfusion.review.trial import Trial

    serve(None, Trial(device), host, port, on_ready=typer.echo, open_browser=not no_open)


def _require_review_extra() -> None:
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise MosaicFusionError(
            f'{" and ".join(missing)} cannot be found, which the page needs; pip install "mosaicfusion[review]"'
        )


def _take_back(path: Path, source: Path, who: str) -> None:
    """Add what another tool's file says to the verdicts of a run."""
    from mosaicfusion.dataset.handback import read_verdicts
    from mosaicfusion.run.folder import RunFolder
    from mosaicfusion.run.reviews import append

    run = RunFolder.open(path)
    verdicts = read_verdicts(run, source, who)
    append(run.path, verdicts)
    counts = Counter(verdict.verdict for verdict in verdicts)
    said = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in counts.items())
    typer.echo(f"{source}: {said or 'nothing differs'}" + (f"; `mosaicfusion report {path}` follows" if said else ""))


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return "somebody"
